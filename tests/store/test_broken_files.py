"""Files of a run that were truncated, emptied or edited are named, and cause no traceback in any command."""

import json
from pathlib import Path
from unittest.mock import patch

import pytest
from broken_files import COMMANDS, COUNTING, SEAL, OnlyRead, break_files, write_made_up_run
from grid.yard import call

from attnbench import cli


def test_broken_files_are_named_and_crash_nothing(tmp_path):
    found = break_files(tmp_path, cases=40, seed=0)
    assert found.tried == 40
    assert (found.tracebacks, found.hangs, found.unnoticed) == ([], [], [])


def test_every_command_that_reads_a_run_is_tried():
    known = {command.name or command.callback.__name__ for command in cli.app.registered_commands if command.callback}
    assert known - {name for name, *_ in COMMANDS} == {"run", "init", "list", "schema", "ui", "guard"}


@pytest.fixture(scope="module")
def unsealed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A results folder with a record that was edited and has no seal any more, and this record."""
    folder = tmp_path_factory.mktemp("unsealed")
    results = write_made_up_run(folder)
    call("baseline", "made", "-o", str(folder / "base.csv"), "--results", str(results))
    file = sorted((results / "made" / "cells").iterdir())[0]
    record = json.loads(file.read_text())
    record["metrics"]["exact_match"] = 1.0
    file.write_text(json.dumps({key: value for key, value in record.items() if key not in SEAL}))
    return results, file


@pytest.mark.parametrize("command", [each for each in COMMANDS if each not in COUNTING], ids=" ".join)
@patch("attnbench.tracking.sync.Tracker", OnlyRead)
def test_every_command_names_a_record_without_a_seal(command, unsealed):
    results, file = unsealed
    folder = results.parent
    words = {"CELL": file.stem, "BASE": str(folder / "base.csv"), "FILE": str(folder / "out")}
    words["GRID"] = str(folder / "made.yaml")
    (folder / "out").unlink(missing_ok=True)
    told = call(*[words.get(word, word) for word in command], "--results", str(results))
    said = " ".join(f"{told.output} {told.errors}".split())
    assert "1 cell cannot be vouched for" in said
    assert file.name in said
