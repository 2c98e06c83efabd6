"""Construction of the model of a cell, and of the random seeds for torch."""

import hashlib

import torch

from attnbench import registry
from attnbench.attention import Attention
from attnbench.cell import Cell
from attnbench.models.base import Seq2Seq
from attnbench.tasks.base import Task


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

    def attention(width: int) -> Attention:
        nonlocal built
        built += 1
        # Forked, because scores and scopes have different numbers of parameters: without it, everything that the model
        # initialises after its attention would depend on them, and runs with the same seed would not be paired.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_seed("attention", seed, built))  # the attentions of one model differ
            return Attention(cell.score, cell.scope, width=width, max_source_length=max_source_length)

    # Seeded before the model is built: seeding afterwards leaves the initial weights to chance.
    torch.manual_seed(torch_seed("model", seed))
    return registry.model.build(
        cell.model.name,
        cell.model.options,
        source_vocabulary=len(task.source_words),
        target_vocabulary=len(task.target_words),
        source_words=task.source_words,
        target_words=task.target_words,
        attention=attention,
    )


def torch_seed(use: str, *numbers: int) -> int:
    """Returns a seed for torch's generator; a different `use` or different numbers give an unrelated random stream."""
    # Hashed, because torch accepts only 64-bit seeds, while seeds in a grid may be of any size.
    digest = hashlib.sha256(repr((use, *numbers)).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
