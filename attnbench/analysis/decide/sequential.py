"""Which pairs are better, worse or equivalent, tested look by look on differences of the same seeds."""

from collections.abc import Callable, Container, Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache, partial
from typing import TypeVar

import numpy as np

from attnbench.analysis.decide.boundaries import Levels, Sides, nominal_levels
from attnbench.analysis.paired import ALPHA, MAX_EXACT, ROUNDING, all_sums, shifted, sign_flip_tails
from attnbench.analysis.stats import Array

Pair = TypeVar("Pair", bound=Hashable)

LARGEST = 12  # differences whose 2^12 sign patterns show, for most pairs, that p is above the level


class Answer(StrEnum):
    """What is known of a pair of values (a, b), said of a."""

    BETTER = "better"
    WORSE = "worse"
    EQUIVALENT = "equivalent"  # the difference is smaller than the margin
    OPEN = "open"  # not settled yet: more seeds follow
    UNDECIDED = "undecided"  # not settled at the last look
    NOT_COMPARABLE = "not comparable"  # a seed of a or of b has no value of the metric


DIFFERENT = (Answer.BETTER, Answer.WORSE)


@dataclass(frozen=True)
class Settled:
    """A pair after the last look at which it was tested.

    Attributes:
        answer: about a.
        seeds: the number of seeds of that look; 0 before the first one.
        level, level_equivalent: of the two-sided test of the difference, and of the two one-sided tests of equivalence,
            at that look.
    """

    answer: Answer = Answer.OPEN
    seeds: int = 0
    level: float = 0.0
    level_equivalent: float = 0.0


def settle(
    differences: Mapping[Pair, Sequence[float] | Array],
    looks: tuple[int, ...],
    margin: float,
    better: int = 1,
    alpha: float = ALPHA,
    levels: Levels = nominal_levels,
    resolution: float = 0.0,
) -> dict[Pair, Settled]:
    """Tests all pairs of a setting at each look that is complete, until they are settled or there are no more looks.

    At a look of n seeds the first n differences of every open pair are tested: the exact two-sided sign-flip test of
    `paired` for a difference; and the two one-sided ones of the differences shifted by ±margin, which must both reject,
    for equivalence. The differences form one family of hypotheses, the equivalences another; in each family the
    probability of any false rejection, over all pairs and looks, is at most alpha.

    In a family of m pairs each has alpha/m, which `levels` shares out among the looks. When a pair is rejected its
    share passes to those that are not, as in Holm's procedure: with r rejected pairs each other one has alpha/(m − r),
    and those that are open are tested again at this look. A pair that is settled in the other family is not rejected in
    this one, and keeps its share. Passing shares on is valid under any dependence between the pairs, if each pair
    alone keeps its level over the looks, if the levels of every look increase with the share (`nominal_levels`), and
    if looks and spending are fixed before the data are seen. Pairs that stop for another reason can only lower the
    error, since nothing is rejected that would not have been.

    A look is complete when all open pairs have its seeds: what one pair passes on changes the test of the others at
    the same look. The result depends on the first n differences of each look alone, so that more seeds, or an
    interruption, change nothing that is settled.

    Args:
        differences: a − b of each pair, in the order of the seeds; NaN where a or b has no value. Pairs that have one
            at the first look do not count among the m.
        looks: numbers of seeds, increasing, e.g. from `boundaries.looks`.
        margin: differences of the mean smaller than this do not matter.
        better: 1 where higher values are better, −1 where lower ones are.
        alpha: the accepted probability of any false rejection in a family.
        levels: how a level is shared out among looks.
        resolution: smaller differences of the mean are neither better nor worse, e.g. those of one test sentence.

    Source: Maurer & Bretz 2013, Multiple Testing in Group Sequential Trials Using Graphical Approaches, Statistics in
    Biopharmaceutical Research 5(4), 311–320 (Algorithm 1, with Holm's weights); Ye, Li, Liu & Yao 2013, A Group
    Sequential Holm Procedure with Multiple Primary Endpoints, Statistics in Medicine 32(7), 1112–1124
    """
    arrays = {pair: np.asarray(values, dtype=float) for pair, values in differences.items()}
    comparable = sum(not np.isnan(values[: looks[0]]).any() for values in arrays.values())
    found: dict[Pair, Settled] = dict.fromkeys(arrays, Settled())

    def level(place: int, sides: Sides, rejected: int) -> float:
        return levels(looks, alpha / (comparable - rejected), sides)[place]

    def difference(values: Array, level: float) -> Answer | None:
        if abs(values.mean()) < resolution * (1 - ROUNDING) or not differs(values, level):
            return None
        return Answer.BETTER if values.mean() * better > 0 else Answer.WORSE

    def equivalence(values: Array, level: float) -> Answer | None:
        return Answer.EQUIVALENT if within(values, margin, level) else None

    for place, seeds in enumerate(looks):
        if any(len(arrays[pair]) < seeds for pair in open_pairs(found)):
            break
        first = {pair: arrays[pair][:seeds] for pair in open_pairs(found)}
        tested = {pair: values for pair, values in first.items() if not np.isnan(values).any()}
        rejected, same_before = _count(found, *DIFFERENT), _count(found, Answer.EQUIVALENT)
        unequal, levels_of = _reject(tested, difference, partial(level, place, 2), rejected)
        same, levels_of_same = _reject(tested, equivalence, partial(level, place, 1), same_before, unequal)
        left = Answer.UNDECIDED if seeds == looks[-1] else Answer.OPEN
        for pair in tested:
            answer = unequal.get(pair) or same.get(pair) or left
            found[pair] = Settled(answer, seeds, levels_of[pair], levels_of_same[pair])
        found |= {pair: Settled(Answer.NOT_COMPARABLE, seeds) for pair in first if pair not in tested}
    return found


