"""The reverse task."""

import numpy as np

from attnbench.registry import task
from attnbench.tasks.base import Examples
from attnbench.tasks.symbols import Symbols, one_to_one, random_symbols, symbol_words


@task("reverse")
class Reverse:
    """Says the source backwards: target word t is source word n−1−t.

    Symbols are uniform and independent. Gold links: t → n−1−t. Right attention is the anti-diagonal.

    Source: Grefenstette et al. 2015 ("Learning to transduce with unbounded memory"), sequence reversal.
    """

    def __init__(self, vocabulary: int, unseen_symbols: int = 0) -> None:
        self._symbols = Symbols(vocabulary, unseen_symbols)
        self.source_words = self.target_words = symbol_words(vocabulary)

    def check(self, length: int) -> str | None:  # noqa: ARG002
        """Every length has sources."""
        return None

    def generate(self, random: np.random.Generator, length: int, count: int) -> Examples:
        """`count` random sources of `length` seen symbols, with targets (count, length) and links."""
        return _examples(self._symbols.draw_seen(random_symbols, random, length, count))

    def generate_unseen(self, random: np.random.Generator, length: int, count: int) -> Examples:
        """As `generate`, of all symbols, with at least one in each source that `generate` never shows."""
        return _examples(self._symbols.draw_unseen(random_symbols, random, length, count))


def _examples(source: np.ndarray) -> Examples:
    positions = np.broadcast_to(np.arange(source.shape[1])[::-1], source.shape)
    # torch takes no negative strides, so the reversed rows are written out.
    return Examples(source, np.ascontiguousarray(source[:, ::-1]), one_to_one(positions))
