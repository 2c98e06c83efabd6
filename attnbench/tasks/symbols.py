"""Symbols "1" to "V" and one-to-one links, shared by the tasks copy, reverse and sort."""

from collections.abc import Callable

import numpy as np

from attnbench.tasks.base import SPECIAL

FIRST = len(SPECIAL)  # the id of the symbol "1"

# The type of random_symbols and distinct_symbols: (random, vocabulary, length, count) → ids (count, length).
Draw = Callable[[np.random.Generator, int, int, int], np.ndarray]


class Symbols:
    """A vocabulary of symbols, some of which do not occur in training.

    Args:
        vocabulary: V, the number of all symbols.
        unseen: the number of symbols that do not occur in training, less than V.

    Attributes:
        vocabulary: V.
        unseen: the ids of the symbols that do not occur in training, ascending.
        seen: the ids of the others, ascending.
    """

    def __init__(self, vocabulary: int, unseen: int) -> None:
        self.vocabulary = vocabulary
        self.unseen = unseen_symbols(vocabulary, unseen)
        self.seen = np.setdiff1d(np.arange(FIRST, FIRST + vocabulary), self.unseen)

    def draw_seen(self, draw: Draw, random: np.random.Generator, length: int, count: int) -> np.ndarray:
        """Returns sources (count, length) of seen symbols only, as ids."""
        # Drawn from a vocabulary of len(seen) symbols, whose n-th symbol is then replaced by the n-th seen one. Without
        # unseen symbols the draw is the same as that of the whole vocabulary.
        return self.seen[draw(random, len(self.seen), length, count) - FIRST]

    def draw_unseen(self, draw: Draw, random: np.random.Generator, length: int, count: int) -> np.ndarray:
        """Returns sources (count, length) of all symbols, each with at least one unseen symbol, as ids.

        Their distribution is that of `draw`, conditioned on an unseen symbol (rejection sampling).

        Raises:
            ValueError: if there are no unseen symbols.
        """
        if not len(self.unseen):
            raise ValueError("this vocabulary has no unseen symbols")
        parts: list[np.ndarray] = []
        missing = count
        while missing > 0:
            # At least 256 at a time: few of the draws may contain an unseen symbol.
            rows = draw(random, self.vocabulary, length, max(missing, 256))
            rows = rows[np.isin(rows, self.unseen).any(axis=1)]
            parts.append(rows[:missing])
            missing -= len(rows)
        return np.concatenate(parts)


def unseen_symbols(vocabulary: int, count: int) -> np.ndarray:
    """Returns the ids (count,), ascending, of the symbols that do not occur in training.

    They are spread evenly between the first and the last symbol, which both occur in training: a model must
    interpolate between seen symbols and not extrapolate beyond them, which matters most for sort. If all symbols but
    one are unseen, the first is the seen one.

    Args:
        vocabulary: V, the number of all symbols.
        count: the number of unseen symbols, less than V.
    """
    inside = vocabulary - 2
    if count > inside:
        return FIRST + 1 + np.arange(count)
    # The middle of each of `count` equal parts; max(…, 1) only avoids a division by zero.
    return FIRST + 1 + (2 * np.arange(count) + 1) * inside // (2 * max(count, 1))


def symbol_words(vocabulary: int) -> list[str]:
    """Returns the special words followed by the symbols "1" to "V"; the ids are in the order that `sort` sorts by."""
    return [*SPECIAL, *(str(n) for n in range(1, vocabulary + 1))]


def random_symbols(random: np.random.Generator, vocabulary: int, length: int, count: int) -> np.ndarray:
    """Returns uniform and independent symbols, as ids (count, length)."""
    return random.integers(FIRST, FIRST + vocabulary, size=(count, length))


def distinct_symbols(random: np.random.Generator, vocabulary: int, length: int, count: int) -> np.ndarray:
    """Returns symbols drawn without replacement within each row, as ids (count, length); length ≤ vocabulary."""
    # The symbols with the `length` smallest of V random keys are a uniform sample without replacement.
    keys = random.random((count, vocabulary))
    # argpartition is faster than a full sort, but the order of its result depends on the processor. Sorting the chosen
    # symbols by key makes the data the same on every machine.
    chosen = np.argpartition(keys, length - 1, axis=1)[:, :length]
    order = np.argsort(np.take_along_axis(keys, chosen, axis=1), axis=1)
    return FIRST + np.take_along_axis(chosen, order, axis=1)


def one_to_one(positions: np.ndarray) -> np.ndarray:
    """Returns the links (N,T,S), T = S, of target words t to source positions `positions`[:, t] (N,T)."""
    return positions[:, :, None] == np.arange(positions.shape[1])
