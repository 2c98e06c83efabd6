"""The sort task."""

import numpy as np

from attnbench.registry import task
from attnbench.tasks.base import Examples
from attnbench.tasks.symbols import Symbols, distinct_symbols, one_to_one, random_symbols, symbol_words


@task("sort")
class Sort:
    """Sorts the source in ascending order; equal symbols keep their order.

    Formula: y_t = x_{π(t)}, with π = argsort(x), stable
    Source: Vinyals, Bengio & Kudlur 2016, "Order matters" (arXiv 1511.06391)

    Gold links: t → π(t). With `distinct` (the default), the symbols of a source are drawn without replacement. Without
    it, a long source with few symbols can be sorted well by guessing from the position alone: with 5 symbols and length
    40, this reaches a token accuracy of .78. With it, a source cannot be longer than the number of seen symbols.

    Args:
        vocabulary: V, the number of symbols.
        unseen_symbols: number of symbols that do not occur in training, less than V.
        distinct: whether the symbols of a source are all different.
    """

    def __init__(self, vocabulary: int, unseen_symbols: int = 0, distinct: bool = True) -> None:
        self._symbols = Symbols(vocabulary, unseen_symbols)
        self._distinct = distinct
        self._draw = distinct_symbols if distinct else random_symbols
        self.source_words = self.target_words = symbol_words(vocabulary)

    def check(self, length: int) -> str | None:
        """Returns the reason why there is no source of this length: not enough distinct seen symbols."""
        vocabulary, seen = self._symbols.vocabulary, len(self._symbols.seen)
        if not self._distinct or length <= seen:
            return None
        shown = "" if seen == vocabulary else f", {seen} of which occur in training"
        return (
            f"sort has no {length} distinct symbols in a vocabulary of {vocabulary}{shown}; "
            "{name: sort, distinct: false} allows repeated symbols"
        )

    def longest_target(self, length: int) -> int:
        """Returns `length`: the target has as many words as the source."""
        return length

    def generate(self, random: np.random.Generator, length: int, count: int) -> Examples:
        """Returns `count` random examples of `length` seen symbols, with targets (count, length)."""
        return _examples(self._symbols.draw_seen(self._draw, random, length, count))

    def generate_unseen(self, random: np.random.Generator, length: int, count: int) -> Examples:
        """Like `generate`, with symbols of the whole vocabulary and at least one unseen symbol in each source."""
        return _examples(self._symbols.draw_unseen(self._draw, random, length, count))


def _examples(source: np.ndarray) -> Examples:
    # A stable sort, so that the gold links of equal symbols are unique.
    order = np.argsort(source, axis=1, kind="stable")
    return Examples(source, np.take_along_axis(source, order, axis=1), one_to_one(order))
