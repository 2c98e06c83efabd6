"""The translate task: toy English to toy French, by the lexicon and the grammar of the files beside this one."""

from functools import cache
from itertools import accumulate

import numpy as np

from attnbench.registry import task
from attnbench.tasks.base import Examples
from attnbench.tasks.grammar import AND, NOTHING, phrases, structures
from attnbench.tasks.phrase_table import PhraseTable

SHORTEST = 2  # "he sleeps"


@task("translate")
class Translate:
    """Translates toy English to toy French by a grammar; with data.path, learns from your own sentence pairs instead.

    French has gendered articles (le la l' les, un une des, de after a negation), adjectives after the noun and in
    agreement with it, negation around the verb (does not see → ne voit pas), object pronouns before the verb (sees
    him → le voit), no particles (looks at → regarde), some nouns of three words (potato → pomme de terre), and l' n'
    d' before a vowel as words of their own. Clauses joined by "and" make up any length. The French follows from the
    English.

    Gold links: per French word the English words that it renders; ne and pas each render auxiliary and not together
    (so with one attention link per word, AER stays above 0 on negated sentences), an article only the English article.

    Source: sets of gold links per word as in Och and Ney 2003; the grammar is attnbench's own.
    """

    bleu = True  # its targets are text

    def __init__(self) -> None:
        self._table = _table()
        self.source_words, self.target_words = self._table.source_words, self._table.target_words

    def check(self, length: int) -> str | None:
        """The shortest sentence is a pronoun and a verb."""
        return None if length >= SHORTEST else f"translate has no sentence of {length} word"

    def generate(self, random: np.random.Generator, length: int, count: int) -> Examples:
        """`count` random sentences of `length` words, with targets (count, T) filled up with PAD, and links.

        Every sequence of clause structures that has this length is as likely as any other, and so is every phrase
        of a kind.
        """
        return self._table.sentences(_draw_phrases(random, _draw_structures(random, length, count)))


@cache
def _table() -> PhraseTable:
    return PhraseTable(phrases())


def _draw_structures(random: np.random.Generator, length: int, count: int) -> np.ndarray:
    """The structures of each sentence's clauses (count, clauses), by number; past the last clause the number is K."""
    chances = _chances(length)
    sizes = np.array([singular.length for singular, _ in structures()] + [0])
    remaining = np.full(count, length)
    columns = []
    while remaining.any():
        columns.append((random.random((count, 1)) >= chances[remaining]).sum(axis=1))
        # Where a clause does not end the sentence, "and" takes a word more.
        remaining = np.maximum(remaining - sizes[columns[-1]] - 1, 0)
    return np.stack(columns, axis=1)


@cache
def _chances(length: int) -> np.ndarray:
    """Row n: the cumulative chances (K) of a clause's structure when n words remain to be filled.

    A structure's chance is its part of the sequences of structures that fill n words. Row 0 is zero: none is chosen.
    """
    sizes = [singular.length for singular, _ in structures()]
    ways = [0]  # exact integers: they grow exponentially
    chances = np.zeros((length + 1, len(sizes)))
    for n in range(1, length + 1):
        each = [1 if size == n else ways[n - size - 1] if size < n else 0 for size in sizes]
        ways.append(sum(each))
        if ways[n]:
            chances[n] = [total / ways[n] for total in accumulate(each)]
    return chances


@cache
def _ranges() -> tuple[np.ndarray, np.ndarray]:
    """Per structure, number and place in the clause (K+1,2,3): the first phrase and how many there are."""
    kinds = [[structure.kinds for structure in both] for both in structures()] + [[(NOTHING,) * 3] * 2]
    ranges = np.array([[[_table().kinds[kind] for kind in places] for places in both] for both in kinds])
    return ranges[..., 0], ranges[..., 1]


def _draw_phrases(random: np.random.Generator, clauses: np.ndarray) -> np.ndarray:
    """The phrases of each sentence (N, 4·clauses), by number: subject, verb group, object and "and" per clause."""
    first, size = _ranges()
    number = random.integers(2, size=clauses.shape)
    sizes = size[clauses, number]
    chosen = first[clauses, number] + (random.random(sizes.shape) * sizes).astype(np.intp)
    follows = clauses[:, 1:] < len(first) - 1
    (nothing, _), (and_, _) = (_table().kinds[kind] for kind in (NOTHING, AND))
    joint = np.where(np.pad(follows, ((0, 0), (0, 1))), and_, nothing)
    return np.concatenate([chosen, joint[:, :, None]], axis=2).reshape(len(clauses), -1)
