"""Kills nodes of a Ray cluster in the middle of a run, and compares the table with the one of undisturbed processes.

    python benchmarks/reliability_ray.py

The cluster is real, of several nodes on this machine: each has its own raylet, object store and workers.
"""

import csv
import json
import os
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attnbench import runner
from attnbench.cell import Pack
from attnbench.engines.base import Finished, Report
from attnbench.engines.ray import RayEngine
from attnbench.engines.ray_cluster import QUIET
from attnbench.outcome import Outcome

GRID = """
name: nodes
seeds: 2
grid:
  score: [additive, dot, general]
  task: [copy, reverse]
data: {vocabulary: 8, min_length: 2, max_length: 5, validation_examples: 40, test_examples: 40}
model: {kind: rnn, width: 16, embedding: 8}
train: {steps: STEPS, batch_size: 8, valid_every: 25}
"""
NODES = 2  # besides the head
CPUS = 1  # of each
STORE = 100 * 2**20  # bytes of shared memory of each: outcomes are small
TIMED = ("seconds", "tokens_per_second")

HELD = "ATTNBENCH_HELD"  # the variable that names the folder by which the driver and the nodes hold packs
HOLD, KILLED = "hold", "killed"  # files in it: packs are to be held; a node was killed
HELD_SECONDS, POLL_SECONDS = 120.0, 0.05

# A lost node is noticed in seconds, not in half a minute, so that the test is short.
HEALTH = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 6,
}


@contextmanager
def cluster(nodes: int = NODES, cpus: int = CPUS, **head: Any) -> Iterator[Any]:
    """A Ray cluster of a head without CPUs and so many nodes, on this machine."""
    os.environ.update(QUIET)
    from ray.cluster_utils import Cluster

    arguments = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE, "_system_config": HEALTH}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # Ray leaves the client server's log files open
        made = Cluster(initialize_head=True, head_node_args=arguments | head)
    try:
        for _ in range(nodes):
            made.add_node(num_cpus=cpus, object_store_memory=STORE)
        yield made
    finally:
        made.shutdown()


class Killer:
    """Listens to a run, and kills a node that is training a pack, after the first pack has finished.

    Which node trains at a moment is not known from outside. So the packs that end after the first one are held on their
    nodes (`train_and_hold`) until a node is killed.
    """

    def __init__(self, made: Any, held: Path) -> None:
        self.made = made
        self.held = held
        self.killed = 0
        self.finished = 0

    def __call__(self, event: object) -> None:
        self.finished += isinstance(event, Finished)
        if self.finished and not self.killed:
            (self.held / HOLD).touch()
            training = self._a_node_that_holds()
            self.made.remove_node(training, allow_graceful=False)
            self.killed += 1
            (self.held / KILLED).touch()

    def _a_node_that_holds(self) -> Any:
        for _ in range(int(HELD_SECONDS / POLL_SECONDS)):
            for node in self.made.worker_nodes:
                if (self.held / node.node_id).exists():
                    return node
            time.sleep(POLL_SECONDS)
        raise TimeoutError(f"no node has trained a pack within {HELD_SECONDS:.0f} s")


def train_and_hold(pack: Pack, device: str, report: Report) -> list[Outcome]:
    """Runs on a node: trains a pack, and while packs are held, returns its outcomes only after a node was killed."""
    import ray

    from attnbench.training.train import train  # here, because it imports torch

    outcomes = train(pack, device, report)
    held = Path(os.environ[HELD])
    if (held / HOLD).exists():
        (held / ray.get_runtime_context().get_node_id()).touch()
        while not (held / KILLED).exists():
            time.sleep(POLL_SECONDS)
    return outcomes


class Watched(RayEngine):
    """The engine, with packs that can be held; and the last one that was made."""

    last: "Watched"

    def __init__(self, workers: int, device: str, **options: Any) -> None:
        super().__init__(workers, device, "reliability_ray:train_and_hold", **options)

    def prepare(self) -> None:
        Watched.last = self
        super().prepare()


def measure(steps: int = 200) -> dict[str, Any]:
    """Runs a small grid on processes and on Ray, with a node killed, and says what was lost."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        grid = folder / "nodes.yaml"
        grid.write_text(GRID.replace("STEPS", str(steps)))
        frame = runner.run(grid, results=folder / "processes", device="cpu", mlflow=False)
        begun = time.monotonic()
        held = folder / "held"
        held.mkdir()
        with _environment(held), cluster() as made, _watched():
            killer = Killer(made, held)
            options = {"engine": "ray", "address": made.address, "device": "cpu", "mlflow": False}
            runner.run(grid, results=folder / "ray", listener=killer, **options)
        seconds = time.monotonic() - begun
        there, here = (_table(folder / engine / "nodes" / "table.csv") for engine in ("processes", "ray"))
    return {
        "nodes": NODES,
        "nodes killed": killer.killed,
        "packs": killer.finished,
        "packs retried": len(Watched.last.lost),
        "cells": len(frame),
        "cells lost": len(there) - sum(row["status"] == "done" for row in here),
        "table equal": there == here,
        "seconds": round(seconds, 1),
    }


@contextmanager
def _environment(held: Path) -> Iterator[None]:
    """Sets what the nodes inherit from this process: the folder of held packs, and where to import this module from."""
    before = dict(os.environ)
    paths = [str(Path(__file__).parent), *filter(None, [before.get("PYTHONPATH")])]
    os.environ.update({HELD: str(held), "PYTHONPATH": os.pathsep.join(paths)})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _watched() -> Iterator[None]:
    before = runner.ENGINES["ray"]
    runner.ENGINES["ray"] = Watched
    try:
        yield
    finally:
        runner.ENGINES["ray"] = before


def _table(file: Path) -> list[dict[str, str]]:
    """The rows without what depends on the clock."""
    with file.open(encoding="utf-8") as lines:
        return [{name: value for name, value in row.items() if name not in TIMED} for row in csv.DictReader(lines)]


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
