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
from attnbench.engines.base import Finished, Started
from attnbench.engines.ray import RayEngine
from attnbench.engines.ray_cluster import QUIET

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
    """Listens to a run, and kills a node without warning while packs are trained on it."""

    def __init__(self, made: Any, kill_after: int) -> None:
        self.made = made
        self.kill_after = kill_after
        self.killed = 0
        self.finished = 0
        self.started = 0

    def __call__(self, event: object) -> None:
        self.started += isinstance(event, Started)
        self.finished += isinstance(event, Finished)
        # Every node trains: as many packs have begun and not ended as there are CPUs.
        if not self.killed and self.finished >= self.kill_after and self.started - self.finished == NODES * CPUS:
            self.made.remove_node(next(iter(self.made.worker_nodes)), allow_graceful=False)
            self.killed += 1


class Watched(RayEngine):
    """The engine, and the last one that was made."""

    last: "Watched"

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
        with cluster() as made, _watched():
            killer = Killer(made, kill_after=1)
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
def _watched() -> Iterator[None]:
    before = runner.ENGINES["ray"]
    runner.ENGINES["ray"] = Watched
    try:
        yield
    finally:
        runner.ENGINES["ray"] = before


def _table(file: Path) -> list[dict[str, str]]:
    """The rows without what depends on the clock."""
    with file.open() as lines:
        return [{name: value for name, value in row.items() if name not in TIMED} for row in csv.DictReader(lines)]


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
