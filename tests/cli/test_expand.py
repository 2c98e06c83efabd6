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
    assert "\n1 cell: 1 todo" in call("--set", "seeds=1", "--set", "grid={score: [dot], task: [copy]}")
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
    assert "240 cells" in weight.output
    assert not weight.packages & {"torch", "mlflow", "pandas", "matplotlib", "scipy", "ray"}
    assert weight.seconds < 1


# --- grids whose later cells depend on earlier results

TUNED = f"{SMALL}tune: {{grid: {{train.learning_rate: [0.01, 0.1]}}}}\n"
DECIDED = SMALL.replace("seeds: 2", "seeds: {at_least: 2, at_most: 20}") + "decide: {axis: score}\n"


def test_cells_of_tuning_are_counted_apart_with_their_time(call):
    told = call(text=TUNED)
    assert "8 cells: 8 waiting" in told
    assert "16 cells of tuning (4 combinations × 2 candidates × 2 seeds): 16 todo" in told
    assert "for tuning on 2 workers" in told
    assert "for the reported cells on 2 workers" in told


def test_the_rows_of_tuning_cells_say_so_and_reported_ones_have_no_id_before_the_choice(call):
    rows = json.loads(call("--format", "json", text=TUNED))
    tuning = [row for row in rows if row["for"] == "tuning"]
    reported = [row for row in rows if row["for"] == "reported"]
    assert (len(tuning), len(reported)) == (16, 8)
    assert {row["train.learning_rate"] for row in tuning} == {0.01, 0.1}
    assert {(row["cell"], row["state"], row["reason"]) for row in reported} == {(None, "waiting", "follows tuning")}


def test_when_tuning_has_ended_the_reported_cells_are_to_do(call, tmp_path):
    grid = load_grid(write_grid(tmp_path, TUNED))
    plan, store = expand(grid), Store(tmp_path / "results" / "small")
    store.start(plan, TUNED)
    for cell in plan.tuning:
        value = cell.cell.train.learning_rate
        store.write_pack([outcome(cell, exact_match=value, loss=1.0)], [cell], fingerprint(cell.cell))
    rows = json.loads(call("--format", "json", text=TUNED))
    reported = [row for row in rows if row["for"] == "reported"]
    assert {row["state"] for row in reported} == {"todo"}
    expected = expand(grid, {c.id: {"exact_match": c.cell.train.learning_rate, "loss": 1.0} for c in plan.tuning})
    assert [row["cell"] for row in reported] == [cell.id for cell in expected.cells]
    assert "16 cells of tuning (4 combinations × 2 candidates × 2 seeds): 16 done" in call(text=TUNED)


def test_seeds_beyond_the_first_look_wait_and_settled_ones_are_not_needed(call, tmp_path):
    told = call(text=DECIDED)
    assert "80 cells: 32 todo, 48 waiting" in told
    assert "for all seeds, if they are needed, on 2 workers" in told
    plan, store = expand(load_grid(write_grid(tmp_path, DECIDED))), Store(tmp_path / "results" / "small")
    store.start(plan, DECIDED)
    for cell in plan.cells:
        if cell.cell.seed < 8:
            value = (0.9 if cell.labels["score"] == "dot" else 0.1) + cell.cell.seed % 2 / 100
            store.write_pack([outcome(cell, exact_match=value)], [cell], fingerprint(cell.cell))
    told = call(text=DECIDED)
    assert "80 cells: 32 done, 48 not needed" in told
    rows = json.loads(call("--format", "json", text=DECIDED))
    reasons = {(row["reason"], bool(row["cell"])) for row in rows if row["state"] == "not needed"}
    assert reasons == {("all pairs of it are settled", True)}
