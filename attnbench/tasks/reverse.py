"""The reverse task."""

import numpy as np

from attnbench.registry import task
from attnbench.tasks.base import Examples
from attnbench.tasks.symbols import one_to_one, random_symbols, symbol_words


@task("reverse")
class Reverse:
    """Says the source backwards: target word t is source word n−1−t.

    Symbols are uniform and independent. Gold links: t → n−1−t. Right attention is the anti-diagonal.

    Source: Grefenstette et al. 2015 ("Learning to transduce with unbounded memory"), sequence reversal.
    """

    def __init__(self, vocabulary: int) -> None:
        self.vocabulary = vocabulary
        self.source_words = self.target_words = symbol_words(vocabulary)

    def check(self, length: int) -> str | None:  # noqa: ARG002
        """Every length has sources."""
        return None

    def generate(self, random: np.random.Generator, length: int, count: int) -> Examples:
        """`count` random sources of `length` symbols, with targets (count, length) and links."""
        source = random_symbols(random, self.vocabulary, length, count)
        positions = np.broadcast_to(np.arange(length)[::-1], source.shape)
        # torch takes no negative strides, so the reversed rows are written out.
        return Examples(source, np.ascontiguousarray(source[:, ::-1]), one_to_one(positions))
