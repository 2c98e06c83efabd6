"""A committed pack is kept whatever stands in the way of its files, and nothing of somebody else's is touched."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest
from made_up_run import diagonal, outcome, plan, write_run

from attnbench.store.lock import HOLDER, LOCK, held
from attnbench.store.provenance import current, note
from attnbench.store.store import Store

FIRST, SECOND = "000000000000", "000000000001"


@pytest.fixture
def run(tmp_path):
    """A run with a pack of two cells, each with alignments, and new outcomes of them."""
    grid = plan(seed=[0, 1])
    store = write_run(tmp_path, grid, [])
    outcomes = [replace(outcome(c, exact_match=0.5), alignments=diagonal(["a"])) for c in grid.cells]
    return store, grid, outcomes


@pytest.mark.parametrize("place", [f"cells/{FIRST}.json", f"cells/{SECOND}.json", f"alignments/{FIRST}.npz"])
def test_a_folder_in_the_place_of_a_file_wedges_nothing(run, place):
    store, grid, outcomes = run
    obstacle = store.folder / place
    obstacle.mkdir()
    (obstacle / "mine.txt").write_text("kept")
    store.write_pack(outcomes, grid.cells, {})
    (unplaced,) = store.unplaced
    assert unplaced.cells == tuple(cell.id for cell in grid.cells), "not half of the pack"
    assert "2 finished cells are kept here" in str(unplaced.problems()[0])
    assert str(obstacle) in unplaced.problem.where

    again = Store(store.folder)
    again.recover()
    assert [pack.cells for pack in again.unplaced] == [unplaced.cells]
    assert (obstacle / "mine.txt").read_text() == "kept"

    obstacle.rename(store.folder / "aside")
    again.recover()
    assert again.unplaced == []
    assert again.states() == dict.fromkeys(unplaced.cells, "done")


def test_recovery_goes_on_past_a_pack_that_cannot_be_placed(run):
    store, grid, outcomes = run
    obstacle = store.folder / "cells" / f"{FIRST}.json"
    obstacle.mkdir()
    store.write_pack(outcomes[:1], grid.cells[:1], {})
    store.write_pack(outcomes[1:], grid.cells[1:], {})
    (store.folder / "cells" / "000000000001.json").rename(store.folder / "record")
    other = store.folder / ".written-000000000001"
    other.mkdir()
    (store.folder / "record").rename(other / "000000000001.json")
    again = Store(store.folder)
    again.recover()
    assert [pack.cells for pack in again.unplaced] == [(FIRST,)]
    assert again.states() == {"000000000001": "done"}


@pytest.mark.parametrize("prefix", [".written-", ".writing-"])
@pytest.mark.parametrize("kind", ["file", "link to a folder", "dangling link", "link to itself"])
def test_what_is_not_a_folder_of_its_own_is_left_alone(run, tmp_path, prefix, kind):
    store, grid, outcomes = run
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "precious.json").write_text("{}")
    odd = store.folder / f"{prefix}{FIRST}"
    targets = {"link to a folder": mine, "dangling link": tmp_path / "nowhere", "link to itself": odd}
    odd.write_text("mine") if kind == "file" else odd.symlink_to(targets[kind])
    store.recover()
    assert store.unplaced == []
    assert os.path.lexists(odd)
    store.write_pack(outcomes, grid.cells, {})
    assert store.unplaced == []
    assert Store(store.folder).states() == dict.fromkeys([cell.id for cell in grid.cells], "done")
    assert [file.name for file in mine.iterdir()] == ["precious.json"]
    assert store.notes() == []


def test_a_link_in_a_committed_pack_is_not_moved(run, tmp_path):
    store, _, _ = run
    (tmp_path / "secret").write_text("{}")
    written = store.folder / ".written-x"
    written.mkdir()
    (written / f"{FIRST}.json").symlink_to(tmp_path / "secret")
    store.recover()
    assert list((store.folder / "cells").iterdir()) == []
    assert (tmp_path / "secret").exists()


def test_a_move_across_disks_is_synced_before_the_source_is_deleted(run, monkeypatch):
    store, grid, outcomes = run
    replace_file, unlink, fsync, steps = Path.replace, Path.unlink, os.fsync, []

    def across_disks(self, target):
        if self.parent.name.startswith(".written-"):
            raise OSError(errno.EXDEV, "Invalid cross-device link", str(self), None, str(target))
        steps.append(("renamed", Path(target).name))
        return replace_file(self, target)

    def deleted(self, missing_ok=False):
        if self.parent.name.startswith(".written-"):
            steps.append(("deleted", self.name))
        return unlink(self, missing_ok=missing_ok)

    def synced(handle):
        steps.append(("synced", Path(os.readlink(f"/proc/self/fd/{handle}")).name))
        return fsync(handle)

    monkeypatch.setattr(Path, "replace", across_disks)
    monkeypatch.setattr(Path, "unlink", deleted)
    monkeypatch.setattr(os, "fsync", synced)
    store.write_pack(outcomes[:1], grid.cells[:1], {})
    last = steps.index(("deleted", f"{FIRST}.json"))
    temporary, renamed, folder = steps[last - 3 : last]
    assert temporary[0] == "synced"
    assert temporary[1].startswith(f".{FIRST}.json")
    assert (renamed, folder) == (("renamed", f"{FIRST}.json"), ("synced", "cells"))


def test_no_file_of_a_run_leaves_a_temporary_one_behind(run):
    store, grid, outcomes = run
    store.write_pack(outcomes, grid.cells, {})
    with held(store.folder):
        note(store.folder, current(store.folder, "0.1.0", "serial", 1, 2))
        store.write_table()
    written = [file for file in store.folder.rglob("*") if file.is_file() and file.name != LOCK]
    assert {"plan.json", "grid.yaml", "table.csv", "provenance.json", HOLDER} < {file.name for file in written}
    for file in written:
        file.with_name(f".{file.name}.123.tmp").touch()
    store.recover()
    assert list(store.folder.rglob("*.tmp")) == []
