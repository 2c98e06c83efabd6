"""`attnbench compare`: one run by an axis, or two runs."""

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
