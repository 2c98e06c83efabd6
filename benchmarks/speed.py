"""How fast attnbench is beside what people use, measured side by side; writes results/speed.md.

    python benchmarks/speed.py [PART ...]

Parts: quickstart, profile, start, workers, arithmetic, cost, memory, parts, and beside other toolkits ours, tuned,
joey_seeds, joey, joey_default, yoyodyne, yoyodyne_default; all unless some are named. `page` measures nothing and
writes the page. What was measured before stays in results/speed.json, so that a part can be measured again by itself.
All of them take two hours on two cores that do nothing else.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import pandas as pd  # noqa: E402
import speed_cost  # noqa: E402
import speed_page  # noqa: E402
import speed_parts  # noqa: E402
import speed_peers  # noqa: E402
import yaml  # noqa: E402

MEASURED, PAGE = ROOT / "results" / "speed.json", ROOT / "results" / "speed.md"
ON_GPU = ROOT / "results" / "gpu.json"  # by benchmarks/gpu.py
QUICKSTART = ROOT / "experiments" / "quickstart.yaml"
REPEATS = 3
Figures = dict[str, Any]


def quickstart() -> Figures:
    """quickstart.yaml by attnbench, MLflow included, and one seed of it by the plain loop; both test the same sets.

    In turn, REPEATS times: a machine that becomes slower meanwhile then changes both.
    """
    command = [sys.executable, str(ROOT / "benchmarks" / "plain_loop.py"), str(QUICKSTART), "1"]
    walls, plain_walls = [], []
    for _ in range(REPEATS):
        with tempfile.TemporaryDirectory() as folder:
            walls.append(_run(QUICKSTART, Path(folder)))
            frame = pd.read_csv(Path(folder) / "quickstart" / "table.csv")
        begun = time.perf_counter()
        printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=_default_threads()).stdout
        plain_walls.append(time.perf_counter() - begun)
        plain = pd.DataFrame([json.loads(line) for line in printed.splitlines()])
    return {
        "cells": len(frame),
        "walls": walls,
        "plain cells": len(plain),
        "plain walls": plain_walls,
        "exact match": frame["exact_match"].mean(),
        "plain exact match": plain["exact_match"].mean(),
    }


def profile() -> Figures:
    """What the time of quickstart.yaml is spent on; as a process, because it replaces parts of the package."""
    command = [sys.executable, str(ROOT / "benchmarks" / "speed_profile.py"), str(QUICKSTART)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def start() -> Figures:
    """72 cells that train for one step each, the tables and MLflow included."""
    grid = yaml.safe_load(QUICKSTART.read_text())
    grid |= {"name": "start", "seeds": 3}
    grid["train"]["steps"] = 1
    small = grid["data"] | {"validation_examples": 50, "test_examples": 50, "test_lengths": []}
    found: Figures = {}
    for name, data in (("as in quickstart", grid["data"]), ("50 test sentences", small)):
        walls = []
        for _ in range(REPEATS):
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "start.yaml"
                file.write_text(yaml.safe_dump(grid | {"data": data}, sort_keys=False))
                walls.append(_run(file, Path(folder) / "results"))
        found[name] = walls
    return found


def workers() -> Figures:
    """Half of quickstart with 250 steps, on one worker and on two."""
    grid = yaml.safe_load(QUICKSTART.read_text())
    grid |= {"name": "workers", "seeds": 3}
    grid["train"]["steps"] = 250
    grid["grid"]["score"] = ["additive", "dot", "general"]
    walls: dict[str, list[float]] = {"1": [], "2": []}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "workers.yaml"
        file.write_text(yaml.safe_dump(grid, sort_keys=False))
        for repeat in range(2):
            for number, kept in walls.items():
                kept.append(_run(file, Path(folder) / f"{repeat}-{number}", "--workers", number, "--no-mlflow"))
    return {"walls": walls, "ratio": statistics.median(walls["1"]) / statistics.median(walls["2"])}


def _run(grid: Path, results: Path, *options: str) -> float:
    """The wall seconds of the whole command."""
    command = [sys.executable, "-m", "attnbench", "run", str(grid), "--results", str(results), *options]
    begun = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun


def _default_threads() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}


PARTS: dict[str, Callable[[], Figures]] = {
    "quickstart": quickstart,
    "profile": profile,
    "start": start,
    "workers": workers,
    "arithmetic": speed_cost.arithmetic,
    "cost": speed_cost.cost,
    "memory": speed_cost.memory,
    "parts": speed_parts.parts,
    "ours": speed_peers.ours,
    "tuned": speed_peers.tuned,
    "joey_seeds": speed_peers.joey_seeds,
    "joey": speed_peers.joey_nmt,
    "joey_default": speed_peers.joey_default,
    "yoyodyne": speed_peers.yoyodyne_1,
    "yoyodyne_default": speed_peers.yoyodyne_default,
}


def _machine() -> str:
    import torch

    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__}, "
        f"{date.today().isoformat()}, commit {commit.strip() or 'unknown'}"
    )


def main() -> None:
    """Measures the parts that are named, or all, and writes the page of everything that was measured."""
    for name in [] if sys.argv[1:] == ["page"] else sys.argv[1:] or PARTS:
        print(f"{name} …", flush=True)
        figures = PARTS[name]() | {"on": _machine()}
        # Read only now: another part may have been measured meanwhile.
        measured: Figures = json.loads(MEASURED.read_text()) if MEASURED.is_file() else {}
        measured[name] = figures
        MEASURED.write_text(json.dumps(measured, indent=1) + "\n")
    on_gpu = json.loads(ON_GPU.read_text()) if ON_GPU.is_file() else None
    PAGE.write_text(speed_page.page(json.loads(MEASURED.read_text()), on_gpu))
    print(PAGE.read_text())


if __name__ == "__main__":
    main()
