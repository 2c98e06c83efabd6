"""The sort task."""

import numpy as np

from attnbench.registry import task
from attnbench.tasks.base import Examples
from attnbench.tasks.symbols import Symbols, distinct_symbols, one_to_one, random_symbols, symbol_words


@task("sort")
class Sort:
    """Puts the source in ascending order, equal symbols in the order they came.

    Gold links: t → argsort(x)[t], stable. With `distinct` (the default) the symbols of a source are all different,
    drawn without replacement: otherwise a long source over few symbols is sorted well by guessing from the position
    alone. A source then cannot be longer than the vocabulary, less its unseen symbols.

    Source: Vinyals, Bengio and Kudlur 2016 ("Order matters").
    """

    def __init__(self, vocabulary: int, unseen_symbols: int = 0, distinct: bool = True) -> None:
        self._symbols = Symbols(vocabulary, unseen_symbols)
        self._distinct = distinct
        self._draw = distinct_symbols if distinct else random_symbols
        self.source_words = self.target_words = symbol_words(vocabulary)

    def check(self, length: int) -> str | None:
        """Distinct symbols run out past those that are seen."""
        vocabulary, seen = self._symbols.vocabulary, len(self._symbols.seen)
        if not self._distinct or length <= seen:
            return None
        shown = "" if seen == vocabulary else f" of which training shows {seen}"
        return (
            f"sort has no {length} distinct symbols in a vocabulary of {vocabulary}{shown}; "
            "{name: sort, distinct: false} lets symbols occur again"
        )

    def generate(self, random: np.random.Generator, length: int, count: int) -> Examples:
        """`count` random sources of `length` seen symbols, with targets (count, length) and links."""
        return _examples(self._symbols.draw_seen(self._draw, random, length, count))

    def generate_unseen(self, random: np.random.Generator, length: int, count: int) -> Examples:
        """As `generate`, of all symbols, with at least one in each source that `generate` never shows."""
        return _examples(self._symbols.draw_unseen(self._draw, random, length, count))


def _examples(source: np.ndarray) -> Examples:
    order = np.argsort(source, axis=1, kind="stable")
    return Examples(source, np.take_along_axis(source, order, axis=1), one_to_one(order))
