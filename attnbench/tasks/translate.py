"""The translate task: toy English to toy French, by the lexicon and the grammar in `lexicon.py` and `grammar.py`."""

from functools import cache
from itertools import accumulate

import numpy as np

from attnbench.registry import task
from attnbench.tasks.base import Examples
from attnbench.tasks.grammar import AND, NOTHING, phrases, structures
from attnbench.tasks.pairs import Pairs, read_pairs
from attnbench.tasks.phrase_table import PhraseTable

SHORTEST = 2  # "he sleeps"


@task("translate")
class Translate:
    """Translates toy English to toy French, or the pairs in `data.path`.

    Source: the grammar is part of attnbench; sets of gold links per word: Och & Ney 2003

    The English sentence determines the French one. French has
    - gendered articles: le, la, l', les; un, une, des; de in the object of a negated clause;
    - adjectives after the noun, which agree with it;
    - negation around the verb (does not see → ne voit pas);
    - object pronouns before the verb (sees him → le voit);
    - no particles (looks at → regarde);
    - some nouns of three words (potato → pomme de terre);
    - l', n' and d' before a vowel, as separate tokens.
    Clauses joined by "and" give sentences of any length from 2 words on.

    Gold links: each French word is linked to the English words that it renders. "ne" and "pas" are both linked to the
    auxiliary and to "not", so an alignment with one link per word has an AER above 0 on negated sentences. An article
    is linked to the English article only.
    """

    reads_path = True
    bleu = True  # its targets are text
    lengths_of_files = True

    @staticmethod
    def from_files(path: str, validation_path: str | None, test_path: str | None) -> Pairs:
        """Returns the task with sentence pairs of the user; see `Pairs`."""
        return Pairs(path, validation_path, test_path)

    @staticmethod
    def file_lengths(path: str) -> list[int]:
        """Returns the number of source words of each pair in a file.

        Raises:
            AttnbenchError: if it cannot be read.
        """
        return [len(pair.source) for pair in read_pairs(path)]

    def __init__(self) -> None:
        self._table = _table()
        self.source_words, self.target_words = self._table.source_words, self._table.target_words

    def check(self, length: int) -> str | None:
        """Returns the reason why there is no sentence of this length: the shortest is a pronoun and a verb."""
        if length >= SHORTEST:
            return None
        return f"translate has no sentence of length {length}; the shortest has {SHORTEST} words"

    def longest_target(self, length: int) -> int:
        """Returns the length of the longest French sentence for an English one of `length` words."""
        return _longest(length)

    def generate(self, random: np.random.Generator, length: int, count: int) -> Examples:
        """Returns `count` random sentences of `length` words, with targets (count, T) padded with PAD.

        All sequences of clause structures of this length have the same probability, and so have all phrases of a kind.
        """
        return self._table.sentences(_draw_phrases(random, _draw_structures(random, length, count)))


@cache
def _table() -> PhraseTable:
    return PhraseTable(phrases())


def _draw_structures(random: np.random.Generator, length: int, count: int) -> np.ndarray:
    """Draws the structures of the clauses of each sentence.

    Returns:
        (count, clauses), the numbers of the structures. After the last clause of a sentence the number is K, the number
        of structures.
    """
    chances = _chances(length)
    sizes = np.array([singular.length for singular, _ in structures()] + [0])
    remaining = np.full(count, length)
    columns = []
    while remaining.any():
        # The number of cumulative probabilities that a uniform number reaches is the index of the drawn structure. Row
        # 0, of finished sentences, is all zero: the index is K.
        columns.append((random.random((count, 1)) >= chances[remaining]).sum(axis=1))
        # If the sentence goes on, "and" takes one more word. After the last clause the difference is −1, clipped to 0.
        remaining = np.maximum(remaining - sizes[columns[-1]] - 1, 0)
    return np.stack(columns, axis=1)


@cache
def _chances(length: int) -> np.ndarray:
    """Returns the cumulative probabilities (length + 1, K) of the structure of the next clause.

    Row n is for n remaining words. The probability of a structure is the share of the sequences of structures of n
    words that start with it; drawing clause by clause with these makes all sequences equally likely. Row 0 is all zero.
    """
    sizes = [singular.length for singular, _ in structures()]
    # The number of sequences grows exponentially with the length; Python's integers stay exact.
    ways = [0]
    chances = np.zeros((length + 1, len(sizes)))
    for n in range(1, length + 1):
        each = [1 if size == n else ways[n - size - 1] if size < n else 0 for size in sizes]
        ways.append(sum(each))
        if ways[n]:
            chances[n] = [total / ways[n] for total in accumulate(each)]
    return chances


@cache
def _longest(length: int) -> int:
    """Returns the number of French words of the longest sentence of `length` English words, 0 if there is none."""
    longest = {kind: max(len(phrase.target) for phrase in found) for kind, found in phrases().items()}
    clauses: dict[int, int] = {}
    for structure in (structure for both in structures() for structure in both):
        words = sum(longest[kind] for kind in structure.kinds)
        clauses[structure.length] = max(clauses.get(structure.length, 0), words)
    totals = {0: 0}
    for n in range(1, length + 1):
        # A clause alone, or a clause and "and" (one word in both languages) before a shorter sentence.
        found = [clauses[n]] if n in clauses else []
        found += [words + 1 + totals[n - size - 1] for size, words in clauses.items() if totals.get(n - size - 1)]
        totals[n] = max(found, default=0)
    return totals[length]


@cache
def _ranges() -> tuple[np.ndarray, np.ndarray]:
    """Returns, per structure, number and place in the clause (K+1,2,3), the first phrase and the number of phrases.

    Row K is for the empty clauses after the end of a sentence.
    """
    kinds = [[structure.kinds for structure in both] for both in structures()] + [[(NOTHING,) * 3] * 2]
    ranges = np.array([[[_table().kinds[kind] for kind in places] for places in both] for both in kinds])
    return ranges[..., 0], ranges[..., 1]


def _draw_phrases(random: np.random.Generator, clauses: np.ndarray) -> np.ndarray:
    """Draws the phrases of each sentence for the given structures (N, clauses).

    Returns:
        (N, 4·clauses), the numbers of the phrases: subject, verb group, object and "and" of each clause.
    """
    first, size = _ranges()
    number = random.integers(2, size=clauses.shape)
    sizes = size[clauses, number]
    chosen = first[clauses, number] + (random.random(sizes.shape) * sizes).astype(np.intp)
    follows = clauses[:, 1:] < len(first) - 1
    (nothing, _), (and_, _) = (_table().kinds[kind] for kind in (NOTHING, AND))
    joint = np.where(np.pad(follows, ((0, 0), (0, 1))), and_, nothing)
    return np.concatenate([chosen, joint[:, :, None]], axis=2).reshape(len(clauses), -1)
