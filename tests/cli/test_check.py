"""`attnbench baseline` and `attnbench check`, from the command line to the exit status."""

import csv
import io
import json
import shlex
import subprocess
import sys
from dataclasses import replace
from importlib import resources
from xml.etree import ElementTree

import pytest
import yaml
from made_up_run import failed, outcome, plan, rewrite, write_run
from rich.console import Console

from attnbench import cli
from attnbench.analysis.gate.baseline import configurations
from attnbench.analysis.gate.baseline_file import read
from attnbench.analysis.gate.check import check
from attnbench.analysis.gate.formats import print_check
from attnbench.analysis.gate.judge import ENOUGH
from attnbench.errors import Exit
from attnbench.store.store import Store

ODD = "od|d_*[b]<i>%,:&\"'`\x1b[31mé"
ERROR = "bad | [red]%0A</failure>\nsecond\x00\x1b[2J::error::x"


@pytest.fixture
def call(tmp_path, capsys, monkeypatch):
    """A function that runs attnbench in an empty folder and returns exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            cli.main(arguments)
        output = capsys.readouterr()
        return int(end.value.code or 0), output.out, output.err

    return run


def train(tmp_path, name="ci", accuracy=None, scores=("dot", "general", ODD), lose=(), fail=(), seeds=5):
    """Writes a run without training; the accuracy of a score is near 1 by default."""
    grid = plan(name, score=list(scores), seed=range(seeds))
    outcomes = [
        failed(cell, ERROR)
        if cell.labels["score"] in fail
        else outcome(cell, exact_match=(accuracy or {}).get(cell.labels["score"], 1.0) - cell.cell.seed / 500, aer=0.1)
        for cell in grid.cells
        if cell.labels["score"] not in lose
    ]
    return write_run(tmp_path, grid, outcomes)


@pytest.fixture
def base(tmp_path, call):
    train(tmp_path)
    assert call("baseline", "ci", "-o", "b.csv")[0] == 0
    return tmp_path / "b.csv"


@pytest.mark.usefixtures("base")
def test_an_unchanged_run_passes(call):
    status, out, err = call("check", "ci", "--baseline", "b.csv")
    assert (status, err) == (Exit.OK, "")
    assert out == "ci against b.csv: passed (6 unchanged)\n"


@pytest.mark.usefixtures("base")
def test_one_regression_is_exit_3_and_the_table_shows_it(call, tmp_path):
    train(tmp_path, accuracy={"general": 0.5})
    status, out, err = call("check", "ci", "--baseline", "b.csv")
    assert (status, err) == (Exit.REGRESSION, "")
    assert "regression" in out
    assert "general · copy" in out.replace("global · ", "")
    assert "0.996 → 0.496" in out
    assert "1 regression, 5 unchanged" in out


@pytest.mark.usefixtures("base")
def test_every_result_has_its_exit_status(call, tmp_path):
    def status(**changes):
        train(tmp_path, **changes)
        return call("check", "ci", "--baseline", "b.csv")[0]

    assert status(accuracy={"dot": 0.99}) == Exit.OK
    assert status(scores=("dot", "general", ODD, "new")) == Exit.OK
    assert status(scores=("dot", "general")) == Exit.REGRESSION
    assert status(fail=("dot",)) == Exit.REGRESSION
    assert status(scores=("x", "y")) == Exit.NOTHING_COMPARABLE
    assert call("check", "ci", "--baseline", "none.csv")[0] == Exit.USAGE
    assert call("check", "ci")[0] == Exit.USAGE


@pytest.mark.usefixtures("base")
def test_an_unfinished_run_fails(call, tmp_path):
    store = train(tmp_path)
    next(iter((store.folder / "cells").iterdir())).unlink()
    status, out, _ = call("check", "ci", "--baseline", "b.csv")
    assert status == Exit.REGRESSION
    assert "are not finished" in out


@pytest.mark.usefixtures("base")
def test_a_broken_cell_fails_the_check(call, tmp_path):
    store = train(tmp_path)
    next(iter((store.folder / "cells").iterdir())).write_text("{")
    assert call("check", "ci", "--baseline", "b.csv")[0] == Exit.REGRESSION


@pytest.mark.usefixtures("base")
def test_the_tolerance(call, tmp_path):
    train(tmp_path, accuracy={"general": 0.9})
    arguments = ("check", "ci", "--baseline", "b.csv", "--tolerance")
    assert call(*arguments, "0.2")[0] == Exit.OK
    assert call(*arguments, "exact_match=0.2")[0] == Exit.OK
    assert call(*arguments, "aer=0.2")[0] == Exit.REGRESSION
    for wrong in ("x", "aer=", "nan", "-1", "frob=0.1"):
        status, _, err = call(*arguments, wrong)
        assert (status, "--tolerance" in err) == (Exit.USAGE, True)


@pytest.fixture
def bad(call, base, tmp_path):
    """A run with most verdicts; names and errors have characters that each format must escape."""
    train(tmp_path, accuracy={ODD: 0.5}, fail=("general",), scores=("general", ODD, "new"))
    return lambda *arguments: call("check", "ci", "--baseline", base.name, *arguments)


def test_json_and_csv_have_every_row_and_the_same_names(bad):
    status, out, _ = bad("--format", "json")
    records = json.loads(out)
    assert status == Exit.REGRESSION
    assert [record["verdict"] for record in records] == ["regression", "failed", "missing", "new", "unchanged"]
    assert records[0]["score"] == ODD
    assert records[0]["difference"] == pytest.approx(-0.5)
    assert records[0]["low"] < -0.5 < records[0]["high"] < 0
    assert records[1]["message"] == f"seed 0 1 2 3 4: {ERROR}"
    rows = list(csv.DictReader(io.StringIO(bad("--format", "csv")[1])))
    assert [row["verdict"] for row in rows] == [record["verdict"] for record in records]
    assert list(rows[0]) == list(records[0])
    # 0.6, not 0.6000000000000001.
    numbers = [value for record in records for value in record.values() if isinstance(value, float)]
    assert numbers == [float(f"{value:.14g}") for value in numbers]
    assert [row["low"] for row in rows if row["low"]] == [str(record["low"]) for record in records if record["low"]]


def test_numbers_for_machines_have_no_noise_in_their_last_digits(call, base, tmp_path):
    """0.596 - 0.996 is -0.4, with noise in its 16th digit."""
    train(tmp_path, accuracy={"dot": 0.6})
    records = json.loads(call("check", "ci", "--baseline", base.name, "--format", "json")[1])
    rows = csv.DictReader(io.StringIO(call("check", "ci", "--baseline", base.name, "--format", "csv")[1]))
    for row in (*records, *rows):
        for name in ("baseline", "run", "difference", "low", "high"):
            if row[name] not in (None, ""):
                assert len(str(row[name]).lstrip("-0.")) <= 14, (name, row[name])


def test_github_commands_are_one_line_each_and_escaped(bad, base):
    out = bad("--format", "github")[1]
    *commands, summary = out.splitlines()
    assert [command.split(" ")[0] for command in commands] == ["::error", "::error", "::error", "::notice"]
    assert summary.startswith("ci against b.csv: failed")
    line = int(commands[0].partition("line=")[2].partition(",")[0])
    assert "exact_match" in base.read_text().splitlines()[line - 1]
    assert "od|d_*[b]<i>%25%2C%3A&" in commands[0].split("::")[1]
    assert commands[0].count("::") == 2
    assert "%250A" in commands[1]
    assert "\x1b" not in out
    assert "\x00" not in out


def test_junit_is_valid_xml_with_right_counts(bad, tmp_path):
    bad("--junit", "j.xml")
    suite = ElementTree.parse(tmp_path / "j.xml").getroot().find("testsuite")
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "5", "failures": "2", "errors": "1", "skipped": "1",
    }  # fmt: skip
    kinds = [[child.tag for child in case] for case in suite]
    assert kinds == [["failure"], ["error"], ["failure"], ["skipped"], ["system-out"]]
    assert "bad | [red]%0A</failure>\nsecond\ufffd\ufffd[2J" in suite[1][0].text
    assert bad("--junit", "no/j.xml")[0] == Exit.USAGE


def test_markdown_keeps_its_columns(bad):
    out = bad("--format", "markdown")[1]
    rows = [line for line in out.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 4
    assert {line.replace("\\|", "").count("|") for line in rows} == {8}
    assert "od\\|d\\_\\*[b]&lt;i&gt;" in rows[2]
    assert "\x1b" not in out


@pytest.mark.usefixtures("bad")
def test_the_table_interprets_no_markup_and_fits_80_columns(tmp_path):
    store = Store.open("ci", tmp_path / "results")
    result = check("ci", "b.csv", read(tmp_path / "b.csv"), configurations(store))
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    print_check(result, console)
    out = console.file.getvalue()
    assert max(map(len, out.splitlines())) <= 80
    assert "baseline → run" in out
    assert "[interval]" in out
    assert "[31m" in out  # from the name
    assert "\x1b" not in out
    assert "[red]%0A" in "".join(out.split())
    assert "od|d_*[b]<i>" in out


@pytest.mark.usefixtures("base")
def test_changed_settings_are_named(call, tmp_path):
    store = train(tmp_path)
    for file in (store.folder / "cells").iterdir():
        if json.loads(file.read_text())["labels"]["score"] == "dot":
            rewrite(file, lambda record: record["config"]["train"].update(steps=7))
    status, out, _ = call("check", "ci", "--baseline", "b.csv")
    assert status == Exit.REGRESSION
    assert "not comparable" in out
    assert "train.steps: 800 → 7" in out


def test_a_baseline_is_only_overwritten_with_update(call, base, tmp_path):
    before = base.read_bytes()
    train(tmp_path, accuracy={"dot": 0.5})
    status, _, err = call("baseline", "ci", "-o", "b.csv")
    assert (status, base.read_bytes()) == (Exit.USAGE, before)
    assert "--update" in err
    call("check", "ci", "--baseline", "b.csv")
    assert base.read_bytes() == before
    status, out, err = call("baseline", "ci", "-o", "b.csv", "--update")
    assert (status, out) == (0, "")
    assert "6 rows, 1 of them new or changed" in err
    assert call("check", "ci", "--baseline", "b.csv")[0] == Exit.OK


def test_a_repeated_metric_gives_one_row_and_metrics_that_cannot_be_gated_are_refused(call, tmp_path):
    train(tmp_path)
    status, _, err = call("baseline", "ci", "-o", "b.csv", "--metric", "aer", "--metric", "aer")
    assert (status, err.splitlines()[0]) == (0, "b.csv: 3 rows, 3 of them new or changed")
    status, _, err = call("baseline", "ci", "-o", "c.csv", "--metric", "seconds", "--metric", "aer")
    assert (status, err.count("seconds")) == (2, 1)


def test_an_improvement_passes_and_does_not_change_the_baseline(call, tmp_path):
    train(tmp_path, accuracy={"dot": 0.5})
    call("baseline", "ci", "-o", "b.csv")
    train(tmp_path)
    status, out, _ = call("check", "ci", "--baseline", "b.csv")
    assert (status, "improvement" in out) == (Exit.OK, True)
    train(tmp_path, accuracy={"dot": 0.5})
    assert call("check", "ci", "--baseline", "b.csv")[1] == "ci against b.csv: passed (6 unchanged)\n"


def test_an_update_uses_the_metrics_of_the_file(call, tmp_path):
    train(tmp_path)
    call("baseline", "ci", "-o", "b.csv", "--metric", "aer")
    call("baseline", "ci", "-o", "b.csv", "--update")
    assert {row.metric for row in read(tmp_path / "b.csv")} == {"aer"}
    assert call("baseline", "ci", "-o", "c.csv", "--metric", "seconds")[0] == Exit.USAGE
    assert not (tmp_path / "c.csv").exists()


@pytest.mark.usefixtures("base")
def test_fresh_seeds_are_compared(call, tmp_path):
    grid = plan("fresh", score=["dot", "general", ODD], seed=[7, 8, 9, 10, 11])
    cells = [replace(cell, id=f"f{number:011x}") for number, cell in enumerate(grid.cells)]
    grid = replace(grid, cells=cells)
    write_run(tmp_path, grid, [outcome(cell, exact_match=0.995, aer=0.1) for cell in cells])
    assert call("check", "fresh", "--baseline", "b.csv")[:2] == (0, "fresh against b.csv: passed (6 unchanged)\n")


@pytest.mark.usefixtures("base")
def test_neither_torch_nor_pandas_is_imported(tmp_path):
    code = """
