"""The folder in which hostile grids are tried, and the trial itself: refused with a message, or accepted."""

import os
import re
import time
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import NamedTuple

from attnbench.cli import main
from attnbench.errors import AttnbenchError
from attnbench.grid.expand import expand
from attnbench.grid.load import load_grid
from attnbench.grid.parse import parse
from attnbench.grid.plan import Plan
from attnbench.grid.values import Grid
from grid.hostile import Case

FILES = {
    "pairs.tsv": b"a b c\tx y\nb c a\ty z\nc a b\tz x\n",
    "empty.tsv": b"",
    "binary.tsv": bytes(range(256)) * 40,
    "latin.tsv": b"caf\xe9\tx\n",
    "good.py": b"import attnbench\n\n@attnbench.score('mine')\nclass Mine:\n    def __call__(self, *given): ...\n",
    "broken.py": b"def (:\n",
    "raises.py": b"raise RuntimeError('no')\n",
    "exits.py": b"import sys\nsys.exit(0)\n",
    "binary.py": bytes(range(256)),
}


def make_yard(folder: Path) -> Path:
    """Lays files of all kinds into a folder: good, broken, endless, and such as are no files; gives the grid's path."""
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    for name in ("folder", "folder.py"):
        (folder / name).mkdir()
    for name in ("pipe", "pipe.py"):
        os.mkfifo(folder / name)
    for name in ("loop", "loop.py"):
        (folder / name).symlink_to(name)
    (folder / "dangling").symlink_to("nowhere")
    with (folder / "endless").open("wb") as file:
        file.truncate(2**42)
    return folder / "grid.yaml"


class Verdict(NamedTuple):
    """What came of a case: its grid and plan, or why it was refused, and the seconds of processor time it took."""

    grid: Grid | None
    plan: Plan | None
    error: AttnbenchError | None
    seconds: float


def judge(case: Case, path: Path) -> Verdict:
    """Loads and expands a case, written to `path`. Any exception but AttnbenchError goes through: it is a bug."""
    path.write_bytes(case.content)
    start = time.process_time()
    grid = plan = refusal = None
    try:
        grid = load_grid(path, case.overrides)
        plan = expand(grid)
    except AttnbenchError as error:
        refusal = error
    return Verdict(grid, plan, refusal, time.process_time() - start)


CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # all but the line's end


def complaint(verdict: Verdict) -> str | None:
    """What is wrong with a verdict, or None: it has a message without control characters, or keeps what it read."""
    if verdict.error:
        problems = verdict.error.problems
        if not problems or not all(problem.what for problem in problems):
            return f"a refusal without a message: {problems}"
        unprintable = [str(problem) for problem in problems if CONTROLS.search(str(problem))]
        return f"a control character in a message: {unprintable[0]!r}" if unprintable else None
    assert verdict.grid is not None
    assert verdict.plan is not None
    if not verdict.plan.cells:
        return "a plan without cells"
    kept = parse(verdict.grid.text.removeprefix("\ufeff"), "kept").data
    return None if kept == verdict.grid.document.data else f"kept as {kept}, read as {verdict.grid.document.data}"


class Told(NamedTuple):
    """What a command ended with, and what it printed."""

    status: int
    output: str
    errors: str


def call(*arguments: str) -> Told:
    """Calls the command line in this process."""
    output, errors = StringIO(), StringIO()
    status = 0
    with redirect_stdout(output), redirect_stderr(errors):
        try:
            main(arguments)
        except SystemExit as end:
            status = int(end.code or 0)
    return Told(status, output.getvalue(), errors.getvalue())
