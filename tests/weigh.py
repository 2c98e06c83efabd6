"""What a command loads and how long it takes, in a process of its own."""

import os
import subprocess
import sys
from dataclasses import dataclass


@dataclass
class Weight:
    """The top-level packages imported, the processor seconds used, and what was printed."""

    packages: set[str]
    seconds: float
    output: str


def weigh(*arguments: str) -> Weight:
    """Runs `attnbench` with these arguments. Processor time, since a busy machine says nothing about a command."""
    before = os.times()
    program = [sys.executable, "-X", "importtime", "-m", "attnbench", *arguments]
    told = subprocess.run(program, capture_output=True, text=True, check=True)
    after = os.times()
    imported = [line for line in told.stderr.splitlines() if line.startswith("import time:")]
    return Weight(
        packages={line.rpartition("|")[2].strip().split(".")[0] for line in imported},
        seconds=after.children_user - before.children_user + after.children_system - before.children_system,
        output=told.stdout,
    )
