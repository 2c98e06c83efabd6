"""`attnbench runs` lists what is there, and deletes only what it was asked to, after a question."""

import csv
import io
import json
import os
import shutil
from datetime import datetime

import pytest
from made_up_run import failed, outcome, plan, write_run
from typer.testing import CliRunner

from attnbench.cli import app
from attnbench.cli.runs import size_text
from attnbench.errors import AttnbenchError
from attnbench.store.lock import held
from attnbench.store.store import Store


@pytest.fixture
def results(tmp_path):
    """Two runs: `first` with 2 cells done, 1 failed, 1 not finished and 2 orphaned; `second` with 1 cell done."""
    wide = plan("first", seed=range(6))
    outcomes = [outcome(cell, exact_match=0.5) for cell in wide.cells]
    outcomes[2] = failed(wide.cells[2])
    del outcomes[3]
    store = write_run(tmp_path, wide, outcomes)
    store.start(plan("first", seed=range(4)), "name: first\n")
    store.write_table()
    second = plan("second")
    write_run(tmp_path, second, [outcome(cell) for cell in second.cells])
    return store.folder.parent


@pytest.fixture
def call(results):
    def run(*arguments, answer=None):
        found = CliRunner().invoke(app, ["runs", *arguments, "--results", str(results)], input=answer)
        if found.exception and not isinstance(found.exception, SystemExit):
            raise found.exception
        return found

    return run


def test_the_runs_and_their_numbers(call):
    lines = [line.split() for line in call().stdout.splitlines()]
    assert lines[1] == ["run", "cells", "done", "failed", "stale", "orphaned", "when", "size"]
    assert lines[3][:6] == ["first", "4", "2", "1", "0", "2"]
    assert lines[4][:6] == ["second", "1", "1", "0", "0", "0"]


def test_the_formats_for_machines(call, results):
    rows = json.loads(call("--format", "json").stdout)
    assert [(row["name"], row["cells"], row["orphaned"]) for row in rows] == [("first", 4, 2), ("second", 1, 0)]
    size = sum(file.stat().st_size for file in (results / "second").rglob("*") if file.is_file())
    assert rows[1]["size"] == size
    assert [row["name"] for row in csv.DictReader(io.StringIO(call("--format", "csv").stdout))] == ["first", "second"]


def test_the_time_is_that_of_the_last_change(call, results):
    newest = datetime(2031, 2, 3, 4, 5, 6).astimezone()
    os.utime(next((results / "second" / "cells").glob("*.json")), (0, newest.timestamp()))
    assert json.loads(call("--format", "json").stdout)[1]["when"] == newest.isoformat()
    assert "2031-02-03 04:05" in call().stdout.splitlines()[4]


def test_stale_cells_are_not_counted_as_done(call, results):
    store = Store(results / "second")
    grid = plan("second")
    store.start(grid, "name: second\n", code={cell.id: {"a.py": "new"} for cell in grid.cells})
    rows = json.loads(call("--format", "json").stdout)
    assert [rows[1][name] for name in ("cells", "done", "stale")] == [1, 0, 1]


def test_a_run_with_a_damaged_plan_is_listed_with_the_reason(call, results):
    (results / "second" / "plan.json").write_text("{")
    out = call().stdout
    assert [line.split()[:3] for line in out.splitlines()][4] == ["second", "–", "–"]
    assert "second: " in out
    assert "plan.json" in out


def test_no_run(call, results):
    for name in ("first", "second"):
        shutil.rmtree(results / name)
    assert call().stdout == f"There is no run in {results}.\n"
    assert json.loads(call("--format", "json").stdout) == []


@pytest.mark.parametrize("answer", ["n\n", "\n"])
@pytest.mark.parametrize("option", ["--delete", "--prune"])
def test_without_a_yes_nothing_is_deleted(call, results, option, answer):
    before = sorted(results.rglob("*.json"))
    found = call(option, "first", answer=answer)
    assert found.exit_code == 0
    assert "nothing was deleted" in found.stderr
    assert sorted(file for file in results.rglob("*.json") if file.name != ".lock.json") == before


