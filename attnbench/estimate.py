"""Estimates how long a grid takes: a cost model per pack, calibrated with the finished cells of the same grid."""

import math
from collections.abc import Mapping, Sequence
from statistics import median

from attnbench.cell import Cell, Pack

# Seconds per step of three replicas of the default model on the default data (GRU, width 64, batch 32, lengths 3 to
# 10), validation included: 600 steps took 11 s on one core of a 2-core x86 virtual machine.
STEP_SECONDS = 0.018
# Share of that time that does not depend on the size of the batch: the overhead of calls, not arithmetic.
FIXED_SHARE = 0.5
# Attention takes a share of a step that grows with the length: at this number of words it doubles the time per word.
LONG = 80
# Its targets are longer than its sources: a pack of it took 1.35 times as long as one of copy.
TRANSLATE = 1.35
# The time of a step with these parts, relative to additive, softmax and the scope global (results/speed.md).
PARTS = {
    "sparsemax": 1.6, "entmax": 1.6, "softpick": 1.2, "location_conv": 1.5, "coverage": 1.2, "gmm": 1.1,
    "monotonic": 1.3,
}  # fmt: skip
BISECTION = 1.3  # entmax with an alpha whose threshold is not found by sorting, relative to entmax
# A worker imports torch before its first pack.
START_SECONDS = 3.0


def pack_seconds(pack: Pack) -> float:
    """Returns the estimated time of a pack on one core of the reference machine, in seconds."""
    data, train, width = pack.cell.data, pack.cell.train, pack.cell.model.options.get("width")
    width = width if isinstance(width, int | float) else 64  # a custom model may use the name for anything
    rows = train.batch_size * len(pack.seeds) / (32 * 3)
    step = _time_of(data.min_length, data.max_length) * (FIXED_SHARE + (1 - FIXED_SHARE) * rows * width / 64)
    # To evaluate a sentence takes about as long as to train on one.
    sets = [(data.min_length, data.max_length, data.validation_examples + data.test_examples)]
    sets += [(length, length, data.test_examples) for length in data.test_lengths]
    evaluated = sum(_time_of(least, most) * count for least, most, count in sets) * len(pack.seeds) / (32 * 3)
    seconds = STEP_SECONDS * (step * train.steps + evaluated * width / 64)
    return _slowness(pack.cell) * (TRANSLATE if pack.cell.task.name == "translate" else 1) * seconds


def _time_of(least: int, most: int) -> float:
    """Returns the time for a source of a random length from `least` to `most`, relative to one of 3 to 10 words."""

    def mean(a: int, b: int) -> float:
        return (a + b) / 2 + (a * a + a * b + b * b) / 3 / LONG

    return mean(least, most) / mean(3, 10)


def _slowness(cell: Cell) -> float:
    """Returns the time per step relative to the recurrent model of the same width with the default parts.

    A custom part counts as a default one.
    """
    # Measured factors; the estimate is corrected by finished cells anyway.
    parts = [part for part in (cell.score, cell.scope, cell.normaliser) if part is not None]
    slowness = math.prod(PARTS.get(part.name, 1.0) for part in parts)
    if any(part.name == "entmax" and part.options["alpha"] not in (1.5, 2.0) for part in parts):
        slowness *= BISECTION
    options = cell.model.options
    if cell.model.name == "transformer":
        return slowness * 1.6 * float(options["layers"])
    if cell.model.name == "ntm":
        return slowness * (2.5 + 2 * float(options["slots"] * options["slot_width"]) / 640)
    # The convolutions of the captioner take most of its time, whatever the score and the scope.
    return slowness * {"lstmn": 3.0, "captioner": 4.0}.get(cell.model.name, 1.0)


def estimate(todo: Sequence[Pack], finished: Sequence[Pack], seconds: Mapping[str, float], workers: int) -> float:
    """Estimates the wall time of the packs to train, in seconds.

    Args:
        todo: the packs to train.
        finished: packs that this machine has trained before.
        seconds: training time of each of their cells, by id (a cell's share of its pack).
        workers: number of packs trained at a time.

    Returns:
        0.0 if there is nothing to train. Finished packs calibrate the estimate: those of the same model, scope and
        task if there are any, else all of them.
    """
    if not todo:
        return 0.0
    slowness: dict[tuple[str, ...], list[float]] = {}
    for pack in finished:
        ratio = sum(seconds[cell] for cell in pack.ids) / pack_seconds(pack)
        for key in ((), _kind(pack.cell)):
            slowness.setdefault(key, []).append(ratio)
    everywhere = slowness.get((), [1.0])
    costs = [pack_seconds(pack) * median(slowness.get(_kind(pack.cell), everywhere)) for pack in todo]
    # No schedule can be shorter than its longest pack, or than all work divided by the workers.
    return START_SECONDS + max(max(costs), sum(costs) / workers)


def seconds_left(done: float, left: float, seconds: float) -> float | None:
    """Estimates the time that a running grid still needs.

    Args:
        done: the work done by this run, in any unit.
        left: the work that is left, in the same unit.
        seconds: since this run began with its work.

    Returns:
        None as long as too little is done for an estimate.
    """
    # Below 2 % the estimate would jump with every message.
    return seconds * left / done if done > 0.02 * (done + left) else None


def _kind(cell: Cell) -> tuple[str, ...]:
    return (cell.model.name, cell.scope.name, cell.task.name)


def about(seconds: float) -> str:
    """Formats a duration roughly: "about 3 min"."""
    if seconds < 55:
        return f"about {max(5, 5 * round(seconds / 5))} s"
    if seconds < 55 * 60:
        return f"about {max(1, round(seconds / 60))} min"
    return f"about {seconds / 3600:.1f} h"
