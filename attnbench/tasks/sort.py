"""The sort task."""

import numpy as np

from attnbench.registry import task
from attnbench.tasks.base import Examples
from attnbench.tasks.symbols import distinct_symbols, one_to_one, random_symbols, symbol_words


@task("sort")
class Sort:
    """Puts the source in ascending order, equal symbols in the order they came.

    Gold links: t → argsort(x)[t], stable. With `distinct` (the default) the symbols of a source are all different,
    drawn without replacement: otherwise a long source over few symbols is sorted well by guessing from the position
    alone. A source then cannot be longer than the vocabulary.

    Source: Vinyals, Bengio and Kudlur 2016 ("Order matters").
    """

    def __init__(self, vocabulary: int, distinct: bool = True) -> None:
        self.vocabulary = vocabulary
        self.distinct = distinct
        self.source_words = self.target_words = symbol_words(vocabulary)

    def check(self, length: int) -> str | None:
        """Distinct symbols run out past the vocabulary."""
        if self.distinct and length > self.vocabulary:
            return (
                f"sort has no {length} distinct symbols in a vocabulary of {self.vocabulary}; "
                "{name: sort, distinct: false} lets symbols occur again"
            )
        return None

    def generate(self, random: np.random.Generator, length: int, count: int) -> Examples:
        """`count` random sources of `length` symbols, with targets (count, length) and links."""
        draw = distinct_symbols if self.distinct else random_symbols
        source = draw(random, self.vocabulary, length, count)
        order = np.argsort(source, axis=1, kind="stable")
        return Examples(source, np.take_along_axis(source, order, axis=1), one_to_one(order))
