"""Names that are too long, files in the place of folders, links to themselves: a message, whatever the command."""

import os
from pathlib import Path

import pytest
from grid.yard import call
from made_up_run import outcome, plan, write_run

import attnbench
from attnbench.errors import AttnbenchError

LONG = "é" * 200  # 400 bytes; a name has at most 255
RUN_COMMANDS = [
    ("table", "RUN"),
    ("compare", "RUN"),
    ("show", "RUN", "0"),
    ("report", "RUN"),
    ("sync", "RUN"),
    ("baseline", "RUN", "-o", "base.csv"),
    ("check", "RUN", "--baseline", "base.csv"),
]


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    grid = plan(seed=[0, 1])
    return write_run(tmp_path, grid, [outcome(cell, exact_match=0.5) for cell in grid.cells]).folder.parent


def refused(*arguments: str) -> str:
    """The message of a command that ends with status 2."""
    told = call(*arguments)
    assert told.status == 2, told.errors
    assert "Traceback" not in told.errors
    return told.errors


@pytest.mark.parametrize("command", RUN_COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize("folder", ["results", LONG, "loop", "file"])
def test_a_run_or_a_results_folder_with_an_impossible_name_is_not_there(results, command, folder):
    (results.parent / "loop").symlink_to("loop")
    (results.parent / "file").write_text("")
    run = LONG if folder == "results" else "made-up"
    assert "there is no run" in refused(*[word.replace("RUN", run) for word in command], "--results", folder)
    with pytest.raises(AttnbenchError, match="there is no run"):
        attnbench.load(run, folder)


@pytest.mark.parametrize(
    "command",
    [
        ("init", "LONG"),
        ("report", "made-up", "-o", "LONG"),
        ("baseline", "made-up", "-o", "LONG"),
        ("schema", "-o", "LONG"),
        ("ui", "--results", "LONG"),
        ("ui", "--results", "loop"),
        ("check", "made-up", "--baseline", "LONG"),
        ("expand", "LONG"),
        ("run", "LONG"),
    ],
    ids="-".join,
)
def test_a_file_name_that_is_too_long_is_refused(results, command):
    (results.parent / "loop").symlink_to("loop")
    refused(*[word.replace("LONG", LONG) for word in command])


@pytest.mark.parametrize("command", RUN_COMMANDS[:4], ids=lambda command: command[0])
@pytest.mark.parametrize("kind", ["file", "loop"])
def test_cells_that_are_not_a_folder_are_named(results, command, kind):
    cells = results / "made-up" / "cells"
    cells.rename(results / "elsewhere")
    cells.write_text("") if kind == "file" else cells.symlink_to("cells")
    assert "results/made-up/cells: cannot be read" in refused(*[word.replace("RUN", "made-up") for word in command])


@pytest.mark.parametrize("output", ["-", "/dev/stdout"])
@pytest.mark.parametrize("command", ["baseline", "report"])
@pytest.mark.usefixtures("results")
def test_an_output_can_be_stdout_and_is_then_all_of_it(command, output):
    told = call(command, "made-up", "-o", output)
    assert told.status == 0
    expected = "# data." if command == "baseline" else "<!DOCTYPE html>"
    assert told.output.startswith(expected)
    assert told.output.endswith("\n")
    assert str(output) not in told.output.splitlines()


OUTPUTS = {
    "schema": ("schema", "-o", "link"),
    "baseline": ("baseline", "made-up", "-o", "link"),
    "report": ("report", "made-up", "-o", "link"),
    "check": ("check", "made-up", "--baseline", "base.csv", "--junit", "link"),
}


@pytest.mark.parametrize("command", OUTPUTS.values(), ids=OUTPUTS)
@pytest.mark.usefixtures("results")
def test_every_output_can_be_a_link(command):
    call("baseline", "made-up", "-o", "base.csv")
    Path("link").symlink_to("target")
    call(*command)
    assert Path("link").is_symlink()
    assert Path("target").read_text().strip()


def test_a_pipe_as_baseline_or_index_is_not_waited_for(results):
    index = results / "made-up" / ".index"
    index.unlink()
    for name in ("base.csv", index):
        os.mkfifo(name)
    assert "not a regular file" in refused("check", "made-up", "--baseline", "base.csv")
    assert call("table", "made-up").status == 0


def test_a_pipe_in_the_place_of_the_index_does_not_stop_a_run_from_writing(results):
    grid = plan(seed=[0, 1])
    index = results / "made-up" / ".index"
    index.unlink()
    os.mkfifo(index)
    write_run(results.parent, grid, [outcome(grid.cells[0], exact_match=0.75)])
    assert attnbench.load("made-up").frame["exact_match"].tolist() == [0.75, 0.5]
