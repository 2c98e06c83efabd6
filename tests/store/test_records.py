"""A cell's record and a plan are checked whole before anyone uses them, and an edit is named."""

import json
import re
from dataclasses import replace

import pytest
from made_up_run import diagonal, failed, outcome, plan, rewrite, write_run

from attnbench.errors import AttnbenchError
from attnbench.store.atomic import sealed
from attnbench.store.store import Store

SEAL = ("digest", "alignments", "digests", "facts", "pack")  # the keys that no record without a digest has


@pytest.fixture
def store(tmp_path):
    grid = plan(score=["dot", "general"], seed=[0, 1])
    return write_run(tmp_path, grid, [outcome(cell, exact_match=0.5, exact_match_at_9=0.5) for cell in grid.cells])


def unseal(record):
    for key in SEAL:
        del record[key]


def edit(store, change):
    """Changes the record of cell 0 in its file as it is, and returns a fresh store."""
    file = store.folder / "cells" / "000000000000.json"
    record = json.loads(file.read_text())
    change(record)
    file.write_text(json.dumps(record))
    return Store(store.folder)


def test_a_record_without_its_seal_is_named_as_not_vouched_for(store):
    def change(record):
        unseal(record)
        record["metrics"]["exact_match"] = 1.0

    again = edit(store, change)
    assert again.frame()["exact_match"].tolist() == [1.0, 0.5, 0.5, 0.5]
    (note,) = again.notes()
    assert re.search(r"1 cell cannot be vouched for.*000000000000\.json", note)
    assert again.doubts(["000000000001"]) == []


def test_many_records_without_a_seal_are_counted(tmp_path):
    grid = plan(seed=range(7))
    store = write_run(tmp_path, grid, map(outcome, grid.cells))
    for file in (store.folder / "cells").iterdir():
        record = json.loads(file.read_text())
        unseal(record)
        file.write_text(json.dumps(record))
    store.frame()
    (note,) = store.doubts()
    assert note.startswith("7 cells cannot be vouched for")
    assert note.endswith("000000000004.json and 2 more")


@pytest.mark.parametrize("kept", SEAL[1:])
def test_a_record_that_has_a_part_of_its_seal_was_edited(store, kept):
    def change(record):
        there = record[kept]
        unseal(record)
        record[kept] = there

    again = edit(store, change)
    assert "000000000000" not in again.states()
    assert "it has no digest" in again.broken["000000000000"]


def put(*path, value):
    def change(record):
        for key in path[:-1]:
            record = record[key]
        if value is Ellipsis:
            del record[path[-1]]
        else:
            record[path[-1]] = value

    return change


WRONG = [
    put("error", value=...),
    put("history", 0, value=[]),
    put("history", 0, "step", value="x"),
    put("history", 0, "step", value=...),
    put("history", 0, "seconds", value=1e308),
    put("history", 0, "valid/loss", value={"a": 1}),
    put("metrics", "exact_match@" + "9" * 5000, value=0.5),
    put("metrics", "exact_match@x", value=0.5),
    put("metrics", "a?b", value=0.5),
    put("metrics", "exact_match", value=True),
    put("metrics", "exact_match", value=1e308),
    put("metrics", "seconds", value=1e50),
    put("labels", "seed", value="0"),
    put("labels", "seed", value=1),
    put("labels", "score", value=["dot"]),
    put("labels", "task", value=...),
    put("config", value={}),
    put("config", "score", value="dot"),
    put("config", "data", "test_lengths", value=[9, "20"]),
    put("config", "data", "min_length", value="3"),
    put("config", "train", value=None),
    put("config", "seed", value=...),
    put("digests", value={"data.path": 7}),
    put("versions", value=[]),
    put("facts", value={"lines": "many"}),
    put("code", value={"a.py": None}),
    put("pack", value={"ids": ["000000000000"], "seeds": []}),
    put("pack", value={"ids": ["../../elsewhere"], "seeds": [0]}),
    put("alignments", value=7),
    put("status", value="perhaps"),
]


