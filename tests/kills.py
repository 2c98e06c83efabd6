"""Kills runs at random moments, and looks what is left: shared by a test and by benchmarks/reliability.py."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from attnbench.store.alignments import read_alignments

GRID = """
name: killed
seeds: 2
grid:
  score: [additive, dot, location]
  task: [copy, reverse]
data: {vocabulary: 6, min_length: 2, max_length: 4, validation_examples: 20, test_examples: 20}
model: {width: 8, embedding: 4}
train: {steps: 60, batch_size: 4, valid_every: 20}
"""
MEASURED = {"seconds", "tokens_per_second"}  # other numbers each time
DEADLINE = 120.0  # seconds that a run may take on a busy machine


@dataclass
class Report:
    """What happened: kills of the driver and of workers, runs that were brought to their end, and what went wrong."""

    drivers: int = 0
    workers: int = 0
    runs: int = 0
    lost: list[str] = field(default_factory=list)  # cells that were finished before a kill and not after it
    corrupt: list[str] = field(default_factory=list)  # files that could not be read after a kill
    different: list[str] = field(default_factory=list)  # tables that are not that of an undisturbed run

    @property
    def kills(self) -> int:
        """Of both kinds."""
        return self.drivers + self.workers


def kill_runs(folder: Path, kills: int, seed: int, mlflow: bool) -> Report:
    """Starts the same run again and again, killing the driver or a worker, until so many kills are done.

    Args:
        folder: an empty one.
        kills: at least so many.
        seed: of the moments and victims.
        mlflow: whether the runs log to MLflow.
    """
    draw, report = random.Random(seed), Report()
    grid = folder / "killed.yaml"
    grid.write_text(GRID)
    options = [] if mlflow else ["--no-mlflow"]
    begun = time.monotonic()
    driver = _start(grid, folder / "undisturbed", options)
    assert driver.wait(DEADLINE) == 0
    duration, expected = time.monotonic() - begun, _table(folder / "undisturbed")
    while report.kills < kills:
        results = folder / f"run-{report.runs}"
        _until_done(grid, results, options, duration, draw, report)
        report.runs += 1
        if _table(results) != expected:
            report.different.append(str(results))
    return report


def _until_done(
    grid: Path, results: Path, options: list[str], duration: float, draw: random.Random, report: Report
) -> None:
    """One run, disturbed once per start; a start whose moment comes too late brings it to its end."""
    while True:
        driver = _start(grid, results, options)
        moment = time.monotonic() + draw.uniform(0.05, 1.1) * duration
        while time.monotonic() < moment and driver.poll() is None:
            time.sleep(0.01)
        if driver.poll() is None:
            before = _finished(results, report)
            if draw.random() < 0.5 or not (workers := _workers(driver.pid)):
                driver.kill()
                report.drivers += 1
                driver.wait()
            else:
                _kill(draw.choice(workers))
                report.workers += 1
                driver.wait(DEADLINE)
            after = _finished(results, report)
            report.lost += [f"{results}: {cell}" for cell, content in before.items() if after.get(cell) != content]
        if driver.wait(DEADLINE) == 0:
            return
        assert driver.returncode == -signal.SIGKILL, driver.returncode


def _start(grid: Path, results: Path, options: list[str]) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "attnbench", "run", str(grid), "--results", str(results), "--quiet", *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def _kill(process: int) -> None:
    with suppress(ProcessLookupError):  # it has just ended
        os.kill(process, signal.SIGKILL)


def _workers(driver: int) -> list[int]:
    """The processes that the driver has started to train."""
    found: list[str] = []
    with suppress(OSError):  # one of them has just ended
        for folder in Path(f"/proc/{driver}/task").iterdir():  # each of its threads may have started some
            found += (folder / "children").read_text().split()
        found = [child for child in found if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
    return [int(child) for child in found]


def _finished(results: Path, report: Report) -> dict[str, bytes]:
    """The content of every cell's file; all of them, and their alignments, have to be whole."""
    found = {}
    for file in sorted((results / "killed" / "cells").glob("*.json")):
        found[file.stem] = file.read_bytes()
        try:
            json.loads(found[file.stem])
            read_alignments(results / "killed" / "alignments" / f"{file.stem}.npz")
        except Exception as error:
            report.corrupt.append(f"{file}: {error}")
    return found


def _table(results: Path) -> list[dict[str, str]]:
    """The rows of table.csv, but for what is measured with a clock."""
    with (results / "killed" / "table.csv").open(newline="") as file:
        return [{name: v for name, v in row.items() if name not in MEASURED} for row in csv.DictReader(file)]
