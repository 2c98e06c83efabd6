"""The split into training, validation and test sources, decided by a hash of the source.

With a hash, no test source can occur in training, although training examples are generated without end.
"""

import hashlib
from collections.abc import Sequence
from enum import IntEnum

import numpy as np

from attnbench.tasks.base import PAD


class Split(IntEnum):
    """The three parts of the split."""

    TRAINING = 0
    VALIDATION = 1
    TEST = 2

    @property
    def share(self) -> float:
        """The expected share of all sources in this part."""
        return (0.90, 0.05, 0.05)[self]


# The part of a source is _SIDES[hash % 100].
_SIDES = np.repeat([Split.TRAINING, Split.VALIDATION, Split.TEST], (90, 5, 5))


def fingerprints(source: np.ndarray) -> np.ndarray:
    """Returns a hash (N,), uint64, of each row of ids (N,S).

    It is the same in every process, unlike Python's `hash`, and padding at the end of a row does not change it. Each
    id plus a multiple of its position is mixed (finaliser of SplitMix64: Steele, Lea & Flood 2014), and the results are
    summed and mixed again.
    """
    # 2⁶⁴ divided by the golden ratio, SplitMix64's increment, makes the order of the words count. Arithmetic on arrays
    # of uint64 wraps around without a warning.
    position = np.arange(1, source.shape[1] + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    words = np.where(source == PAD, np.uint64(0), _mix(source.astype(np.uint64) + position))
    return _mix(words.sum(axis=1, dtype=np.uint64))


def split_of(source: np.ndarray) -> np.ndarray:
    """Returns the part of the split (N,) of each row of ids (N,S)."""
    return _SIDES[fingerprints(source) % np.uint64(100)]


def split_of_words(words: Sequence[str]) -> Split:
    """Returns the part of the split of a sentence given as words.

    Sentence pairs from files are split by their words, because their ids depend on the training part.
    """
    digest = hashlib.sha256(" ".join(words).encode()).digest()
    return Split(int(_SIDES[int.from_bytes(digest, "big") % 100]))


def _mix(x: np.ndarray) -> np.ndarray:
    """Applies the finaliser of SplitMix64 to uint64 values; every input bit affects every output bit."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def split_of_images(images: np.ndarray) -> np.ndarray:
    """Returns the part of the split (N,) of each image (N,H,W), by the hash of its pixels."""
    pixels = np.ascontiguousarray(images, np.float32)
    digests = [hashlib.sha256(image.tobytes()).digest() for image in pixels]
    return _SIDES[[int.from_bytes(digest[:8], "big") % 100 for digest in digests]]
