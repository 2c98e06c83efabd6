import csv
import io
import json
import subprocess
import sys

import pytest
import typer
from made_up_run import outcome, plan, write_run
from typer.testing import CliRunner

from attnbench.analysis.table.captions import BEYOND
from attnbench.cli.table import table
from attnbench.errors import AttnbenchError


@pytest.fixture
def call(tmp_path):
    """Calls `attnbench table` on a run with two scores, two tasks and one cell missing."""
    grid = plan("quick", score=["dot", "general"], task=["copy", "sort"], seed=[0, 1])
    write_run(tmp_path, grid, [_result(c) for c in grid.cells[:-1]])
    app = typer.Typer()
    app.command()(table)

    def run(*arguments):
        result = CliRunner().invoke(app, [*arguments, "--results", str(tmp_path / "results")])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def _result(cell):
    accuracy = 0.5 + cell.cell.seed / 10 - 0.2 * (cell.labels["score"] == "general")
    return outcome(cell, exact_match=accuracy, loss=0.25, exact_match_at_9=accuracy, exact_match_at_20=0.1)


@pytest.mark.parametrize(
    ("format", "sign"),
    [
        ("rich", "dot       0.550* .50–.60"),
        ("markdown", "| dot | **0.550** .50–.60 |"),
        ("latex", r"dot & \textbf{0.550}"),
        ("html", "<strong>0.550</strong>"),
    ],
)
def test_the_formats_for_people(call, format, sign):
    out = call("quick", "--format", format).stdout
    assert sign in out
    assert "quick: exact_match" in out
    assert "1 of 8 cells are not finished" in out


def test_the_formats_for_machines_are_nothing_else(call):
    records = json.loads(call("quick", "--format", "json").stdout)
    rows = list(csv.DictReader(io.StringIO(call("quick", "--format", "csv").stdout)))
    assert len(records) == len(rows) == 4
    assert [record["n"] for record in records] == [2, 2, 2, 1]


def test_every_option_reaches_the_table(call):
    arguments = (
        "--rows",
        "task",
        "--columns",
        "seed",
        "--metric",
        "loss",
        "--where",
        "score=dot",
        "--where",
        "task=sort",
    )
    records = json.loads(call("quick", *arguments, "--statistic", "median", "--format", "json").stdout)
    rest = {
        "median": 0.25,
        "low": None,
        "high": None,
        "n": 1,
        "failed": 0,
        "learned": 1,  # by its exact match
        "tie": None,
        "learned_low": pytest.approx(0.025),
        "learned_high": 1.0,
    }
    assert records == [{"task": "sort", "seed": seed} | rest for seed in (0, 1)]


def test_costs_are_further_columns(call):
    shown = call("quick", "--cost", "--format", "markdown").stdout
    assert "| score | copy | sort | parameters | FLOP | seconds |" in shown
    records = json.loads(call("quick", "--cost", "--format", "json").stdout)
    assert list(records[0])[-3:] == ["parameters", "flops", "seconds"]


def test_the_columns_may_be_lengths(call):
    """The cells were trained on lengths from 3 to 10, as the defaults are."""
    text = call("quick", "--columns", "length", "--format", "markdown").stdout
    assert f"| score | task | 9 | 20 {BEYOND} |" in text
    assert "| dot | copy | **0.550** .50–.60 | 0.100 .10–.10 |" in text
    assert f"Trained on lengths 3–10; {BEYOND}: longer." in text
    assert "Trained" not in call("quick", "--format", "markdown").stdout
    assert f"| 20 {BEYOND} | dot | 0.100 .10–.10 | 0.100 .10–.10 |" in (
        call("quick", "--rows", "length", "--format", "markdown").stdout
    )


def test_the_rows_are_models_where_there_are_several(call, tmp_path):
    assert "by score and task" in call("quick").stdout
    several = plan("several", model=["rnn", "pointer"], score=["dot", "general"])
    write_run(tmp_path, several, [outcome(c, exact_match=0.5) for c in several.cells])
    assert "several: exact_match (higher is better) by model and task" in call("several").stdout
    records = json.loads(call("several", "--format", "json").stdout)
    assert list(records[0])[:3] == ["model", "score", "task"]
    assert [record["model"] for record in records] == ["rnn", "rnn", "pointer", "pointer"]
    given = json.loads(call("several", "--rows", "score", "--format", "json").stdout)
    assert [record["score"] for record in given] == ["dot", "dot", "general", "general"]


def test_a_metric_that_only_some_cells_have_is_a_dash_in_the_others(call, tmp_path):
    """Such as the alignment error of a model that reads its own past alone."""
    grid = plan("partly", score=["dot", "general"])
    write_run(tmp_path, grid, [outcome(grid.cells[0], exact_match=0.5), outcome(grid.cells[1], aer=0.25)])
    text = call("partly", "--metric", "aer", "--format", "markdown").stdout
    assert "| dot | – |" in text
    assert "| general | 0.250 |" in text


def test_mistakes_are_reported_with_a_suggestion(call):
    with pytest.raises(AttnbenchError, match="did you mean 'quick'"):
        call("quik")
    with pytest.raises(AttnbenchError, match="did you mean 'score'"):
        call("quick", "--rows", "scores")
    assert call("quick", "--format", "excel").exit_code == 2


def test_neither_torch_nor_mlflow_is_imported(call):
    call("quick")  # makes sure that there is such a command
    code = """
import sys
from attnbench.cli import table, show, list, init, schema
from attnbench.analysis.table import formats
import pandas
list.list_("scores")
heavy = {"torch", "mlflow", "matplotlib"} & sys.modules.keys()
sys.exit(str(heavy) if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
