"""`attnbench.load`: the run that a notebook works with gives the numbers that the commands print."""

import io
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_up_run import diagonal, outcome, plan, write_run

import attnbench
from attnbench.analysis.report.page import report
from attnbench.cli import main

SEEDS = list(range(7))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A run of two scores, of which dot is worse by .2 with every seed."""
    grid = plan("made", score=["dot", "general"], task=["copy"], seed=SEEDS)
    worse = {"dot": 0.2, "general": 0.0}
    outcomes = [
        outcome(cell, exact_match=0.9 - worse[cell.labels["score"]] + 0.01 * cell.labels["seed"]) for cell in grid.cells
    ]
    store = write_run(tmp_path_factory.mktemp("results"), grid, outcomes)
    store.write_table()
    return store.folder.parent


@pytest.fixture
def run(results):
    return attnbench.load("made", results=results)


def printed(capsys, results, *arguments):
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--results", str(results)])
    assert ended.value.code in (0, None)
    return capsys.readouterr().out


def test_a_run_is_found_by_its_name_and_by_its_folder(results):
    by_name, by_folder = attnbench.load("made", results=results), attnbench.load(results / "made")
    pd.testing.assert_frame_equal(by_name.frame, by_folder.frame)
    assert (by_name.name, by_folder.folder) == ("made", results / "made")


def test_an_unknown_run_is_an_error_with_the_nearest_name(results):
    with pytest.raises(attnbench.AttnbenchError, match="did you mean 'made'"):
        attnbench.load("mode", results=results)


def test_the_frame_is_table_csv(run):
    text = (run.folder / "table.csv").read_text()
    pd.testing.assert_frame_equal(
        run.frame[["cell", "seed", "exact_match"]], pd.read_csv(io.StringIO(text))[["cell", "seed", "exact_match"]]
    )


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ({}, []),
        (
            {"rows": "seed", "columns": "score"},
            ["--rows", "seed", "--columns", "score"],
        ),
        ({"statistic": "median", "where": ["score=dot"]}, ["--statistic", "median", "--where", "score=dot"]),
        ({"cost": True}, ["--cost"]),
    ],
)
def test_table_is_what_the_command_prints(run, results, capsys, arguments, options):
    table = run.table(**arguments)
    assert str(table) == printed(capsys, results, "table", "made", *options, "--format", "markdown")
    assert table._repr_html_() == printed(capsys, results, "table", "made", *options, "--format", "html")
    records = json.loads(printed(capsys, results, "table", "made", *options, "--format", "json"))
    assert list(table.frame.columns) == list(records[0])
    assert table.frame.iloc[0, 2] == pytest.approx(list(records[0].values())[2])


def test_compare_is_what_the_command_prints(run, results, capsys):
    table = run.compare(against="general")
    assert str(table) == printed(capsys, results, "compare", "made", "--against", "general", "--format", "markdown")
    assert table.frame["verdict"].tolist() == ["worse"]
    assert table.frame["difference"].tolist() == pytest.approx([-0.2])
    assert "<td>worse</td>" in table.html
    wide = run.compare(against="general", margin=0.5)
    assert str(wide) == printed(
        capsys, results, "compare", "made", "--against", "general", "--margin", "0.5", "--format", "markdown"
    )
    assert str(wide) != str(table)
    with pytest.raises(attnbench.AttnbenchError, match="fewer than two values"):
        run.compare(where=["score=dot"])


def test_an_unknown_statistic_is_an_error_with_the_known_names(run):
    with pytest.raises(
        attnbench.AttnbenchError, match=r"there is no statistic 'max'\n  → known names: iqm, mean, median"
    ):
        run.table(statistic="max")


def test_report_and_alignments_are_those_of_the_store(run, results, tmp_path):
    assert run.report() == report(attnbench.load("made", results=results)._store)
    grid = plan("drawn", score=["dot"], task=["copy"], seed=[0])
    store = write_run(tmp_path, grid, [replace(outcome(grid.cells[0]), alignments=diagonal(["a", "b"]))])
    drawn = attnbench.load(store.folder)
    alignments = drawn.alignments(drawn.frame["cell"][0][:4])
    np.testing.assert_array_equal(alignments.weights, diagonal(["a", "b"]).weights)


def test_a_notebook_shows_the_comparison_or_why_there_is_none(run, tmp_path):
    assert run._repr_html_() == run.table().html
    grid = plan("empty", score=["dot"], seed=[0])
    empty = attnbench.load("empty", results=write_run(tmp_path, grid, []).folder.parent)
    assert "no cell is finished yet" in empty._repr_html_()
    assert repr(empty).splitlines() == ["<attnbench run 'empty': no cell finished>", "1 of 1 cells are not finished"]


def test_a_single_condition_need_not_be_in_a_list(run):
    assert str(run.table(where="score=dot")) == str(run.table(where=["score=dot"]))
    assert str(run.compare(where="task=copy")) == str(run.compare(where=["task=copy"]))


def test_a_run_whose_plan_cannot_be_read_can_be_shown(tmp_path):
    grid = plan("broken", score=["dot"], seed=[0])
    store = write_run(tmp_path, grid, [outcome(grid.cells[0])])
    run = attnbench.load(store.folder)
    (store.folder / "plan.json").write_text("{")
    assert repr(run).startswith("<attnbench run 'broken': ")
    assert "plan.json" in repr(run)
    assert "plan.json" in run._repr_html_()
