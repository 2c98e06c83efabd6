"""Trains one seed in stacks of several sizes: for a test in float64, and for a table in float64 and float32."""

from functools import cache
from typing import Any

import torch
from small_packs import CPU, DATA, pack
from torch import Tensor

from attnbench import registry
from attnbench.grid.incompatible import incompatibility
from attnbench.tasks.base import source_positions
from attnbench.tasks.build import build_task
from attnbench.tasks.streams import training_stream
from attnbench.training.adam import Adam
from attnbench.training.batches import to_batch
from attnbench.training.build import build_model
from attnbench.training.stack import Stack

STEPS = 20
STACKS = (2, 3, 5, 8)
SEED = 5
Combination = tuple[str, str, str, str, dict[str, str]]  # model, score, scope, normaliser, options of the scope


def task_of(kind: str) -> str:
    """A task that a model can be trained on."""
    return "caption" if registry.model.entry(kind).declares("reads_images") else "copy"


def _combinations() -> list[Combination]:
    """Every score in each model, and every scope, estimator and normaliser with one score; those that are compatible.

    Every score that carries something from step to step is also tried with a scope and a normaliser of another kind.
    """
    found: list[Combination] = []
    for kind in registry.model.names():
        home = "self" if kind in ("transformer", "lstmn") else "global"
        found += [(kind, score, home, "softmax", {}) for score in registry.score.names()]
        found += [
            (kind, "additive", scope, "softmax", {}) for scope in registry.scope.names() if scope not in (home, "hard")
        ]
        found += [
            (kind, "additive", "hard", "softmax", {"estimator": estimator})
            for estimator in ("reinforce", "straight_through", "gumbel", "exact")
        ]
        found += [(kind, "additive", home, name, {}) for name in registry.normaliser.names() if name != "softmax"]
        carrying = [name for name in registry.score.names() if registry.score.entry(name).declares("start")]
        found += [(kind, score, "monotonic", "softmax", {}) for score in carrying]
        found += [(kind, score, home, "sparsemax", {}) for score in carrying]
    found += [("rnn", "additive", "hard", name, {"estimator": "gumbel"}) for name in ("sparsemax", "entmax", "ssmax")]
    return [one for one in found if _compatible(one)]


def _compatible(combination: Combination) -> bool:
    kind, score, scope, normaliser, options = combination
    try:
        cell = pack((SEED,), score, scope, task_of(kind), kind=kind, normaliser=normaliser, scope_options=options).cell
    except Exception:
        return False
    return not incompatibility(cell.model, cell.score, cell.scope, cell.normaliser, cell.task)


COMBINATIONS = _combinations()


def largest_difference(
    kind: str, score: str, scope: str, normaliser: str, options: dict[str, Any], dtype: torch.dtype, size: int
) -> float:
    """The largest difference between the weights of one seed after STEPS steps by itself and in a stack, in float64."""
    arguments = kind, score, scope, normaliser, tuple(options.items()), dtype
    alone, beside = trained(*arguments, 1), trained(*arguments, size)
    return max(float((alone[name] - beside[name]).abs().max()) for name in alone)


@cache
def trained(
    kind: str,
    score: str,
    scope: str,
    normaliser: str,
    options: tuple[tuple[str, str], ...],
    dtype: torch.dtype,
    size: int,
) -> dict[str, Tensor]:
    """The weights of seed SEED after STEPS steps in a stack of this size, where it is the last."""
    seeds = (*range(100, 100 + size - 1), SEED)
    described = pack(
        seeds, score, scope, task_of(kind), kind=kind, normaliser=normaliser, scope_options=dict(options), batch_size=4
    )
    cell = described.cell
    task = build_task(cell.task, DATA)
    stream = training_stream(task, cell.task, DATA, seeds, 4)
    longest = source_positions(task, stream.longest)
    stack = Stack(lambda seed: build_model(cell, task, longest, seed).to(dtype), seeds, CPU)
    adam = Adam(list(stack.parameters.values()))
    for _ in range(STEPS):
        batch = to_batch(stream.batch(), CPU)
        if batch.source.is_floating_point():
            batch = batch._replace(source=batch.source.to(dtype))
        objective, _loss = stack.loss(batch)
        adam.step(objective.sum(), 0.01, 1.0)
    return {name: parameter[-1].detach().double() for name, parameter in stack.parameters.items()}
