"""A virtual environment of its own for each toolkit that attnbench is compared with."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

TORCH = "torch==2.13.0"  # the same for all toolkits, and attnbench's own
LINES_TOLD = 15  # of what a failed command printed


class NotMeasuredError(RuntimeError):
    """A toolkit could not be installed or run: its message says why, in words for a reader of the report."""


def call(command: list[str], what: str, log: Path, threads: int | None = None, limit: float = 3600.0) -> None:
    """Run `command`, its output into the file `log`; `what` it does is said if it fails or takes over `limit` s.

    torch in it uses `threads` threads, its default number if that is None.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    told = dict(os.environ) | ({} if threads is None else {"OMP_NUM_THREADS": str(threads)})
    with log.open("w", encoding="utf-8") as sink:
        try:
            done = subprocess.run(command, env=told, stdout=sink, stderr=subprocess.STDOUT, timeout=limit, check=False)
        except subprocess.TimeoutExpired:
            raise NotMeasuredError(f"{what} was not done after {limit:.0f} s") from None
        except OSError as error:
            raise NotMeasuredError(f"{what} could not start: {error}") from None
    if done.returncode:
        end = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LINES_TOLD:])
        raise NotMeasuredError(f"{what} failed (exit status {done.returncode}). It ended with:\n{end}")


def python_of(folder: Path) -> Path:
    """The interpreter of the environment that lies in `folder`."""
    return folder / "venv" / "bin" / "python"


def environment(folder: Path, steps: list[list[str]], what: str) -> tuple[Path, float]:
    """The interpreter of the environment in `folder`, made if it isn't there, and the seconds that took (0 if it was).

    `steps` are pip's arguments, one list for each call; torch's version is held fast in all of them. An environment
    that was not finished, or was made by other steps, is made anew.
    """
    python, done = python_of(folder), folder / "installed.txt"
    wanted = "\n".join([TORCH, *(" ".join(step) for step in steps)])
    if python.exists() and done.exists() and done.read_text(encoding="utf-8") == wanted:
        return python, 0.0
    started = time.perf_counter()
    shutil.rmtree(folder / "venv", ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    constraints = folder / "constraints.txt"
    constraints.write_text(f"{TORCH}\n", encoding="utf-8")
    call([sys.executable, "-m", "venv", str(folder / "venv")], f"Making {what}'s environment", folder / "venv.log")
    for number, step in enumerate([["install", TORCH], *steps]):
        held = ["-c", str(constraints)] if step[0] == "install" else []
        command = [str(python), "-m", "pip", step[0], "-q", *held, *step[1:]]
        call(command, f"Installing {what} (pip {' '.join(step)})", folder / f"install-{number}.log")
    done.write_text(wanted, encoding="utf-8")
    return python, time.perf_counter() - started
