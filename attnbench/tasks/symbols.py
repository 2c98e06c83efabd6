"""What copy, reverse and sort share: symbols named "1" to "V", and one source position per target word."""

import numpy as np

from attnbench.tasks.base import SPECIAL

FIRST = len(SPECIAL)  # the id of the symbol "1"


def symbol_words(vocabulary: int) -> list[str]:
    """The special words and then the symbols "1" to "V": the order of the ids is the order that sort sorts by."""
    return [*SPECIAL, *(str(n) for n in range(1, vocabulary + 1))]


def random_symbols(random: np.random.Generator, vocabulary: int, length: int, count: int) -> np.ndarray:
    """Uniform and independent symbols, as ids (count, length)."""
    return random.integers(FIRST, FIRST + vocabulary, size=(count, length))


def distinct_symbols(random: np.random.Generator, vocabulary: int, length: int, count: int) -> np.ndarray:
    """Uniform symbols of which no two in a row are the same, as ids (count, length); length is at most vocabulary."""
    keys = random.random((count, vocabulary))
    # argpartition finds the smallest keys fast, but in an order that depends on the processor: they are sorted by key.
    chosen = np.argpartition(keys, length - 1, axis=1)[:, :length]
    order = np.argsort(np.take_along_axis(keys, chosen, axis=1), axis=1)
    return FIRST + np.take_along_axis(chosen, order, axis=1)


def one_to_one(positions: np.ndarray) -> np.ndarray:
    """The links (N,T,S) of targets whose word t is the source word at positions[:, t]; positions is (N,T), T = S."""
    return positions[:, :, None] == np.arange(positions.shape[1])
