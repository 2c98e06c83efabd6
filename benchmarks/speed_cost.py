"""What a training step costs, and how much of the core's own speed it uses."""

import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from attnbench.cell import Cell, Component, Data, Pack, Train
from attnbench.engines.allocator import kept_memory
from attnbench.registry import REGISTRIES
from attnbench.training.train import Training

CPU = torch.device("cpu")
DEFAULT = {
    "width": 64, "batch": 32, "replicas": 3, "length": 10,
    "model": "rnn", "score": "additive", "scope": "global", "normaliser": "softmax",
}  # fmt: skip
AXES: dict[str, list[int]] = {
    "width": [32, 64, 128, 256, 512, 1024],
    "length": [10, 25, 50, 100, 200, 400],
    "batch": [8, 16, 32, 64, 128, 256],
    "replicas": [1, 2, 4, 8, 16, 32, 64],
}
# Every score, with the recurrent model, and every model against the ends of each axis, and width and length between.
KINDS = {
    "score": ["cosine", "additive", "location", "general", "dot", "scaled_dot"],
    "model": ["rnn", "transformer", "lstmn", "pointer", "ntm"],
}
ENDS = {"width": [32, 256, 1024], "length": [10, 100, 400], "batch": [8, 256], "replicas": [1, 64]}
PATIENCE = 300.0  # seconds for a size, after which it counts as too slow
SECONDS = 1.5  # that a size is measured for, after a step that does not count
MEMORY = {"length": [25, 100, 400], "replicas": [1, 8]}  # of every score and every model
MOST_BYTES = 20 * 2**30  # of address space; with more the machine would have to stop another process


def training(setting: dict[str, Any]) -> Training:
    """A training of the copy task on one core, with every source of the same length."""
    torch.set_num_threads(1)
    kind = setting["model"]
    options = {"width": setting["width"]} if REGISTRIES["model"].entry(kind).takes("width") else {}
    scope = "self" if kind in ("transformer", "lstmn") else setting["scope"]
    length, replicas = setting["length"], setting["replicas"]
    cell = Cell(
        model=_component("model", kind, **options),
        score=_component("score", setting["score"]),
        scope=_component("scope", scope),
        normaliser=_component("normaliser", setting["normaliser"], **setting.get("options", {})),
        task=_component("task", "copy"),
        data=Data(min_length=length, max_length=length, validation_examples=10, test_examples=10),
        train=Train(batch_size=setting["batch"], steps=10**6),
        seed=0,
    )
    return Training(Pack(cell=cell, seeds=tuple(range(replicas)), ids=("",) * replicas), CPU, lambda _: None)


def _component(kind: str, name: str, **options: Any) -> Component:
    return Component(name=name, options=REGISTRIES[kind].entry(name).resolve(options))


def step_seconds(trained: Training, seconds: float = SECONDS) -> float:
    """The median time of a step."""
    trained._step()
    times, end = [], time.perf_counter() + seconds
    while len(times) < 2 or time.perf_counter() < end:
        begun = time.perf_counter()
        trained._step()
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


def of_the_equations(width: int, length: int, trained: Training) -> int:
    """Operations of a sentence's training step as Bahdanau's equations have them: every product of every word.

    A multiplication and an addition count as two; the gradient as twice the forward pass.
    """
    embedding, vocabulary, words = 32, len(trained.task.target_words), length + 1  # EOS
    encoder = embedding * 3 * width + 2 * (width // 2) * 3 * (width // 2) + width * width
    score_and_context = width * width + 2 * words * width
    decoder = score_and_context + (2 * width + embedding) * 3 * width + (2 * width + embedding) * vocabulary
    return 3 * 2 * (words * (encoder + decoder) + width * width // 2)


def arithmetic() -> dict[str, Any]:
    """The arithmetic used in training the default cell at batch 64, as a share of the core's peak."""
    from torch.utils.flop_counter import FlopCounterMode

    found: dict[str, Any] = {}
    for replicas in (1, 3, 8, 16):
        trained = training(DEFAULT | {"batch": 64, "replicas": replicas})
        trained._step()
        with FlopCounterMode(display=False) as counter:
            trained._step()
        before, seconds, after = peak(), step_seconds(trained, 5.0), peak()
        operations, batch = counter.get_total_flops(), 64
        equations = replicas * batch * of_the_equations(DEFAULT["width"], DEFAULT["length"], trained)
        found[str(replicas)] = {
            "operations": operations,
            "of the equations": equations,
            "share of the equations": equations / seconds / max(before, after),
            "seconds": seconds,
            "peak": max(before, after),
            "share": operations / seconds / max(before, after),
        }
    return found


def cost() -> dict[str, Any]:
    """Milliseconds per step and megabytes against each size, what is not named at its default; a process for each."""
    axes = {axis: {str(value): _measured({axis: value}) for value in values} for axis, values in AXES.items()}
    ends = [(axis, value) for axis, values in ENDS.items() for value in values]
    crossed = {
        kind: {
            name: {f"{axis} {value}": _measured({kind: name, axis: value}) for axis, value in ends} for name in names
        }
        for kind, names in KINDS.items()
    }
    return {"axes": axes, "crossed": crossed}


def memory() -> dict[str, Any]:
    """Megabytes of a process after one training step, against the length, of every score and of every model."""
    models = [
        name for name in REGISTRIES["model"].names() if not REGISTRIES["model"].entry(name).declares("reads_images")
    ]
    kinds = {"score": REGISTRIES["score"].names(), "model": models}
    sizes = [(length, replicas) for replicas in MEMORY["replicas"] for length in MEMORY["length"]]
    return {
        kind: {
            name: {
                f"{replicas} × {length}": _median_memory(
                    {kind: name, "length": length, "replicas": replicas, "once": True}
                )
                for length, replicas in sizes
            }
            for name in names
        }
        for kind, names in kinds.items()
    }


def _median_memory(setting: dict[str, Any]) -> dict[str, float] | str:
    """The figures of the run with the median memory of three, as the allocator's differs; of one if there are none."""
    found = [_measured(setting)]
    if isinstance(found[0], str) or setting["length"] < max(MEMORY["length"]):
        return found[0]
    found += [_measured(setting) for _ in range(2)]
    return sorted((one for one in found if not isinstance(one, str)), key=lambda one: one["megabytes"])[len(found) // 2]


def _measured(setting: dict[str, Any]) -> dict[str, float] | str:
    """The figures; or why there are none."""
    command = [sys.executable, __file__, json.dumps(setting)]
    try:
        with kept_memory():  # as in a worker
            told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return "too slow"
    if told.returncode:
        return "too large"
    milliseconds, megabytes = map(float, told.stdout.split())
    return {"milliseconds": milliseconds, "megabytes": megabytes}


def most_megabytes() -> float:
    """The most memory that this program has had; ru_maxrss would include that of the process which started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1000


def once_seconds(trained: Training) -> float:
    """The time of the first step."""
    begun = time.perf_counter()
    trained._step()
    return time.perf_counter() - begun


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    given = DEFAULT | json.loads(sys.argv[1])
    measure = once_seconds if given.get("once") else step_seconds
    print(1000 * measure(training(given)), most_megabytes())
