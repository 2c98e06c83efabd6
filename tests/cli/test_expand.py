"""`attnbench expand`: every cell with its state, every skip with its reason, and nothing trained or written."""

import csv
import io
import json
from pathlib import Path

import pytest
from made_up_run import failed, outcome
from small_grid import SMALL, files_below, write_grid
from weigh import weigh

from attnbench import cli
from attnbench.fingerprint import fingerprint
from attnbench.grid.expand import expand
from attnbench.grid.load import load_grid
from attnbench.store.store import Store

QUICKSTART = Path(__file__).parents[2] / "experiments" / "quickstart.yaml"
SKIPPING = SMALL.replace("  task:", "  scope: [global, none]\n  task:") + "exclude: [{score: dot, task: copy}]\n"


@pytest.fixture
def call(tmp_path, capsys):
    def expand_(*options: str, text: str = SMALL) -> str:
        grid = write_grid(tmp_path, text)
        with pytest.raises(SystemExit) as end:
            cli.main(["expand", str(grid), "--results", str(tmp_path / "results"), *options])
        told = capsys.readouterr()
        assert (end.value.code or 0, told.err) == (0, "")
        return told.out

    return expand_


@pytest.fixture
def started(tmp_path) -> Store:
    """The results of the small grid: the first cell done, the second failed."""
    plan = expand(load_grid(write_grid(tmp_path)))
    store = Store(tmp_path / "results" / "small")
    store.start(plan, SMALL)
    code = fingerprint(plan.cells[0].cell)
    store.write_pack([outcome(plan.cells[0], seconds=100.0)], [plan.cells[0]], code)
    store.write_pack([failed(plan.cells[1], "diverged: [bold]nan")], [plan.cells[1]], code)
    return store


def test_cells_that_are_new_are_to_do_and_nothing_is_written(call, tmp_path):
    told = call()
    assert "additive   global   copy          2   todo" in told
    assert "8 cells: 8 todo" in told
    assert "About 5 s on" in told
    assert not (tmp_path / "results").exists()


def test_json_has_a_row_per_cell_with_its_state_its_reason_and_the_axes(call, started):
    before = files_below(started.folder)
    rows = json.loads(call("--format", "json"))
    assert [row["state"] for row in rows] == ["done", "failed"] + ["todo"] * 6
    assert rows[1]["reason"] == "diverged: [bold]nan"
    assert rows[0]["cell"] in started.states()
    assert list(rows[0]) == ["cell", "state", "reason", "model", "score", "scope", "task", "seed"]
    assert (rows[7]["score"], rows[7]["task"], rows[7]["seed"]) == ("dot", "reverse", 1)
    assert files_below(started.folder) == before


def test_skipped_combinations_have_their_reason(call):
    rows = list(csv.DictReader(io.StringIO(call("--format", "csv", text=SKIPPING))))
    skipped = [row for row in rows if row["state"] == "skipped"]
    assert {row["cell"] for row in skipped} == {""}
    assert any("excluded" in row["reason"] for row in skipped)
    assert any("uses no score" in row["reason"] for row in skipped)
    told = call(text=SKIPPING)
    assert "2 × skipped: excluded by line 11" in told
    assert "–          none" in told


@pytest.mark.usefixtures("started")
def test_states_are_counted_and_reasons_of_failures_shown(call):
    told = call()
    assert "1 done, 1 failed" in told
    assert "8 cells: 6 todo, 1 done, 1 failed" in told
    assert "1 × failed: diverged: [bold]nan" in told


def test_axes_have_their_column(call):
    text = SMALL.replace("  task:", "  model.width: [8, 16]\n  task:")
    rows = json.loads(call("--format", "json", text=text))
    assert {row["model.width"] for row in rows} == {8, 16}
    assert "model.width" in call(text=text)


def test_labels_are_shown_as_the_grid_writes_them(call):
    text = SMALL.replace("  task:", "  model.reverse_source: [true, false]\n  task:")
    told = call(text=text + "include: [{model.kind: transformer, scope: self, score: dot, task: copy}]\n")
    rows = [line.split() for line in told.splitlines()]
    assert ["rnn", "additive", "global", "copy", "true", "2", "todo"] in rows
    assert ["rnn", "dot", "global", "reverse", "false", "2", "todo"] in rows
    assert ["transformer", "dot", "self", "copy", "–", "2", "todo"] in rows


def test_a_broken_file_is_named_and_its_cell_is_to_do(call, started):
    (cell, *_) = started.states()
    (started.folder / "cells" / f"{cell}.json").write_text('{"cell"')
    told = call()
    assert f"not read: {started.folder / 'cells' / cell}.json" in told
    assert "7 todo" in told


@pytest.mark.usefixtures("started")
def test_finished_cells_correct_the_estimate_for_the_rest(call):
    """One cell of two steps took 100 s: the six that are left take minutes, not seconds."""
    assert "min on" in call()


def test_it_is_light():
    weight = weigh("expand", str(QUICKSTART))
    assert "72 cells" in weight.output
    assert not weight.packages & {"torch", "mlflow", "pandas", "matplotlib", "scipy", "ray"}
    assert weight.seconds < 1