import sys
from attnbench import cli
try:
    cli.main(["check", "ci", "--baseline", "b.csv"])
except SystemExit as end:
    assert not end.code
heavy = {"torch", "mlflow", "matplotlib", "pandas"} & sys.modules.keys()
sys.exit(str(heavy) if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "passed" in done.stdout


def test_a_collapse_of_a_run_of_two_seeds_fails_unless_unclear_passes(call, tmp_path):
    train(tmp_path, seeds=2, accuracy=dict.fromkeys(("dot", "general", ODD), 0.97))
    assert call("baseline", "ci", "-o", "b.csv")[0] == 0
    store = train(tmp_path, seeds=2, accuracy={"dot": 0.146, "general": 0.97, ODD: 0.97})
    # The seeds differ, so that no interval excludes 0.
    rewrite(store.folder / "cells" / "000000000001.json", lambda record: record["metrics"].update(exact_match=0.35))
    status, out, _ = call("check", "ci", "--baseline", "b.csv", "--format", "json")
    (worst, *others) = json.loads(out)
    assert (status, worst["score"], worst["verdict"]) == (Exit.REGRESSION, "dot", "unclear")
    assert worst["statistic"] == "floor"
    assert -0.97 <= worst["low"] < worst["high"] <= 0.04
    assert {other["verdict"] for other in others} == {"unchanged"}
    assert call("check", "ci", "--baseline", "b.csv", "--unclear", "pass")[0] == Exit.OK
    assert call("check", "ci", "--baseline", "b.csv", "--unclear", "fail")[0] == Exit.REGRESSION
    assert "::error" in call("check", "ci", "--baseline", "b.csv", "--format", "github")[1]
    assert "::warning" in call("check", "ci", "--baseline", "b.csv", "--format", "github", "--unclear", "pass")[1]
    call("check", "ci", "--baseline", "b.csv", "--junit", "j.xml")
    assert ElementTree.parse(tmp_path / "j.xml").getroot().get("failures") == "1"


def test_an_improvement_fails_with_improvement_fail(call, tmp_path):
    train(tmp_path, accuracy={"general": 0.5})
    assert call("baseline", "ci", "-o", "b.csv")[0] == 0
    train(tmp_path, accuracy={"general": 0.9})
    assert call("check", "ci", "--baseline", "b.csv")[0] == Exit.OK
    assert "::notice" in call("check", "ci", "--baseline", "b.csv", "--format", "github")[1]
    status, out, _ = call("check", "ci", "--baseline", "b.csv", "--improvement", "fail", "--junit", "j.xml")
    assert status == Exit.REGRESSION
    assert "1 improvement" in out
    assert ElementTree.parse(tmp_path / "j.xml").getroot().get("failures") == "1"
    assert "::error" in call("check", "ci", "--baseline", "b.csv", "--format", "github", "--improvement", "fail")[1]


def rewrite_accuracies(store, score, values):
    for file in (store.folder / "cells").iterdir():
        record = json.loads(file.read_text())
        if record["labels"]["score"] == score:
            value = values[record["labels"]["seed"]]
            rewrite(file, lambda record, value=value: record["metrics"].update(exact_match=value))


def test_the_values_printed_are_those_of_the_statistic_that_decided(call, tmp_path):
    """The interval must contain the change beside it: that of a median is not the change of the means."""
    grid_seeds = 5
    store = train(tmp_path, seeds=grid_seeds)
    rewrite_accuracies(store, "dot", [0.99, 1.0, 0.998, 0.992, 0.996])
    assert call("baseline", "ci", "-o", "b.csv", "--metric", "exact_match")[0] == 0
    rewrite_accuracies(store, "dot", [0.95, 0.85, 0.75, 0.99, 0.9])
    status, out, _ = call("check", "ci", "--baseline", "b.csv", "--format", "json")
    (worst, *_) = json.loads(out)
    assert (status, worst["statistic"]) == (Exit.REGRESSION, "median")
    assert (worst["baseline"], worst["run"]) == pytest.approx((0.9952, 0.888))  # the means, as before
    assert (worst["statistic_baseline"], worst["statistic_run"]) == pytest.approx((0.9952, 0.9))
    assert worst["low"] <= worst["statistic_run"] - worst["statistic_baseline"] <= worst["high"]
    text = call("check", "ci", "--baseline", "b.csv")[1]
    assert "mean 0.995 → median 0.900" in text
    github = call("check", "ci", "--baseline", "b.csv", "--format", "github")[1]
    assert "exact_match changed from mean 0.995 to median 0.900 (−0.095, interval " in github
    assert (
        "| mean 0.995 | median 0.900 | −0.095<br>"
        in call("check", "ci", "--baseline", "b.csv", "--format", "markdown")[1]
    )


def test_an_improvement_names_the_command_that_accepts_it(call, tmp_path):
    train(tmp_path, accuracy={"general": 0.5, "dot": 0.4})
    call("baseline", "ci", "-o", "my baseline.csv")
    train(tmp_path)
    status, out, _ = call("check", "ci", "--baseline", "my baseline.csv")
    assert (status, "2 improvements, 4 unchanged" in out) == (Exit.OK, True)
    command = "attnbench baseline ci -o 'my baseline.csv' --update"
    assert out.count("to accept it:") == out.count(f" {command} ") == 2
    assert call(*shlex.split(command)[1:])[0] == 0
    assert call("check", "ci", "--baseline", "my baseline.csv")[1].endswith("passed (6 unchanged)\n")


@pytest.mark.usefixtures("base")
def test_in_a_log_messages_are_wrapped_and_names_are_whole(call, tmp_path, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    name = "a_score_whose_name_is_as_long_as_that_of_a_real_one_can_be"
    train(tmp_path, scores=("dot", name, ODD), fail=(name, "dot"))
    out = call("check", "ci", "--baseline", "b.csv")[1]
    assert f"{name} · copy" in out
    assert max(len(line.rstrip()) for line in out.splitlines()) <= 120
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, call("check", "ci", "--baseline", "b.csv")[1].splitlines())) <= 80


