"""Builds the model of a cell from its description."""

import hashlib

import torch

from attnbench import registry
from attnbench.attention import Attention
from attnbench.cell import Cell
from attnbench.models.base import Seq2Seq
from attnbench.tasks.base import Task


def build_model(cell: Cell, task: Task, max_source_length: int, seed: int) -> Seq2Seq:
    """A model with fresh weights, which depend on the seed alone.

    Cells that share a seed share the initial weights of all that is not attention, whatever their score or scope:
    the attention draws its weights beside the model's own stream of random numbers.

    Args:
        cell: what to build; its seed is not read.
        task: for the sizes of its vocabularies.
        max_source_length: the longest source that training can show, EOS included.
        seed: of the initial weights.
    """
    built = 0

    def attention(width: int) -> Attention:
        nonlocal built
        built += 1
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_seed("attention", seed, built))  # the attentions of one model differ
            return Attention(cell.score, cell.scope, width=width, max_source_length=max_source_length)

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
    """A seed for torch's generator: uses that differ, and numbers that differ, have unrelated random streams."""
    digest = hashlib.sha256(repr((use, *numbers)).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
