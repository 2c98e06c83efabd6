"""Runs the command in a process of its own, and looks for what Ray leaves running."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def processes() -> list[str]:
    """What runs of Ray on this machine."""
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if "site-packages/ray/" in line or "ray::" in line]


@contextmanager
def attn(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """`attnbench run` in a process group of its own, which ends with the test."""
    command = [sys.executable, "-m", "attnbench", "run", *options, "--no-mlflow", "--results", str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as run:
        try:
            yield run
        finally:
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGKILL)
