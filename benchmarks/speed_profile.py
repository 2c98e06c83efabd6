"""What the workers and the main process do while quickstart.yaml runs, in seconds.

    python benchmarks/speed_profile.py [GRID.yaml]

A worker's seconds are wall time; it has one thread. MLflow and pictures are logged by a thread of the main process,
whose seconds are processor time: it shares the cores with the workers.
"""

import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from attnbench import runner  # noqa: E402
from attnbench.cell import Pack  # noqa: E402
from attnbench.engines.processes import ProcessEngine  # noqa: E402
from attnbench.outcome import Outcome, Progress  # noqa: E402
from attnbench.tracking.worker import TrackerThread  # noqa: E402

TO = "ATTNBENCH_PROFILE"  # the environment variable with the file that workers append to


def train(pack: Pack, device: str, report: Callable[[Progress], None]) -> list[Outcome]:
    """Trains a pack as usual, and appends the seconds of its phases to the file."""
    from attnbench.training import tested, train

    begun, spent = time.perf_counter(), defaultdict(float)

    def timed(module: Any, name: str, phase: str) -> Callable[[], None]:
        function = getattr(module, name)

        def call(*arguments: Any, **options: Any) -> Any:
            since = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                spent[phase] += time.perf_counter() - since

        setattr(module, name, call)
        return lambda: setattr(module, name, function)

    undo = [
        timed(train.Training, "__init__", "preparing"),
        timed(train.Training, "_step", "training steps"),
        timed(train.Training, "_validate", "validation"),
        timed(train, "tested", "test"),
        timed(tested, "_flops", "counting operations"),
        timed(tested, "test_alignments", "alignments of test sentences"),
    ]
    try:
        return train.train(pack, device, report)
    finally:
        for each in undo:
            each()
        spent["whole packs"] = time.perf_counter() - begun
        spent["began"], spent["worker"] = time.time() - spent["whole packs"], os.getpid()
        with open(os.environ[TO], "a", encoding="utf-8") as file:
            file.write(json.dumps(spent) + "\n")


def profile(grid: Path) -> dict[str, Any]:
    """Runs a grid with MLflow, and returns the seconds of each phase."""
    runner.ENGINES["processes"] = partial(ProcessEngine, train="speed_profile:train")  # type: ignore[assignment]
    logging = _processor_time_of_logging()
    times: dict[str, float] = {}

    def listener(event: object) -> None:
        now = time.time()
        if isinstance(event, runner.Planned):
            times.setdefault("planned", now)
        times["last event"] = now

    with tempfile.TemporaryDirectory() as folder:
        os.environ[TO] = str(Path(folder) / "phases")
        begun = time.time()
        frame = runner.run(grid, results=folder, listener=listener)
        ended = time.time()
        packs = [json.loads(line) for line in Path(os.environ[TO]).read_text().splitlines()]
    first = min(pack["began"] for pack in packs)
    ends = dict.fromkeys({pack["worker"] for pack in packs}, 0.0)
    for pack in packs:
        ends[pack["worker"]] = max(ends[pack["worker"]], pack["began"] + pack["whole packs"])
    phases = {
        name: sum(pack.get(name, 0.0) for pack in packs)
        for name in packs[0]
        if name not in ("began", "worker", "whole packs")
    }
    return {
        "cells": len(frame),
        "wall": ended - begun,
        "planning": times["planned"] - begun,
        "until the first pack trains": first - begun,
        "after the last pack": ended - max(ends.values()),
        "idle at the end, of all workers": sum(max(ends.values()) - end for end in ends.values()),
        "workers": len(ends),
        "in packs, of all workers": sum(pack["whole packs"] for pack in packs),
        "phases, of all workers": phases,
        "logging to MLflow, processor time": logging["seconds"],
    }


def _processor_time_of_logging() -> dict[str, float]:
    found, work = {"seconds": 0.0}, TrackerThread._work

    def measured(self: TrackerThread) -> None:
        try:
            work(self)
        finally:
            found["seconds"] = time.thread_time()

    TrackerThread._work = measured  # type: ignore[method-assign]
    return found


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    given = sys.argv[1:]
    print(json.dumps(profile(Path(given[0]) if given else ROOT / "experiments" / "quickstart.yaml"), indent=1))
