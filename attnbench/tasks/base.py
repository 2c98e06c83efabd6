"""The interface of a task, and the examples that it generates."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

PAD, BOS, EOS = 0, 1, 2
SPECIAL = ("<pad>", "<bos>", "</s>")  # the words with the ids 0, 1 and 2; other words start at 3


@dataclass(frozen=True)
class Examples:
    """N sentence pairs of the same source length, without EOS.

    Attributes:
        source: (N,S) ids.
        target: (N,T) ids, padded with PAD.
        links: (N,T,S) bool, the gold alignment: True where target word t renders source word s. None if the task has
            no gold alignment.
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
    """A generator of examples.

    A task whose targets are text also sets `bleu = True`; it is then evaluated with BLEU as well.

    A task whose constructor declares `unseen_symbols` receives `data.unseen_symbols`, the number of its symbols that
    `generate` must not use. It must also have a method `generate_unseen(random, length, count)`, which is like
    `generate` but returns sources with at least one of these symbols each. It is called only if
    `data.unseen_symbols` is greater than 0.

    Attributes:
        source_words: the source words; the index of a word is its id. The words of SPECIAL come first.
        target_words: likewise, the target words.
    """

    source_words: list[str]
    target_words: list[str]

    def check(self, length: int) -> str | None:
        """Returns the reason why the task has no source of `length` words, or None if it has one."""

    def generate(self, random: np.random.Generator, length: int, count: int) -> Examples:
        """Returns `count` random examples with sources of exactly `length` words.

        The examples must depend on `random` only, so that runs with the same seed see the same data.
        """