@pytest.mark.parametrize("change", WRONG)
def test_a_record_of_another_form_is_broken_even_where_its_digest_fits(store, change):
    rewrite(store.folder / "cells" / "000000000000.json", change)
    again = Store(store.folder)
    assert "000000000000" not in again.states()
    assert "000000000000.json" in again.broken["000000000000"]
    assert "\n" not in again.broken["000000000000"]


def test_keys_and_metrics_of_a_later_version_are_kept(store):
    def change(record):
        record["reused"] = {"from": "elsewhere"}
        record["metrics"]["attended"] = 0.5
        record["labels"]["normaliser"] = "softmax"

    rewrite(store.folder / "cells" / "000000000000.json", change)
    again = Store(store.folder)
    assert again.read("000000000000")["reused"] == {"from": "elsewhere"}
    assert again.notes() == []


def test_done_and_failed_cells_with_every_part_are_valid(tmp_path):
    grid = plan(train__clip=[1, 2.5, None], seed=[0])
    outcomes = [
        replace(outcome(grid.cells[0]), alignments=diagonal(["a"]), versions={"torch": "2.6"}, facts={"lines": 7}),
        failed(grid.cells[1]),
        outcome(grid.cells[2], seconds=1.5, steps_to_95=100),
    ]
    store = write_run(tmp_path, grid, outcomes)
    (store.folder / ".index").unlink()
    again = Store(store.folder)
    assert list(again.states().values()) == ["done", "failed", "done"]
    assert again.broken == {}


PLANS = [
    put("cells", 0, "id", value="../cells/000000000001"),
    put("cells", 0, "id", value="000000000001"),
    put("cells", 0, "labels", "score", value=["dot"]),
    put("cells", 0, "labels", "seed", value=0.5),
    put("cells", 0, value=7),
    put("axes", value=["model.width"]),
    put("axes", value=[7]),
    put("skipped", value=[7]),
    put("skipped", value=None),
    put("code", value=[]),
    put("packs", value=[{"ids": []}]),
]


@pytest.mark.parametrize("change", PLANS)
def test_a_plan_of_another_form_is_refused_even_where_its_digest_fits(store, change):
    file = store.folder / "plan.json"
    content = json.loads(file.read_text())
    change(content)
    del content["digest"]
    file.write_text(json.dumps(sealed(content)))
    with pytest.raises(AttnbenchError, match=r"plan\.json: cannot be read"):
        Store(store.folder).frame()


def test_a_cell_that_is_planned_twice_is_refused(store):
    file = store.folder / "plan.json"
    content = json.loads(file.read_text())
    content["cells"].append(content["cells"][0])
    file.write_text(json.dumps(sealed(content)))
    with pytest.raises(AttnbenchError, match=r"plan\.json: cannot be read: a cell is planned twice"):
        Store(store.folder).frame()


def test_more_axes_than_are_checked_at_once_are_refused_if_one_is_there_twice(store, monkeypatch):
    monkeypatch.setattr("attnbench.store.atomic.AT_ONCE", 2)
    file = store.folder / "plan.json"
    content = json.loads(file.read_text())
    content["axes"] = ["score", "task", "score"]
    file.write_text(json.dumps(sealed(content)))
    with pytest.raises(AttnbenchError, match=r"plan\.json: cannot be read: an axis is there twice"):
        Store(store.folder).frame()


def test_a_plan_without_its_digest_was_edited(store):
    file = store.folder / "plan.json"
    content = json.loads(file.read_text())
    del content["digest"]
    file.write_text(json.dumps(content))
    with pytest.raises(AttnbenchError, match="it has no digest"):
        store.frame()


def test_a_record_that_is_too_large_is_not_read(store, monkeypatch):
    monkeypatch.setattr("attnbench.store.record.MOST_BYTES", 100)
    (store.folder / ".index").unlink()
    again = Store(store.folder)
    assert again.states() == {}
    assert "it is larger than 100 bytes" in again.broken["000000000000"]
