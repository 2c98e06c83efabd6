"""`attnbench compare`: one run by an axis, or two runs."""

import shutil

import pytest
from made_up_run import outcome, plan, write_run

from attnbench import cli


@pytest.fixture
def call(tmp_path, capsys):
    for name, more in (("one", 0.0), ("two", 0.1)):
        grid = plan(name, score=["dot", "general"], task=["copy"], seed=list(range(7)))
        accuracy = {"dot": 0.2, "general": 0.4}
        cells = [
            outcome(c, exact_match=accuracy[c.labels["score"]] + more + 0.01 * c.labels["seed"]) for c in grid.cells
        ]
        write_run(tmp_path, grid, cells)

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main(["compare", *arguments, "--results", str(tmp_path / "results")])
        written = capsys.readouterr()
        return ended.value.code or 0, written.out + written.err

    return run


def test_an_axis(call):
    code, out = call("one", "--against", "dot")
    assert code == 0
    assert "every score against dot" in out
    assert next(line.split()[-1] for line in out.splitlines() if line.startswith(" general")) == "better"


def test_two_runs(call):
    code, out = call("one", "two", "--format", "csv")
    assert code == 0
    (row,) = out.splitlines()[1:]
    assert row.startswith("two,one,copy,exact_match,0.1")
    assert row.endswith("better")


def test_a_condition_and_a_mistake(call):
    code, out = call("one", "two", "--where", "score=dot", "--format", "csv")
    assert ",7," in out
    code, out = call("one", "--axis", "scoer")
    assert code == 2
    assert "did you mean" in out


def test_runs_of_the_same_name_are_shown_as_they_were_given(call, tmp_path):
    """The run before a change, kept elsewhere."""
    kept = tmp_path / "kept" / "one"
    shutil.copytree(tmp_path / "results" / "one", kept)
    code, out = call(str(kept), "one", "--format", "csv")
    assert code == 0
    (row,) = out.splitlines()[1:]
    assert row.startswith(f"one,{kept},copy,")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["one"], "both arguments are the same run"),
        (["two", "--against", "dot"], "'dot' cannot be used when two runs are compared"),
        (["two", "--axis", "score"], "'score' cannot be used when two runs are compared"),
    ],
)
def test_what_has_no_meaning_for_two_runs_is_refused(call, more, words):
    code, out = call("one", *more)
    assert code == 2
    assert words in out


def test_missing_cells_are_reported(call, tmp_path):
    next((tmp_path / "results" / "one" / "cells").glob("*.json")).unlink()
    code, out = call("one")
    assert code == 0
    assert "1 of 14 cells are not finished" in out


def test_a_run_with_nothing_finished(call, tmp_path):
    for file in (tmp_path / "results" / "one" / "cells").glob("*.json"):
        file.unlink()
    code, out = call("one")
    assert code == 2
    assert "no cell is done" in out