def test_a_question_that_nobody_answers_deletes_nothing(call, results):
    with pytest.raises(AttnbenchError, match="--yes"):
        call("--delete", "first", answer="")
    assert (results / "first" / "plan.json").exists()


def test_a_run_is_deleted_after_a_yes(call, results):
    found = call("--delete", "first", answer="y\n")
    assert "with 5 finished cells" in found.stderr
    assert [path.name for path in results.iterdir()] == ["second"]


def test_other_files_are_kept_and_named(call, results):
    (results / "first" / "notes.txt").write_text("mine")
    (results / "first" / "cells" / "notes.txt").write_text("mine")
    found = call("--delete", "first", "--yes")
    left = sorted(file.relative_to(results / "first").as_posix() for file in (results / "first").rglob("*.*"))
    assert left == [".lock", "cells/notes.txt", "notes.txt"]
    assert "notes.txt" in found.stderr
    assert "first" not in call().stdout


def test_of_the_folder_that_a_link_leads_to_only_the_cells_are_deleted(call, results, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (results / "first" / "cells").rename(elsewhere)
    (results / "first" / "cells").symlink_to(elsewhere)
    (elsewhere / ".000000000000.json.7.tmp").write_text("{")  # of a killed run
    for name in ("package.json", ".mine.tmp", "notes.txt"):
        (elsewhere / name).write_text("mine")
    call("--delete", "first", "--yes")
    assert not (results / "first").exists()
    assert {file.name for file in elsewhere.iterdir()} == {"package.json", ".mine.tmp", "notes.txt"}


@pytest.mark.usefixtures("results")
def test_a_file_that_a_run_in_progress_deletes_meanwhile_is_not_counted(call, monkeypatch):
    walk = os.walk
    monkeypatch.setattr(os, "walk", lambda top: ((parent, dirs, [*names, "gone"]) for parent, dirs, names in walk(top)))
    monkeypatch.setattr("pathlib.Path.is_file", lambda _: True)  # it was there a moment ago
    assert len(json.loads(call("--format", "json").stdout)) == 2


def test_prune_deletes_the_orphans_only(call, results):
    store = Store(results / "first")
    planned = {cell["id"] for cell in store.plan()["cells"]}
    kept = set(store.states()) & planned
    call("--prune", "first", answer="y\n")
    assert set(Store(results / "first").states()) == kept
    assert json.loads(call("--format", "json").stdout)[0]["orphaned"] == 0
    # Nothing is left to ask about.
    assert "0 orphaned cells deleted" in call("--prune", "first").stderr


def test_a_plan_that_cannot_be_read_makes_no_orphans(call, results):
    (results / "first" / "plan.json").write_text("{}")
    with pytest.raises(AttnbenchError, match=r"plan\.json"):
        call("--prune", "first", "--yes")
    assert len(list((results / "first" / "cells").glob("*.json"))) == 5


@pytest.mark.parametrize("option", ["--delete", "--prune"])
def test_a_run_in_progress_is_left_alone(call, results, option):
    with held(results / "first"), pytest.raises(AttnbenchError, match="another process is running this grid"):
        call(option, "first", "--yes")
    assert (results / "first" / "plan.json").exists()


def test_one_thing_at_a_time(call):
    with pytest.raises(AttnbenchError, match="cannot be used together"):
        call("--delete", "first", "--prune", "second", "--yes")


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_440_000, "1.4 MB"), (25e9, "25 GB"), (5e16, "50000 TB")],
)
def test_sizes_are_short(size, shown):
    assert size_text(size) == shown


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may delete everything")
def test_a_file_that_cannot_be_deleted_is_named(call, results):
    (results / "first" / "cells").chmod(0o500)
    with pytest.raises(AttnbenchError, match="cannot be deleted"):
        call("--delete", "first", "--yes")
