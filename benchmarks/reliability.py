"""Measures what attnbench bears, and writes results/reliability.md.

python benchmarks/reliability.py [--quick]

Kills of drivers and workers, hostile grids, a Ray cluster that loses a node, and large grids. Takes about half an hour.
"""

import argparse
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

import fuzz_grid
import reliability_ray
import scale
import torch

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "results" / "reliability.md"
sys.path.insert(0, str(ROOT / "tests"))
from kills import Report, kill_runs  # noqa: E402


def kills(number: int, mlflow: bool) -> Report:
    """Runs that are killed so many times."""
    with tempfile.TemporaryDirectory() as folder:
        return kill_runs(Path(folder), number, seed=1, mlflow=mlflow)


def killed_section(number: int) -> list[str]:
    """Kills with MLflow and without."""
    lines = [
        "| | drivers killed | workers killed | runs brought to their end | cells lost | files corrupt | other tables |"
    ]
    lines.append("|---|---:|---:|---:|---:|---:|---:|")
    for name, mlflow in (("without MLflow", False), ("with MLflow", True)):
        found = kills(number, mlflow)
        counts = [found.drivers, found.workers, found.runs, len(found.lost), len(found.corrupt), len(found.different)]
        lines.append(f"| {name} | {' | '.join(map(str, counts))} |")
    return [
        "`kill -9` of the driver or of a worker at a random moment; then the same command again, until the grid is "
        "done. The table is held against that of an undisturbed run, but for the columns that a clock measures.",
        "",
        *lines,
    ]


def table(found: dict[str, Any]) -> list[str]:
    """The figures of a measurement, a row each."""
    shown = {key.replace("_", " "): round(v, 2) if isinstance(v, float) else v for key, v in found.items()}
    return ["| | |", "|---|---:|", *(f"| {key} | {value} |" for key, value in shown.items() if value != [])]


def main() -> None:
    """Measures, and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything, printed instead of written")
    quick = parser.parse_args().quick
    part = 10 if quick else 1
    lines = [
        "# What it bears",
        "",
        f"`python benchmarks/reliability.py` (torch {torch.__version__}, {platform.machine()}, two cores).",
        *["", "## Killed at random moments", "", *killed_section(100 // part)],
        *["", "## Hostile grid files", "", *table(fuzz_grid.measure(10_000 // part, 1))],
        *["", "## A Ray cluster that loses a node", "", *table(reliability_ray.measure())],
        *["", "## A large grid", "", *table(scale.measure(100_000 // part))],
    ]
    text = "\n".join(lines) + "\n"
    if quick:
        print(text)
    else:
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
