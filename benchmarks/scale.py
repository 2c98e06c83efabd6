"""Runs grids of up to 100,000 cells whose training takes no time: what stands around the training, per 10,000 cells.

    python benchmarks/scale.py [CELLS] [CELLS_IN_MLFLOW]

The cells have curves and alignments of the size that real ones have; only the training is made up.
"""

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from attnbench import runner
from attnbench.cell import Pack
from attnbench.engines.base import Finished
from attnbench.engines.serial import SerialEngine
from attnbench.grid.expand import expand
from attnbench.grid.load import load_grid
from attnbench.metrics import METRICS
from attnbench.outcome import Alignments, Outcome
from attnbench.store.status import states_of
from attnbench.store.store import Store
from attnbench.tracking.client import Tracker
from attnbench.tracking.sync import catch_up

CELLS, IN_MLFLOW = 100_000, 10_000
UNIT = 10_000
SEEDS = 10
GRID = """
name: large
seeds: {seeds}
max_cells: 1000000
grid:
  score: [cosine, additive, location, general, dot]
  task: [copy, reverse, sort, translate]
  train.learning_rate: [{rates}]
"""
WORDS = [*"abcdefghij", "</s>"]
N = len(WORDS)
PICTURES = Alignments(
    source=[WORDS] * 8,
    target=[WORDS] * 8,
    weights=np.random.default_rng(0).dirichlet(np.ones(N), (8, N)).astype(np.float32),
    links=np.repeat(np.eye(N)[None], 8, axis=0).astype(bool),
    forming_source=WORDS,
    forming_target=WORDS,
    forming_links=np.eye(N).astype(bool),
    forming=np.random.default_rng(1).dirichlet(np.ones(N), (5, N)).astype(np.float32),
    steps=np.array([0, 100, 200, 400, 800]),
)
HISTORY = [
    {"step": step, "train/loss": 1 / step, "valid/loss": 1 / step, "valid/exact_match": 0.5, "seconds": step / 100}
    for step in range(100, 900, 100)
]


RESULT = dict.fromkeys(METRICS, 0.5) | {"steps_to_95": 300.0, "parameters": 12345.0, "flops": 12345678.0}


def train(pack: Pack, device: str, report: Callable[..., None]) -> list[Outcome]:
    """A training that takes no time."""
    del device, report
    pairs = zip(pack.ids, pack.seeds, strict=True)
    return [Outcome(id_, "done", seed, RESULT, HISTORY, alignments=PICTURES) for id_, seed in pairs]


def measure(cells: int = CELLS, in_mlflow: int = IN_MLFLOW) -> dict[str, Any]:
    """Seconds that the steps of a large run take, its memory, and MLflow's share for a smaller one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = _measure_run(folder, cells)
        found["megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
        return found | (_measure_mlflow(folder / "mlflow", in_mlflow) if in_mlflow else {})


def grid_of(folder: Path, cells: int) -> Path:
    """Writes a grid of so many cells, `large.yaml`."""
    folder.mkdir(exist_ok=True)
    rates = cells // (SEEDS * 20)
    file = folder / "large.yaml"
    file.write_text(GRID.format(seeds=SEEDS, rates=", ".join(f"{1e-3 + 1e-7 * n:.7f}" for n in range(rates))))
    return file


def run(grid: Path, results: Path, listener: Callable[[Any], None] | None = None, **options: Any) -> int:
    """Runs the grid, with a training that takes no time; returns the number of its finished cells."""
    runner.ENGINES["serial"] = partial(SerialEngine, train="scale:train")  # type: ignore[assignment]
    options = {"engine": "serial", "device": "cpu", "mlflow": False} | options
    return len(runner.run(grid, results=results, listener=listener, **options))


def _measure_run(folder: Path, cells: int) -> dict[str, Any]:
    grid, results = grid_of(folder, cells), folder / "results"
    found: dict[str, Any] = {}
    with _timed(found, "expand"):
        plan = expand(load_grid(grid))
    found["cells"] = len(plan.cells)
    clock = _Clock()
    with _timed(found, "run"):
        run(grid, results, clock)
    found["run, per 10,000 cells"] = clock.laps
    store = Store(results / "large")
    with _timed(found, "resume scan"):
        assert {state.name for state in states_of(plan.cells, store).values()} == {"done"}
    with _timed(found, "table"):
        assert len(Store(store.folder).frame()) == len(plan.cells)
    with _timed(found, "the same command again"):
        run(grid, results)
    (store.folder / ".index").unlink()
    with _timed(found, "resume scan without the index"):
        assert {state.name for state in states_of(plan.cells, Store(store.folder)).values()} == {"done"}
    return found


class _Clock:
    """A listener that notes how long each 10,000 cells take."""

    def __init__(self) -> None:
        self.laps: list[float] = []
        self._finished, self._since = 0, time.perf_counter()

    def __call__(self, event: object) -> None:
        if isinstance(event, runner.Planned):
            self._since = time.perf_counter()
        if isinstance(event, Finished):
            self._finished += len(event.outcomes)
            if self._finished % UNIT == 0:
                now = time.perf_counter()
                self.laps.append(now - self._since)
                self._since = now


class _timed:
    """Notes the seconds that a block takes."""

    def __init__(self, found: dict[str, Any], what: str) -> None:
        self.found, self.what = found, what

    def __enter__(self) -> None:
        self.begun = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.found[self.what] = time.perf_counter() - self.begun


def _measure_mlflow(folder: Path, cells: int) -> dict[str, Any]:
    """What MLflow takes on SQLite: logging, and finding it all again."""
    grid, results = grid_of(folder, cells), folder / "results"
    run(grid, results)
    store, found = Store(results / "large"), {"cells in MLflow": cells}
    with _timed(found, "MLflow, sync of all cells"):
        found["MLflow, seconds per 1,000 cells"] = laps_of_logging(store, None, 1000)
    with _timed(found, "MLflow, sync with nothing to do"):
        assert catch_up(store, None)[:2] == (0, cells)
    found["MLflow, megabytes on disk"] = sum(f.stat().st_size for f in results.glob("ml*/**/*") if f.is_file()) / 1e6
    found["MLflow, megabytes on disk"] += (results / "mlflow.db").stat().st_size / 1e6
    return found


def laps_of_logging(store: Store, uri: str | None, unit: int) -> list[float]:
    """Logs all cells of a run to MLflow; returns the seconds of each `unit` cells, the last of them without the end."""
    since, laps, logged, log = time.perf_counter(), [], 0, Tracker.log_cell

    def counted(self: Tracker, *arguments: Any) -> bool:
        nonlocal since, logged
        taken = log(self, *arguments)
        logged += 1
        if logged % unit == 0:
            now = time.perf_counter()
            laps.append(now - since)
            since = now
        return taken

    Tracker.log_cell = counted  # type: ignore[method-assign]
    try:
        catch_up(store, uri)
    finally:
        Tracker.log_cell = log  # type: ignore[method-assign]
    return laps


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    print(json.dumps(measure(*map(int, sys.argv[1:])), indent=1))
