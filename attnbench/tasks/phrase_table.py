"""The phrases of the toy translation as arrays, joined into sentences without a Python loop over sentences."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from attnbench.tasks.base import PAD, SPECIAL, Examples
from attnbench.tasks.grammar import Phrase


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths in one array: row p is flat[start[p] : start[p] + count[p]].

    Attributes:
        flat: the items of all rows.
        start: the index of the first item of each row.
        count: the number of items of each row.
    """

    flat: np.ndarray
    start: np.ndarray
    count: np.ndarray

    @classmethod
    def of(cls, rows: Iterable[Sequence[int]]) -> "Ragged":
        """Builds it from sequences of numbers."""
        listed = list(rows)
        count = np.array([len(row) for row in listed])
        return cls(np.array([item for row in listed for item in row]), np.cumsum(count) - count, count)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Returns the items of the given rows in one flat array."""
        count = self.count[rows]
        # The index of each item: the start of its row plus its offset in the row, where the offset is its index in the
        # result minus the index of its row's first item.
        first = np.cumsum(count) - count
        return self.flat[np.repeat(self.start[rows] - first, count) + np.arange(count.sum())]


class PhraseTable:
    """All phrases, numbered in the order of their kinds.

    Attributes:
        kinds: for each kind, the number of its first phrase and how many phrases it has.
        source_words: the English words; the index of a word is its id.
        target_words: the French words, likewise.
    """

    def __init__(self, phrases: dict[str, list[Phrase]]) -> None:
        listed = [phrase for kind in phrases.values() for phrase in kind]
        sizes = [len(kind) for kind in phrases.values()]
        firsts = (np.cumsum(sizes) - sizes).tolist()
        self.kinds = dict(zip(phrases, zip(firsts, sizes, strict=True), strict=True))
        self.source_words = _words(phrase.source for phrase in listed)
        self.target_words = _words(phrase.target for phrase in listed)
        source_ids, target_ids = (
            {word: n for n, word in enumerate(words)} for words in (self.source_words, self.target_words)
        )
        self._source = Ragged.of([source_ids[word] for word in phrase.source] for phrase in listed)
        self._target = Ragged.of([target_ids[word] for word in phrase.target] for phrase in listed)
        links = [[(t, s) for t, linked in enumerate(phrase.links) for s in linked] for phrase in listed]
        self._link_target = Ragged.of([t for t, _ in pairs] for pairs in links)
        self._link_source = Ragged.of([s for _, s in pairs] for pairs in links)

    def sentences(self, chosen: np.ndarray) -> Examples:
        """Joins phrases into sentences.

        Args:
            chosen: (N,P), the numbers of the phrases of each sentence. All sentences must have the same number of
                source words.
        """
        count = len(chosen)
        phrase = chosen.ravel()
        source = self._source.take(phrase).reshape(count, -1)
        target_counts = self._target.count[chosen]
        sizes = target_counts.sum(axis=1)
        target = np.full((count, sizes.max(initial=0)), PAD)
        target[np.arange(target.shape[1]) < sizes[:, None]] = self._target.take(phrase)
        links = np.zeros((*target.shape, source.shape[1]), dtype=bool)
        # Links are stored per phrase, with positions in the phrase. The offset of the phrase in its sentence is added
        # to both positions of each link.
        linked = self._link_target.count[phrase]
        row = np.repeat(np.arange(count), linked.reshape(chosen.shape).sum(axis=1))
        links[
            row,
            self._link_target.take(phrase) + np.repeat(_offsets(target_counts), linked),
            self._link_source.take(phrase) + np.repeat(_offsets(self._source.count[chosen]), linked),
        ] = True
        return Examples(source, target, links)


def _offsets(counts: np.ndarray) -> np.ndarray:
    """Returns the position of each phrase's first word in its sentence (N·P,), from the phrase lengths (N,P)."""
    return (np.cumsum(counts, axis=1) - counts).ravel()


def _words(sentences: Iterable[Sequence[str]]) -> list[str]:
    """Returns the vocabulary: the special words, and the words of the sentences in alphabetical order."""
    return [*SPECIAL, *sorted({word for sentence in sentences for word in sentence})]
