"""What a broken machine, a hostile file or a large grid costs, as measured; writes results/reliability.md.

    python benchmarks/reliability.py [PART ...] [--kills N] [--grids N] [--files N] [--cells N] [--in-mlflow N]

The parts are kills, input and size; all unless some are named. The sections of the others stay as they are. All of them
take about two hours on two cores, most of it MLflow's.
"""

import argparse
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import fuzz_grid  # noqa: E402
import mlflow  # noqa: E402
import reliability_ray  # noqa: E402
import scale  # noqa: E402
import torch  # noqa: E402
from broken_files import COMMANDS, break_files  # noqa: E402
from kills import kill_runs  # noqa: E402

PAGE = ROOT / "results" / "reliability.md"


def kills(count: int) -> list[str]:
    """Kills of drivers and workers at random moments."""
    with tempfile.TemporaryDirectory() as folder:
        found = kill_runs(Path(folder), count, seed=int(time.time()), mlflow=False)
    return [
        f"- `kill -9` at random moments: {found.kills} survived, {found.drivers} of the driver and {found.workers} of "
        f"a worker, in {found.runs} runs",
        f"- finished cells lost: {len(found.lost)}; files corrupt: {len(found.corrupt)}; tables other than that of an "
        f"undisturbed run: {len(found.different)}",
    ]


def nodes() -> list[str]:
    """A node of a Ray cluster killed in the middle of a run."""
    found = reliability_ray.measure()
    same = "equal to" if found["table equal"] else "NOT equal to"
    return [
        f"- Ray cluster of {found['nodes']} nodes and a head: {found['nodes killed']} node killed while it trained, "
        f"{found['packs retried']} pack trained again elsewhere, {found['cells lost']} of {found['cells']} cells lost",
        f"- its table: {same} that of the engine `processes`",
    ]


def grids(count: int) -> list[str]:
    """Hostile grid files."""
    found = fuzz_grid.measure(count, int(time.time()))
    return [
        f"- hostile grid files: {found['tried']:,} tried (seed {found['seed']}), {found['accepted']:,} accepted, "
        f"{found['refused']:,} refused with a message, {found['tracebacks']} tracebacks; {found['called']} of them "
        "through the command line",
        f"- the slowest took {found['slowest']:.2f} s of processor time",
    ]


def files(count: int) -> list[str]:
    """Result files that were cut, emptied, edited, removed, or replaced by a folder, a pipe, a link or a device."""
    with tempfile.TemporaryDirectory() as folder:
        found = break_files(Path(folder), count, seed=int(time.time()), mlflow=True)
    return [
        "- files of a run cut, emptied, edited (digest kept, removed or renewed), gone, or replaced by a folder, a "
        f"pipe, a link, a device or an archive of 1.2 GB: {found.tried:,} tried with {found.called:,} commands",
        f"- commands: {', '.join(f'`{name}`' for name in dict.fromkeys(command[0] for command in COMMANDS))}",
        f"- tracebacks: {len(found.tracebacks)}; hangs: {len(found.hangs)}; commands that did not name the edited "
        f"cell: {len(found.unnoticed)}; most memory: {found.megabytes:,.0f} MB",
    ]


def size(cells: int, in_mlflow: int) -> list[str]:
    """Large grids."""
    found = scale.measure(cells, in_mlflow)
    laps = found["run, per 10,000 cells"]
    return [
        f"A grid of {found['cells']:,} cells whose training takes no time, each with curves and alignments:",
        "",
        "| step | time |",
        "|---|---:|",
        f"| expand | {found['expand']:.1f} s |",
        f"| run, per 10,000 cells: first, median, last | {laps[0]:.1f}, {sorted(laps)[len(laps) // 2]:.1f}, "
        f"{laps[-1]:.1f} s |",
        f"| resume scan of {found['cells']:,} finished cells | {found['resume scan']:.1f} s |",
        f"| the same without its index, every file read and checked | {found['resume scan without the index']:.1f} s |",
        f"| the table of all cells | {found['table']:.1f} s |",
        f"| `attnbench run` again, nothing to train | {found['the same command again']:.1f} s |",
        "",
        f"Most memory at any time: {found['megabytes']:,.0f} MB.",
        "",
        *_mlflow_lines(found),
    ]


def _mlflow_lines(found: dict[str, Any]) -> list[str]:
    cells, laps = found["cells in MLflow"], found["MLflow, seconds per 1,000 cells"]
    seconds = found["MLflow, sync of all cells"]
    return [
        f"MLflow on SQLite, {cells:,} cells with five alignment pictures each: {seconds:.0f} s to log them "
        f"({1000 * seconds / cells:.0f} ms a cell; the first thousand took "
        f"{laps[0]:.0f} s, the last {laps[-1]:.0f} s), {found['MLflow, sync with nothing to do']:.0f} s to find that "
        f"all are there, {found['MLflow, megabytes on disk']:,.0f} MB on disk. It goes on beside the training, in a "
        "thread of its own.",
    ]


SECTIONS: dict[str, tuple[str, Callable[[argparse.Namespace], list[str]]]] = {
    "kills": ("Kills", lambda asked: [*kills(asked.kills), *nodes()]),
    "input": ("Hostile and broken input", lambda asked: [*grids(asked.grids), *files(asked.files)]),
    "size": ("Size", lambda asked: size(asked.cells, asked.in_mlflow)),
}


def measured_on() -> str:
    """The commit, the day and the versions of a measurement."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()
    return (
        f"Measured at commit {commit} on {time.strftime('%Y-%m-%d')} (Python {platform.python_version()}, torch "
        f"{torch.__version__}, MLflow {mlflow.__version__}, {platform.machine()}, two cores)."
    )


def main() -> None:
    """Measures the parts that are named, or all, and writes their sections of the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *SECTIONS], default=[])
    defaults = {"kills": 40, "grids": 10_000, "files": 1_000, "cells": 100_000, "in-mlflow": 10_000}
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    before = {part.partition("\n")[0]: part.strip() for part in PAGE.read_text().split("\n## ")[1:]}
    for part in asked.parts or SECTIONS:
        title, measure = SECTIONS[part]
        before[title] = "\n".join([title, "", measured_on(), "", *measure(asked)])
    sections = [f"## {before[title]}" for title, _ in SECTIONS.values() if title in before]
    PAGE.write_text("\n\n".join(["# Nothing lost\n\n`python benchmarks/reliability.py`", *sections]) + "\n")
    print(PAGE.read_text())


if __name__ == "__main__":
    main()
