"""The copy task."""

import numpy as np

from attnbench.registry import task
from attnbench.tasks.base import Examples
from attnbench.tasks.symbols import one_to_one, random_symbols, symbol_words


@task("copy")
class Copy:
    """Repeats the source: target word t is source word t.

    Symbols are uniform and independent. Gold links: t → t. Right attention is the diagonal.

    Source: Graves 2014, §4.1.
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
        positions = np.broadcast_to(np.arange(length), source.shape)
        return Examples(source, source.copy(), one_to_one(positions))
