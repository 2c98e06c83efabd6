"""Packs, stacks and batches small enough to train in a moment."""

from typing import Any

import torch

from attnbench import registry
from attnbench.cell import Cell, Component, Data, Pack, Train
from attnbench.models.base import Seq2Seq
from attnbench.outcome import Outcome
from attnbench.tasks.build import build_task
from attnbench.tasks.streams import training_stream
from attnbench.training.batches import Batch, to_batch
from attnbench.training.build import build_model
from attnbench.training.stack import Stack

CPU = torch.device("cpu")
SMALL = {"width": 8, "embedding": 6, "heads": 2, "layers": 1, "slots": 8, "slot_width": 6}
DATA = Data(vocabulary=6, min_length=3, max_length=5, validation_examples=30, test_examples=40)


def pack(
    seeds: tuple[int, ...] = (0,),
    score: str = "dot",
    scope: str = "global",
    task: str = "copy",
    data: Data = DATA,
    model: dict[str, Any] | None = None,
    scope_options: dict[str, Any] | None = None,
    kind: str = "rnn",
    normaliser: str = "softmax",
    **train: Any,
) -> Pack:
    """A pack with defaults resolved; keyword arguments that remain are those of `train`."""
    entry = registry.model.entry(kind)
    small = {name: value for name, value in (SMALL | (model or {})).items() if entry.takes(name)}
    takes = registry.scope.entry(scope).takes("normaliser")
    chosen = Component(name=normaliser, options=registry.normaliser.entry(normaliser).resolve({})) if takes else None
    cell = Cell(
        model=Component(name=kind, options=entry.resolve(small)),
        score=None if scope == "none" else Component(name=score, options=registry.score.entry(score).resolve({})),
        scope=Component(name=scope, options=registry.scope.entry(scope).resolve(scope_options or {})),
        normaliser=chosen,
        task=Component(name=task, options=registry.task.entry(task).resolve({})),
        data=data,
        train=Train(**({"steps": 10, "batch_size": 4, "valid_every": 5} | train)),
        seed=seeds[0],
    )
    return Pack(cell=cell, seeds=seeds, ids=tuple(f"cell-{seed}" for seed in seeds))


def build(described: Pack, seed: int) -> Seq2Seq:
    """One model of the pack in float64."""
    cell = described.cell
    return build_model(cell, build_task(cell.task, cell.data), cell.data.max_length + 1, seed).double()


def stack(described: Pack) -> Stack:
    """The pack's replicas as one model, in float64."""
    return Stack(lambda seed: build(described, seed), described.seeds, CPU)


def batches(described: Pack, count: int) -> list[Batch]:
    """The first training batches, (K,B,…)."""
    cell = described.cell
    task = build_task(cell.task, cell.data)
    stream = training_stream(task, cell.task, cell.data, described.seeds, cell.train.batch_size)
    return [to_batch(stream.batch(), CPU) for _ in range(count)]


def validations(outcome: Outcome) -> list[dict[str, float]]:
    """The rows of the history that have a validation; the others have the training loss alone."""
    return [row for row in outcome.history if "valid/loss" in row]
