"""What commands print: in any encoding, harmless to a terminal, with its own error if it cannot be written."""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import made_up_run
import pytest
from fake_training import FAKE

from attnbench import cli, runner
from attnbench.cli.console import Console
from attnbench.cli.output import OutputError, echo, guarded
from attnbench.engines.serial import SerialEngine
from attnbench.errors import Exit

GRID = """
name: words
seeds: 3
grid: {score: [dot, additive], task: [copy]}
data: {min_length: 2, max_length: 3}
"""
NEEDS_DEV_FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two scores, a worse one of the same grid, a baseline of the better one, and a grid file."""
    folder = tmp_path_factory.mktemp("output")
    for name, reached in (("good", 1.0), ("bad", 0.2)):
        plan = made_up_run.plan(name, score=["dot", "additive"], seed=range(6))
        outcomes = [made_up_run.outcome(cell, exact_match=reached, exact_match_at_20=reached) for cell in plan.cells]
        made_up_run.write_run(folder, plan, outcomes)
    (folder / "grid.yaml").write_text(GRID)
    assert call("baseline", "good", "-o", str(folder / "base.csv"), "--results", str(folder / "results")) == 0
    return folder


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    return int(end.value.code or 0)


COMMANDS: dict[str, tuple[list[str], int]] = {
    "table": (["table", "good"], 0),
    "table --format markdown": (["table", "good", "--format", "markdown"], 0),
    "table --format json": (["table", "good", "--format", "json"], 0),
    "compare": (["compare", "good"], 0),
    "compare --format latex": (["compare", "good", "--format", "latex"], 0),
    "check": (["check", "bad", "--baseline", "base.csv"], Exit.REGRESSION),
    "show": (["show", "good", "000000000000"], 0),
    "expand": (["expand", "grid.yaml"], 0),
    "list": (["list"], 0),
    "schema": (["schema"], 0),
    "init": (["init", "-"], 0),
    "--help": (["--help"], 0),
}


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_prints_in_any_encoding(command, encoding, folder, monkeypatch):
    arguments, status = COMMANDS[command]
    written = io.BytesIO()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding))
    assert call(*arguments) == status
    assert len(written.getvalue()) > 40
    # What is the content of a file is in UTF-8 everywhere, as with `-o`.
    written.getvalue().decode("utf-8" if arguments[0] in ("schema", "init") else encoding)


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], int]:
    """Calls `attnbench run` with a training that takes no time."""
    monkeypatch.setitem(runner.ENGINES, "serial", partial(SerialEngine, train=FAKE))
    arguments = ["run", str(folder / "grid.yaml"), "--results", str(tmp_path), "--engine", "serial", "--no-mlflow"]
    return lambda: call(*arguments)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
def test_a_run_prints_in_any_encoding(encoding, run, monkeypatch):
    """Its progress, which has signs of its own, goes to stderr."""
    out, err = io.BytesIO(), io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding))
    # Python's own stderr never fails, but one that was replaced does.
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(err, encoding))
    assert run() == 0
    assert "words: exact_match" in out.getvalue().decode(encoding)
    assert "6 cells, 6 to train" in err.getvalue().decode(encoding)
    assert f"[1/2] dot {'.' if encoding == 'ascii' else '·'} copy" in err.getvalue().decode(encoding)


@NEEDS_DEV_FULL
def test_a_run_whose_table_cannot_be_written_says_where_its_results_are(run, monkeypatch, capsys, tmp_path):
    with open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert run() == Exit.OUTPUT
    told = capsys.readouterr().err
    assert "standard output cannot be written: No space left on device\n" in told
    assert f"the results are saved in {tmp_path / 'words'}" in told
    assert len(list((tmp_path / "words" / "cells").glob("*.json"))) == 6


def test_a_sign_that_the_encoding_lacks_becomes_one_that_looks_like_it(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "ascii"))
    with guarded():
        echo("−0.5 … 2 × 3 → 你")
    assert written.getvalue() == b"-0.5 ... 2 x 3 -> ?\n"


def test_sources_are_read_without_a_utf_8_locale(tmp_path):
    """Python's UTF-8 mode and the coercion of the locale are off, as with PYTHONUTF8=0 in an image of a container."""
    environment = {**os.environ, "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    (tmp_path / "grid.yaml").write_text(GRID)
    command = [sys.executable, "-m", "attnbench", "expand", "grid.yaml"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr.decode()) == (0, "")
    assert b"6 cells: 6 todo" in done.stdout


def test_a_backend_of_matplotlib_that_is_not_installed_is_no_obstacle(folder):
    """Jupyter sets MPLBACKEND to its own for every program that it starts."""
    environment = {**os.environ, "MPLBACKEND": "nonsense"}
    command = [sys.executable, "-m", "attnbench", "report", "good", "-o", "page.html"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr.decode()) == (0, "")


@NEEDS_DEV_FULL
@pytest.mark.parametrize("command", COMMANDS)
def test_output_that_cannot_be_written_is_an_error_of_its_own(command, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    with open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert call(*COMMANDS[command][0]) == Exit.OUTPUT
    assert capsys.readouterr().err == "standard output cannot be written: No space left on device\n"


@NEEDS_DEV_FULL
def test_what_is_still_buffered_at_the_end_is_not_lost_without_an_error(monkeypatch):
    """Python would report it after the exit status is decided."""
    with open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(OutputError, match="No space left"), guarded():
            sys.stdout.write("not flushed")


def test_a_closed_output_is_an_error_too(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", None)  # as Python sets it for `attnbench --version >&-`
    assert call("--version") == Exit.OUTPUT
    assert "standard output cannot be written: Bad file descriptor" in capsys.readouterr().err


def test_a_pipe_that_was_closed_is_no_reason_for_a_message(monkeypatch, capsys):
    reading, writing = os.pipe()
    os.close(reading)  # as `head` does after its lines
    with open(writing, "w", encoding="utf-8") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert call("schema") == Exit.OUTPUT
    assert capsys.readouterr().err == ""


@NEEDS_DEV_FULL
@pytest.mark.parametrize("arguments", [["frob"], ["table", "no-such-run"]])
def test_messages_that_cannot_be_written_do_not_change_the_exit_status(arguments, monkeypatch):
    with open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stderr", full)
        assert call(*arguments) == Exit.USAGE


def test_an_output_error_is_an_os_error_which_the_driver_ignores():
    assert issubclass(OutputError, OSError)
    assert OutputError("x").errno is None


HOSTILE = "a\x1b[31mb\u202ec\x9bd\re"


def _echo() -> None:
    echo(HOSTILE)


def _print() -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid()
    table.add_row(Text(HOSTILE, style="bold"))
    Console().print(table)


@pytest.mark.parametrize("print_it", [_echo, _print])
def test_no_text_reaches_the_terminal_with_what_it_acts_on(print_it: Callable[[], None], capsys):
    print_it()
    printed = capsys.readouterr().out
    assert {"\x1b", "\u202e", "\x9b", "\r"}.isdisjoint(printed)
    assert "a\ufffd[31mb\ufffdc" in printed


def test_commands_print_only_by_echo_and_the_console():
    """Another way to print would not be harmless."""
    for file in (Path(cli.__file__).parent).glob("*.py"):
        text = file.read_text()
        assert "typer.echo" not in text, file
        if file.name not in ("console.py", "live.py"):  # the live view is given its console
            assert "from rich.console import Console" not in text, file


@pytest.mark.parametrize("columns", ["1000000000", "9" * 20, "9" * 5000, "²", "-5", "abc", "0", ""])
def test_any_width_of_the_terminal_can_be_asked_for(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    assert call("list", "scopes") == Exit.OK
    assert 0 < len(capsys.readouterr().out) < 1_000_000
