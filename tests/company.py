"""Trains one seed in stacks of several sizes: for a test in float64, and for a table in float64 and float32."""

from functools import cache
from typing import Any

import torch
from small_packs import CPU, DATA, pack
from torch import Tensor

from attnbench import registry
from attnbench.grid.incompatible import incompatibility
from attnbench.tasks.streams import TrainingStream, build_task
from attnbench.training.adam import Adam
from attnbench.training.batches import to_batch
from attnbench.training.build import build_model
from attnbench.training.stack import Stack

STEPS = 20
STACKS = (2, 3, 5, 8)
SEED = 5
Combination = tuple[str, str, str, dict[str, str]]


def _combinations() -> list[Combination]:
    """Every score in each model, and every scope and estimator with one score; without what is incompatible."""
    found: list[Combination] = []
    for kind in registry.model.names():
        home = "self" if kind in ("transformer", "lstmn") else "global"
        found += [(kind, score, home, {}) for score in registry.score.names()]
        found += [(kind, "additive", scope, {}) for scope in registry.scope.names() if scope not in (home, "hard")]
        found += [
            (kind, "additive", "hard", {"estimator": estimator})
            for estimator in ("reinforce", "straight_through", "gumbel", "exact")
        ]
    return [one for one in found if _compatible(one)]


def _compatible(combination: Combination) -> bool:
    kind, score, scope, options = combination
    try:
        cell = pack((SEED,), score, scope, kind=kind, scope_options=options).cell
    except Exception:
        return False
    return not incompatibility(cell.model, cell.score, cell.scope, cell.normaliser, cell.task)


COMBINATIONS = _combinations()


def largest_difference(
    kind: str, score: str, scope: str, options: dict[str, Any], dtype: torch.dtype, size: int
) -> float:
    """The largest difference between the weights of one seed after STEPS steps by itself and in a stack, in float64."""
    arguments = kind, score, scope, tuple(options.items()), dtype
    alone, beside = trained(*arguments, 1), trained(*arguments, size)
    return max(float((alone[name] - beside[name]).abs().max()) for name in alone)


@cache
def trained(
    kind: str, score: str, scope: str, options: tuple[tuple[str, str], ...], dtype: torch.dtype, size: int
) -> dict[str, Tensor]:
    """The weights of seed SEED after STEPS steps in a stack of this size, where it is the last."""
    seeds = (*range(100, 100 + size - 1), SEED)
    cell = pack(seeds, score, scope, kind=kind, scope_options=dict(options), batch_size=4).cell
    task = build_task(cell.task, DATA)
    stream = TrainingStream(task, cell.task, DATA, seeds, 4)
    stack = Stack(lambda seed: build_model(cell, task, stream.longest + 1, seed).to(dtype), seeds, CPU)
    adam = Adam(list(stack.parameters.values()))
    for _ in range(STEPS):
        objective, _loss = stack.loss(to_batch(stream.batch(), CPU))
        objective.sum().backward()
        adam.step(0.01, 1.0)
    return {name: parameter[-1].detach().double() for name, parameter in stack.parameters.items()}
