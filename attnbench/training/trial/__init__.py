"""Tries a user's parts and model on a few words before training, so that an error names their file and line."""

import torch

from attnbench.cell import Cell
from attnbench.registry import REGISTRIES
from attnbench.tasks.base import Task
from attnbench.training.trial.model import try_seq2seq
from attnbench.training.trial.parts import try_normaliser, try_scope, try_score, widths_of

__all__ = ["try_model"]


def try_model(cell: Cell, task: Task, max_source_length: int) -> None:
    """Tries the custom parts of a cell: first the score, scope and normaliser by themselves, then the model with them.

    Built-in parts are skipped. The model comes last, so that the mistakes of a part are not reported as its own.

    Raises:
        AttnbenchError: if a part raises, or returns something other than specified in docs/own-parts.md.
    """
    parts = cell.components()
    custom = {kind: part for kind, part in parts.items() if not REGISTRIES[kind].is_builtin(part.name)}
    with torch.random.fork_rng(devices=[]):
        if "normaliser" in custom:
            try_normaliser(custom["normaliser"], max_source_length)
        if not custom.keys().isdisjoint(("score", "scope")):
            for width in widths_of(cell, custom, task, max_source_length):
                if "score" in custom:
                    try_score(custom["score"], width, max_source_length, cell.data.test_lengths)
                if "scope" in custom:
                    try_scope(custom["scope"], width)
        if "model" in custom:
            try_seq2seq(cell, task, max_source_length)
