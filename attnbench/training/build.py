"""Construction of the model of a cell, and of the random seeds for torch."""

import hashlib
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch

from attnbench import registry
from attnbench.attention import Attention
from attnbench.cell import Cell, Component, Data
from attnbench.models.base import Seq2Seq
from attnbench.tasks.base import PAD, Task, image_size

LONGEST = "max_source_length"  # the argument of scores and normalisers that depend on the number of keys
PROBED = 1000


def build_model(cell: Cell, task: Task, max_source_length: int, seed: int) -> Seq2Seq:
    """Builds the model of a cell with initial weights that depend on the seed only.

    Cells with the same seed have the same initial weights outside the attention, whatever their score and scope.

    Args:
        cell: the configuration; its seed is not used.
        task: the task, for the vocabularies.
        max_source_length: the longest source in training, EOS included.
        seed: the seed of the initial weights.
    """
    built = 0

    def attention(width: int, over: Literal["source", "target"] = "source") -> Attention:
        nonlocal built
        built += 1
        longest = max_source_length
        if over == "target" and _depends_on_length(cell):
            longest = longest_target(task, cell.data, max_source_length - 1) + 1  # EOS
        # Forked, because scores and scopes have different numbers of parameters: without it, everything that the model
        # initialises after its attention would depend on them, and runs with the same seed would not be paired.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_seed("attention", seed, built))  # the attentions of one model differ
            return Attention(cell.score, cell.scope, normaliser_of(cell), width=width, max_source_length=longest)

    # Seeded before the model is built: seeding afterwards leaves the initial weights to chance.
    torch.manual_seed(torch_seed("model", seed))
    return construct(cell, task, attention)


def _depends_on_length(cell: Cell) -> bool:
    """Returns whether the score or the normaliser of a cell depends on the largest number of keys."""
    parts = [(kind, part) for kind, part in cell.components().items() if kind in ("score", "normaliser")]
    return any(registry.REGISTRIES[kind].entry(part.name).takes(LONGEST) for kind, part in parts)


def normaliser_of(cell: Cell) -> Component | None:
    """Returns the normaliser of a cell; None under a scope that uses none."""
    # Cells of earlier versions have a normaliser, the softmax, under every scope.
    return cell.normaliser if registry.scope.entry(cell.scope.name).takes("normaliser") else None


def construct(cell: Cell, task: Task, attention: Callable[..., Attention]) -> Seq2Seq:
    """Constructs the model of a cell, whose attentions come from `attention(width, over)`."""
    return registry.model.build(
        cell.model.name,
        cell.model.options,
        source_vocabulary=len(task.source_words),
        target_vocabulary=len(task.target_words),
        source_words=task.source_words,
        target_words=task.target_words,
        image_size=image_size(task),
        attention=attention,
    )


def longest_target(task: Task, data: Data, longest_source: int) -> int:
    """Returns the length of the longest target in training, without EOS.

    For a custom task without `longest_target(length)` it is the longest of PROBED random examples per source length.
    Should training have a longer target, a score with a parameter per position gives its last positions no weight.
    """
    lengths = [n for n in range(data.min_length, longest_source + 1) if task.check(n) is None]
    of_length = getattr(task, "longest_target", None) or _longest_of_examples(task)
    return max((of_length(length) for length in lengths), default=longest_source)


def _longest_of_examples(task: Task) -> Callable[[int], int]:
    # Always the same examples: the number of parameters must not depend on the seed or on chance.
    def longest(length: int) -> int:
        target = task.generate(np.random.default_rng(length), length, PROBED).target
        return int((target != PAD).sum(axis=1).max())

    return longest


def torch_seed(use: str, *numbers: int) -> int:
    """Returns a seed for torch's generator; a different `use` or different numbers give an unrelated random stream."""
    # Hashed, because torch accepts only 64-bit seeds, while seeds in a grid may be of any size.
    digest = hashlib.sha256(repr((use, *numbers)).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
