"""The copy task."""

import numpy as np

from attnbench.registry import task
from attnbench.tasks.base import Examples
from attnbench.tasks.symbols import Symbols, one_to_one, random_symbols, symbol_words


@task("copy")
class Copy:
    """Copies the source: target symbol t is source symbol t.

    Formula: y_t = x_t
    Source: Graves, Wayne & Danihelka 2014, §4.1 (arXiv 1410.5401)

    Symbols are uniform and independent. Gold links: t → t. A correct alignment is the diagonal.

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
    positions = np.broadcast_to(np.arange(source.shape[1]), source.shape)
    return Examples(source, source.copy(), one_to_one(positions))
