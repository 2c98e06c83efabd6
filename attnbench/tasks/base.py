"""The interface of a task, and the examples that it generates."""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

PAD, BOS, EOS = 0, 1, 2
SPECIAL = ("<pad>", "<bos>", "</s>")  # the words with the ids 0, 1 and 2; other words start at 3


PATCH = 8  # height and width of an image patch, in pixels


@dataclass(frozen=True)
class Examples:
    """N sentence pairs of the same source length, without EOS; or N images of the same size with their words.

    Attributes:
        source: (N,S) ids; of a task of images the images (N,H,W), from 0 to 1, with S = (H/8)·(W/8) patches, row by
            row.
        target: (N,T) ids, padded with PAD.
        links: (N,T,S) bool, the gold alignment: True where target word t renders source word s. None if the task has
            no gold alignment.
        possible: (N,T,S) bool, links that are not wrong, which include `links`: the "possible" links of Och & Ney
            2003, whose "sure" links are `links`. None if they are the same.
    """

    source: np.ndarray
    target: np.ndarray
    links: np.ndarray | None
    possible: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, rows: np.ndarray | slice) -> "Examples":
        links, possible = (None if found is None else found[rows] for found in (self.links, self.possible))
        return Examples(self.source[rows], self.target[rows], links, possible)

    @property
    def images(self) -> bool:
        """Whether the sources are images."""
        return self.source.dtype.kind == "f"

    def any_links(self) -> np.ndarray | None:
        """Returns the links (N,T,S) that are not wrong, sure or possible; None if the task has no gold alignment."""
        return self.links if self.possible is None else self.possible


class Task(Protocol):
    """A generator of examples.

    A task whose targets are text also sets `bleu = True`; it is then evaluated with BLEU as well.

    A task whose sources are images sets `images = True` and has the attribute `image_size`, their height and width in
    pixels, multiples of PATCH. `length` is then the number of target words, and there are no source words.

    A task that draws from material which it divides itself between training, validation and test has a method
    `generate_part(random, length, count, split)`, which is like `generate` for one part of the split. For other tasks
    a hash of the source decides which part an example belongs to.

    A task that has several right targets for a source has a method `references(source)`, which returns for sources
    (N,S), padded with PAD, all of them as ids (N,R,T), padded with PAD; sources with fewer than R have rows of PAD. The
    target of an example is one of them. Any of them is an exact match; the edit distance to the nearest is measured.

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


def image_size(task: Task) -> tuple[int, int] | None:
    """Returns the height and width in pixels of the sources of a task of images; None if the sources are words."""
    return getattr(task, "image_size", None) if getattr(task, "images", False) else None


def patches(size: tuple[int, int]) -> int:
    """Returns the number of patches of an image of this height and width."""
    return math.prod(side // PATCH for side in size)


def source_positions(task: Task, length: int) -> int:
    """Returns S, the number of positions of a source: its `length` words and EOS, or the patches of an image."""
    size = image_size(task)
    return length + 1 if size is None else patches(size)
