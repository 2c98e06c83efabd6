"""The normalisers' equations for one row at a time, in plain Python numbers; the thresholds are found by bisection."""

import math
from collections.abc import Iterable
from decimal import Decimal, getcontext
from typing import Any

import numpy as np
import torch

import attnbench
from attnbench import registry

getcontext().prec = 60  # exp(1e4) and exp(1e-9) − 1 alike
Array = np.ndarray
LONGEST = 7
NAMES = registry.normaliser.names()
# Every normaliser with each kind of its options.
KINDS: list[tuple[str, dict[str, Any]]] = [
    ("softmax", {}),
    ("sparsemax", {}),
    *(("entmax", {"alpha": alpha}) for alpha in (1.1, 1.5, 2, 2.7, 4)),
    ("softmax1", {"sink": "zero"}),
    ("softmax1", {"sink": "learned"}),
    ("ssmax", {}),
    ("sigmoid", {}),
    ("softpick", {}),
]
KIND_NAMES = ["-".join([name, *map(str, options.values())]) for name, options in KINDS]
SUM_TO_ONE = ("softmax", "sparsemax", "entmax", "ssmax")


def build(name: str, options: dict[str, Any] | None = None, dtype: torch.dtype = torch.float64) -> torch.nn.Module:
    """A normaliser whose parameter, if it has one, is not where it starts."""
    built = attnbench.build_normaliser(name, max_source_length=LONGEST, **(options or {}))
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.fill_(0.7)
    return built.to(dtype)


def normalised(
    name: str, logits: Iterable[float], positions: Iterable[int], alpha: float = 1.5, **numbers: Any
) -> Array:
    """The weights of one row (S,) of which a query may use these positions; 0 elsewhere.

    Args:
        name: the normaliser.
        logits: (S,); a position with a logit of −∞ is not used.
        positions: those inside the mask.
        alpha: of `entmax`.
        numbers: `scale`, the parameter of `ssmax`; `sink_logit`, that of `softmax1`.
    """
    logits = [float(z) for z in logits]
    used = [i for i in positions if logits[i] > -math.inf]
    weights = np.zeros(len(logits))
    if used:
        weights[used] = _row(name, [logits[i] for i in used], alpha, numbers)
    return weights


def _row(name: str, z: list[float], alpha: float, numbers: dict[str, Any]) -> list[float]:
    n = len(z)
    if name == "softmax":
        return _softmax(z)
    if name == "sparsemax":
        return _projected([x - max(z) for x in z], 1)
    if name == "entmax":
        return _projected([(alpha - 1) * (x - max(z)) for x in z], 1 / (alpha - 1))
    if name == "softmax1":
        return _softmax([*z, float(numbers.get("sink_logit", 0.0))])[:-1]
    if name == "ssmax":
        return _softmax([float(numbers["scale"]) * math.log(n) * x for x in z])
    if name == "sigmoid":
        return [float(1 / (1 + n * (-Decimal(x)).exp())) for x in z]
    if name == "softpick":
        above = [Decimal(x).exp() - 1 for x in z]
        total = sum(map(abs, above)) + Decimal("1e-6")
        return [float(max(each, Decimal(0)) / total) for each in above]
    raise KeyError(name)


def _projected(x: list[float], power: float) -> list[float]:
    """[x_i − τ]₊^power, with the τ for which they sum to 1; the largest x is 0, so that τ is between −1 and 0."""
    low, high = -1.0, 0.0
    while low < (middle := (low + high) / 2) < high and high - low > 1e-18:
        enough = sum(max(each - middle, 0.0) ** power for each in x) >= 1
        low, high = (middle, high) if enough else (low, middle)
    return [max(each - low, 0.0) ** power for each in x]


def _softmax(z: list[float]) -> list[float]:
    largest = max(z)
    total = sum(math.exp(x - largest) for x in z)
    return [math.exp(x - largest) / total for x in z]


def numbers_of(module: torch.nn.Module) -> dict[str, float]:
    """The parameters of a normaliser, all of which are single numbers."""
    return {name: parameter.item() for name, parameter in module.named_parameters()}


def rows_of(name: str, options: dict[str, Any], module: torch.nn.Module, logits: Array, mask: Array) -> Array:
    """The weights (B,T,S) of logits (B,T,S) under a mask (B,T,S), row by row."""
    weights = np.zeros(logits.shape)
    chosen = {"alpha": options["alpha"]} if "alpha" in options else {}
    for index in np.ndindex(*logits.shape[:-1]):
        allowed = np.flatnonzero(mask[index]).tolist()
        weights[index] = normalised(name, logits[index], allowed, **chosen, **numbers_of(module))
    return weights
