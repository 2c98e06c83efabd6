"""What a task gives: examples as plain arrays, with their gold links."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

PAD, BOS, EOS = 0, 1, 2
SPECIAL = ("<pad>", "<bos>", "</s>")  # the words behind the ids 0, 1, 2; symbols begin at 3


@dataclass(frozen=True)
class Examples:
    """N sentences of one source length, without EOS.

    Shapes: source (N,S) ids; target (N,T) ids, filled up with PAD; links (N,T,S) bool: whether target word t
    renders source word s, or None where the task has no gold.
    """

    source: np.ndarray
    target: np.ndarray
    links: np.ndarray | None

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, rows: np.ndarray | slice) -> "Examples":
        links = None if self.links is None else self.links[rows]
        return Examples(self.source[rows], self.target[rows], links)


class Task(Protocol):
    """A generator of examples. Words are lists of strings whose index is the id, the three SPECIAL ones first."""

    source_words: list[str]
    target_words: list[str]
    # A task whose targets are text also sets `bleu = True`, and is then scored by BLEU.
    # A task whose constructor declares `unseen_symbols` is given data.unseen_symbols: so many of its symbols `generate`
    # never shows. It then has `generate_unseen(random, length, count)` too, as `generate`, but with at least one of
    # those symbols in each source; it is called only where data.unseen_symbols is above 0.

    def check(self, length: int) -> str | None:
        """Why there is no source of this length, or None when there is."""

    def generate(self, random: np.random.Generator, length: int, count: int) -> Examples:
        """`count` random examples whose sources have `length` words; the same `random` gives the same examples."""