def open_pairs(found: Mapping[Pair, Settled]) -> list[Pair]:
    """The pairs that need more seeds."""
    return [pair for pair, one in found.items() if one.answer is Answer.OPEN]


def differs(differences: Array, level: float) -> bool:
    """Whether the two-sided p of `paired` is at most the level."""
    return _tail_at_most(differences, 1 if differences.sum() > 0 else -1, level / 2)


def within(differences: Array, margin: float, level: float) -> bool:
    """Whether p_equivalent of `paired` is at most the level."""
    above, below = shifted(differences, margin), shifted(differences, -margin)
    return _tail_at_most(above, 1, level) and _tail_at_most(below, -1, level)


def _reject(
    tested: Mapping[Pair, Array],
    answer: Callable[[Array, float], Answer | None],
    level: Callable[[int], float],
    rejected: int,
    without: Container[Pair] = (),
) -> tuple[dict[Pair, Answer], dict[Pair, float]]:
    """The answers of one family at one look, and the level at which each pair was last tested.

    Args:
        tested: the differences of the open pairs.
        answer: of differences at a level; None where the test does not reject.
        level: of each pair that is not rejected, by the number of those that are.
        rejected: at the looks before.
        without: pairs that are settled already, and whose level alone is wanted.
    """
    answers: dict[Pair, Answer] = {}
    reached: dict[Pair, float] = {}
    while len(answers) < len(tested):
        now = level(rejected + len(answers))
        reached |= {pair: now for pair in tested if pair not in answers}
        new = {
            pair: one
            for pair, values in tested.items()
            if pair not in answers and pair not in without and (one := answer(values, now))
        }
        if not new:
            break
        answers |= new
    return answers, reached


def _count(found: Mapping[Pair, Settled], *answers: Answer) -> int:
    return sum(one.answer in answers for one in found.values())


def _tail_at_most(differences: Array, side: int, level: float) -> bool:
    """Whether P(S ≥ s), or with side −1 P(S ≤ s), of `sign_flip_tails` is at most a level below one half."""
    total = side * differences.sum()
    if total <= 0 or _clearly_above(differences, total, level):
        return False  # S is symmetric: P(S ≥ s) is at least one half where s is not above 0
    return _tails(differences.tobytes())[0 if side > 0 else 1] <= level


def _clearly_above(differences: Array, total: float, level: float) -> bool:
    """Whether the largest differences alone show that P(S ≥ total) is above the level; spares most of the long counts.

    The sum R of the others is symmetric too: P(L + R ≥ total) ≥ P(L ≥ total) P(R ≥ 0) ≥ P(L ≥ total)/2.
    """
    if not LARGEST < len(differences) <= MAX_EXACT:
        return False
    largest = np.partition(np.abs(differences), -LARGEST)[-LARGEST:]
    share = np.count_nonzero(all_sums(largest) >= total) / 2**LARGEST
    return bool(share / 2 > level)


@lru_cache(maxsize=10_000)
def _tails(differences: bytes) -> tuple[float, float]:
    # Kept, since all looks are tested anew when a result arrives, and sampled signs take a tenth of a second.
    return sign_flip_tails(np.frombuffer(differences))