@pytest.mark.usefixtures("base")
def test_the_output_names_the_statistic(call, tmp_path):
    train(tmp_path, accuracy={"general": 0.5})
    assert "(paired difference)" in call("check", "ci", "--baseline", "b.csv")[1]
    (worst, *_) = json.loads(call("check", "ci", "--baseline", "b.csv", "--format", "json")[1])
    assert worst["statistic"] == "paired difference"


def test_a_baseline_says_what_a_check_will_see_and_warns_of_few_seeds(call, tmp_path):
    train(tmp_path, seeds=2)
    err = call("baseline", "ci", "-o", "b.csv")[2].splitlines()
    assert err[1].startswith("a check fails where a result gets worse by about: with 2 seeds, exact_match by 0.")
    assert "; with 5 seeds, exact_match by 0.0" in err[1]
    assert err[-1] == "warning: 2 seeds per configuration hide all but large changes; use 5 or more"
    train(tmp_path, seeds=1)
    err = call("baseline", "ci", "-o", "d.csv")[2].splitlines()
    assert err[-1] == "warning: 1 seed per configuration hides all but large changes; use 5 or more"
    train(tmp_path, seeds=5)
    err = call("baseline", "ci", "-o", "c.csv")[2]
    assert "with 5 seeds" in err
    assert "warning" not in err


def test_the_starter_has_enough_seeds():
    grid = yaml.safe_load(resources.files("attnbench.cli").joinpath("starter.yaml").read_text(encoding="utf-8"))
    assert grid["seeds"] >= ENOUGH
