"""Which side a source is on: a hash of its words decides whether it is trained on, validated on or tested on."""

import hashlib
from collections.abc import Sequence
from enum import IntEnum

import numpy as np

from attnbench.tasks.base import PAD


class Split(IntEnum):
    """The three sides, and what part of all sources falls on each."""

    TRAINING = 0
    VALIDATION = 1
    TEST = 2

    @property
    def share(self) -> float:
        """The expected part of all sources that is on this side."""
        return (0.90, 0.05, 0.05)[self]


# A source whose hash leaves r on division by 100 is on side _SIDES[r].
_SIDES = np.repeat([Split.TRAINING, Split.VALIDATION, Split.TEST], (90, 5, 5))


def fingerprints(source: np.ndarray) -> np.ndarray:
    """One uint64 per row of ids (N,S), the same in every process; PAD after a row's end does not change it.

    Every word is mixed with its position (the finaliser of SplitMix64, Steele 2014) and the words are summed up.
    """
    # The golden ratio's odd constant spreads the positions; arrays of uint64 wrap around without a warning.
    position = np.arange(1, source.shape[1] + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    words = np.where(source == PAD, np.uint64(0), _mix(source.astype(np.uint64) + position))
    return _mix(words.sum(axis=1, dtype=np.uint64))


def split_of(source: np.ndarray) -> np.ndarray:
    """The side (a Split) of each row of ids (N,S)."""
    return _SIDES[fingerprints(source) % np.uint64(100)]


def split_of_words(words: Sequence[str]) -> Split:
    """The side of a sentence whose words have no ids yet."""
    digest = hashlib.sha256(" ".join(words).encode()).digest()
    return Split(int(_SIDES[int.from_bytes(digest, "big") % 100]))


def _mix(x: np.ndarray) -> np.ndarray:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
