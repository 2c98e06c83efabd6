"""What a training step costs, and how much of the core's own speed it uses."""

import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from attnbench.cell import Cell, Component, Data, Pack, Train
from attnbench.registry import REGISTRIES
from attnbench.training.train import _Training

CPU = torch.device("cpu")
DEFAULT = {"width": 64, "batch": 32, "replicas": 3, "length": 10, "score": "additive", "model": "rnn"}
AXES: dict[str, list[Any]] = {
    "width": [32, 64, 128, 256, 512, 1024],
    "length": [10, 25, 50, 100, 200, 400],
    "batch": [8, 16, 32, 64, 128, 256],
    "replicas": [1, 2, 4, 8, 16, 32, 64],
    "score": ["cosine", "additive", "location", "general", "dot", "scaled_dot"],
    "model": ["rnn", "transformer", "lstmn", "pointer", "ntm"],
}
SECONDS = 2.0  # that a size is measured for, after a warm-up


def training(setting: dict[str, Any]) -> _Training:
    """A training of the copy task on one core, with every source of the same length."""
    torch.set_num_threads(1)
    kind = setting["model"]
    width = REGISTRIES["model"].entry(kind)
    options = width.resolve({"width": setting["width"]} if width.takes("width") else {})
    score = Component(name=setting["score"], options=REGISTRIES["score"].entry(setting["score"]).resolve({}))
    scope = "self" if kind in ("transformer", "lstmn") else "global"
    length, replicas = setting["length"], setting["replicas"]
    cell = Cell(
        model=Component(name=kind, options=options),
        score=score,
        scope=Component(name=scope, options=REGISTRIES["scope"].entry(scope).resolve({})),
        task=Component(name="copy", options=REGISTRIES["task"].entry("copy").resolve({})),
        data=Data(min_length=length, max_length=length, validation_examples=10, test_examples=10),
        train=Train(batch_size=setting["batch"], steps=10**6),
        seed=0,
    )
    return _Training(Pack(cell=cell, seeds=tuple(range(replicas)), ids=("",) * replicas), CPU, lambda _: None)


def step_seconds(trained: _Training, seconds: float = SECONDS) -> float:
    """The median time of a step."""
    for _ in range(2):
        trained._step(1)
    times, end = [], time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        begun = time.perf_counter()
        trained._step(1)
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def peak() -> float:
    """The core's matrix product, the best of several, in floating-point operations per second."""
    torch.set_num_threads(1)
    a, best = torch.randn(1024, 1024), float("inf")
    for _ in range(30):
        begun = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - begun)
    return 2 * 1024**3 / best


def arithmetic() -> dict[str, Any]:
    """The arithmetic used in training the default cell at batch 64, as a share of the core's peak."""
    from torch.utils.flop_counter import FlopCounterMode

    found: dict[str, Any] = {}
    for replicas in (1, 3, 8, 16):
        trained = training(DEFAULT | {"batch": 64, "replicas": replicas})
        trained._step(1)
        with FlopCounterMode(display=False) as counter:
            trained._step(1)
        before, seconds, after = peak(), step_seconds(trained, 5.0), peak()
        operations = counter.get_total_flops()
        found[str(replicas)] = {
            "operations": operations,
            "seconds": seconds,
            "peak": max(before, after),
            "share": operations / seconds / max(before, after),
        }
    return found


def cost() -> dict[str, Any]:
    """Milliseconds per step and megabytes against each size, the others at their defaults; a process for each."""
    return {axis: {str(value): _measured(axis, value) for value in values} for axis, values in AXES.items()}


def _measured(axis: str, value: Any) -> dict[str, float] | None:
    told = subprocess.run([sys.executable, __file__, axis, str(value)], stdout=subprocess.PIPE, text=True, check=False)
    if told.returncode:
        return None  # it did not fit
    milliseconds, megabytes = map(float, told.stdout.split())
    return {"milliseconds": milliseconds, "megabytes": megabytes}


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    kind = type(DEFAULT[sys.argv[1]])
    one = training(DEFAULT | {sys.argv[1]: kind(sys.argv[2])})
    print(1000 * step_seconds(one), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)
