"""What copy, reverse and sort share: symbols named "1" to "V", and one source position per target word."""

from collections.abc import Callable

import numpy as np

from attnbench.tasks.base import SPECIAL

FIRST = len(SPECIAL)  # the id of the symbol "1"

# random_symbols or distinct_symbols: of a random stream, a vocabulary, a length and a count, ids (count, length).
Draw = Callable[[np.random.Generator, int, int, int], np.ndarray]


class Symbols:
    """A vocabulary of which training sees a part.

    Args:
        vocabulary: V, all symbols.
        unseen: how many of them training never shows, below V.

    Attributes:
        seen, unseen: the ids of either part, ascending.
    """

    def __init__(self, vocabulary: int, unseen: int) -> None:
        self.vocabulary = vocabulary
        self.unseen = unseen_symbols(vocabulary, unseen)
        self.seen = np.setdiff1d(np.arange(FIRST, FIRST + vocabulary), self.unseen)

    def draw_seen(self, draw: Draw, random: np.random.Generator, length: int, count: int) -> np.ndarray:
        """Sources (count, length) of seen symbols alone."""
        # The draw is that of a vocabulary of so many symbols, each standing for a seen one in the same order.
        return self.seen[draw(random, len(self.seen), length, count) - FIRST]

    def draw_unseen(self, draw: Draw, random: np.random.Generator, length: int, count: int) -> np.ndarray:
        """Sources (count, length) of all symbols, each with an unseen one at least.

        They are distributed as the draw is under this condition.

        Raises:
            ValueError: when no symbol is unseen, so that there is no such source.
        """
        if not len(self.unseen):
            raise ValueError("training sees every symbol of this vocabulary")
        parts: list[np.ndarray] = []
        missing = count
        while missing > 0:
            rows = draw(random, self.vocabulary, length, max(missing, 256))
            rows = rows[np.isin(rows, self.unseen).any(axis=1)]
            parts.append(rows[:missing])
            missing -= len(rows)
        return np.concatenate(parts)


def unseen_symbols(vocabulary: int, count: int) -> np.ndarray:
    """The ids (count,), ascending, of the symbols that training never shows; count is below the vocabulary.

    They are spread evenly between the first and the last symbol, which training sees: what is asked of a model, in
    sort above all, is to place a symbol between others, not beyond them. With one symbol seen, it is the first.
    """
    inside = vocabulary - 2
    if count > inside:
        return FIRST + 1 + np.arange(count)
    # The middle of each of `count` equal parts.
    return FIRST + 1 + (2 * np.arange(count) + 1) * inside // (2 * max(count, 1))


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
