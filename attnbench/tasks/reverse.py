"""The reverse task."""

import numpy as np

from attnbench.registry import task
from attnbench.tasks.base import Examples
from attnbench.tasks.symbols import Symbols, one_to_one, random_symbols, symbol_words


@task("reverse")
class Reverse:
    """Reverses the source: target symbol t is source symbol n−1−t.

    Formula: y_t = x_{n−1−t}
    Source: Grefenstette et al. 2015, sequence reversal (arXiv 1506.02516)

    n is the length of the source without EOS. Symbols are uniform and independent. Gold links: t → n−1−t. A correct
    alignment is the anti-diagonal.

    Args:
        vocabulary: V, the number of symbols.
        unseen_symbols: number of symbols that do not occur in training, less than V.
    """

    def __init__(self, vocabulary: int, unseen_symbols: int = 0) -> None:
        self._symbols = Symbols(vocabulary, unseen_symbols)
        self.source_words = self.target_words = symbol_words(vocabulary)

    def check(self, length: int) -> str | None:  # noqa: ARG002
        """Returns None: the task has sources of every length."""
        return None

    def longest_target(self, length: int) -> int:
        """Returns `length`: the target has as many words as the source."""
        return length

    def generate(self, random: np.random.Generator, length: int, count: int) -> Examples:
        """Returns `count` random examples of `length` seen symbols, with targets (count, length)."""
        return _examples(self._symbols.draw_seen(random_symbols, random, length, count))

    def generate_unseen(self, random: np.random.Generator, length: int, count: int) -> Examples:
        """Like `generate`, with symbols of the whole vocabulary and at least one unseen symbol in each source."""
        return _examples(self._symbols.draw_unseen(random_symbols, random, length, count))


def _examples(source: np.ndarray) -> Examples:
    positions = np.broadcast_to(np.arange(source.shape[1])[::-1], source.shape)
    # torch does not accept negative strides, so the reversed rows are copied.
    return Examples(source, np.ascontiguousarray(source[:, ::-1]), one_to_one(positions))
