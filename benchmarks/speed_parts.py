"""Costs of each normaliser, and each score or scope that depends on the previous step, beside softmax and additive."""

import statistics
import time
from typing import Any

from speed_cost import DEFAULT, training

PARTS: dict[str, dict[str, Any]] = {
    "softmax": {},
    "sparsemax": {"normaliser": "sparsemax"},
    "entmax": {"normaliser": "entmax"},
    "entmax, alpha 1.3": {"normaliser": "entmax", "options": {"alpha": 1.3}},
    "softmax1": {"normaliser": "softmax1"},
    "ssmax": {"normaliser": "ssmax"},
    "sigmoid": {"normaliser": "sigmoid"},
    "softpick": {"normaliser": "softpick"},
    "location_conv": {"score": "location_conv"},
    "coverage": {"score": "coverage"},
    "gmm": {"score": "gmm"},
    "monotonic": {"scope": "monotonic"},
}
SIZES = [{}, {"width": 32}, {"width": 256}, {"length": 50}, {"length": 200}]
SECONDS = 8.0  # for all parts of one size together, at least ROUNDS steps of each
ROUNDS = 5


def parts() -> dict[str, Any]:
    """Milliseconds per step of softmax and additive, and the ratio of each other part to it, at every size.

    The parts take their steps in turn, so that a machine that becomes slower or faster meanwhile changes no ratio.
    """
    found: dict[str, Any] = {}
    for size in SIZES:
        trained = {name: training(DEFAULT | size | part) for name, part in PARTS.items()}
        for each in trained.values():
            each._step()
        times: dict[str, list[float]] = {name: [] for name in trained}
        end = time.perf_counter() + SECONDS
        while time.perf_counter() < end or len(times["softmax"]) < ROUNDS:
            for name, each in trained.items():
                begun = time.perf_counter()
                each._step()
                times[name].append(time.perf_counter() - begun)
        medians = {name: statistics.median(walls) for name, walls in times.items()}
        label = ", ".join(f"{axis} {value}" for axis, value in size.items()) or "width 64, length 10"
        found[label] = {
            "milliseconds": 1000 * medians["softmax"],
            "steps": len(times["softmax"]),
            "ratios": {name: median / medians["softmax"] for name, median in medians.items() if name != "softmax"},
        }
    return found
