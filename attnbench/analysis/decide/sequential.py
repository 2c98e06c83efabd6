"""Which pairs are better, worse or equivalent, tested look by look on differences of the same seeds."""

from collections.abc import Callable, Container, Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import numpy as np

from attnbench.analysis.decide.boundaries import Sides, Spending, spent
from attnbench.analysis.decide.joint import rejects
from attnbench.analysis.paired import ALPHA, ROUNDING, shifted
from attnbench.analysis.stats import Array

Pair = TypeVar("Pair", bound=Hashable)


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
        share, share_equivalent: of the error probability of the differences, and of that of the equivalences, that the
            pair had at that look, for all looks together.
    """

    answer: Answer = Answer.OPEN
    seeds: int = 0
    share: float = 0.0
    share_equivalent: float = 0.0


def settle(
    differences: Mapping[Pair, Sequence[float] | Array],
    looks: tuple[int, ...],
    margin: float,
    better: int = 1,
    resolution: float = 0.0,
    alpha: float = ALPHA,
    spending: Spending = spent,
) -> dict[Pair, Settled]:
    """Tests all pairs of a setting at each look that is complete, until they are settled or there are no more looks.

    At a look of n seeds the first n differences of every open pair are tested by sign flips (`joint.rejects`): for a
    difference on two sides; and for equivalence on one side, shifted by +margin and by −margin, both of which must
    reject. A pair that is better or worse is not equivalent as well. The differences form one family of hypotheses,
    the equivalences another; in each the probability of any false rejection, over all pairs and looks, is at most
    alpha.

    In a family of m pairs each has the share alpha/m, and `spending` says how much of it is spent at each look. When a
    pair is rejected its share passes to those that are not, as in Holm's procedure: with r rejected pairs each other
    one has alpha/(m − r), and those that are open are tested again at this look. A pair that is settled in the other
    family is not rejected in this one, and keeps its share. This is valid under any dependence between the pairs, as
    each pair alone keeps its share over all looks, a larger share rejects whatever a smaller one does, and looks and
    spending are fixed before any result is seen. Pairs that stop for another reason can only lower the error.

    A look is complete when all open pairs have its seeds: what one pair passes on changes the test of the others at
    the same look. The result depends on the first n differences of each look alone, so that more seeds, or an
    interruption, change nothing that is settled.

    Args:
        differences: a − b of each pair, in the order of the seeds; NaN where a or b has no value. Pairs that have one
            at the first look do not count among the m.
        looks: numbers of seeds, increasing, e.g. from `boundaries.looks`.
        margin: differences of the mean smaller than this do not matter.
        better: 1 where higher values are better, −1 where lower ones are.
        resolution: smaller differences of the mean are neither better nor worse, e.g. those of one test sentence.
        alpha: the accepted probability of any false rejection in a family.
        spending: what of a share is spent at each look; it increases with the share at every look.

    Source: Maurer & Bretz 2013, Multiple Testing in Group Sequential Trials Using Graphical Approaches, Statistics in
    Biopharmaceutical Research, doi 10.1080/19466315.2013.807748 (here with Holm's weights); Ye et al. 2013, A Group
    Sequential Holm Procedure with Multiple Primary Endpoints, Statistics in Medicine
    """
    arrays = {pair: np.asarray(values, dtype=float) for pair, values in differences.items()}
    comparable = sum(not np.isnan(values[: looks[0]]).any() for values in arrays.values())
    found: dict[Pair, Settled] = dict.fromkeys(arrays, Settled())

    def rejected(values: Array, share: float, sides: Sides) -> bool:
        so_far = looks.index(len(values)) + 1
        return rejects(values, looks[:so_far], spending(looks, share)[:so_far], sides)

    def difference(values: Array, share: float) -> Answer | None:
        if abs(values.mean()) < resolution * (1 - ROUNDING) or not rejected(values, share, 2):
            return None
        return Answer.BETTER if values.mean() * better > 0 else Answer.WORSE

    def equivalence(values: Array, share: float) -> Answer | None:
        # The end of ±margin that is nearer to the mean decides in nearly all cases.
        sides = sorted((shifted(values, margin), -shifted(values, -margin)), key=np.sum)
        return Answer.EQUIVALENT if all(rejected(side, share, 1) for side in sides) else None

    for seeds in looks:
        if any(len(arrays[pair]) < seeds for pair in open_pairs(found)):
            break
        first = {pair: arrays[pair][:seeds] for pair in open_pairs(found)}
        tested = {pair: values for pair, values in first.items() if not np.isnan(values).any()}
        hypotheses = comparable - _count(found, *DIFFERENT), comparable - _count(found, Answer.EQUIVALENT)
        unequal, shares = _reject(tested, difference, alpha, hypotheses[0])
        same, shares_same = _reject(tested, equivalence, alpha, hypotheses[1], unequal)
        left = Answer.UNDECIDED if seeds == looks[-1] else Answer.OPEN
        for pair in tested:
            answer = unequal.get(pair) or same.get(pair) or left
            found[pair] = Settled(answer, seeds, shares[pair], shares_same[pair])
        found |= {pair: Settled(Answer.NOT_COMPARABLE, seeds) for pair in first if pair not in tested}
    return found


def open_pairs(found: Mapping[Pair, Settled]) -> list[Pair]:
    """The pairs that need more seeds."""
    return [pair for pair, one in found.items() if one.answer is Answer.OPEN]


def _reject(
    tested: Mapping[Pair, Array],
    answer: Callable[[Array, float], Answer | None],
    alpha: float,
    hypotheses: int,
    without: Container[Pair] = (),
) -> tuple[dict[Pair, Answer], dict[Pair, float]]:
    """The answers of one family at one look, and the share of alpha with which each pair was last tested.

    Args:
        tested: the differences of the open pairs.
        answer: of differences and a share of alpha; None where the test does not reject.
        alpha: of the family.
        hypotheses: of the family that were not rejected before.
        without: pairs that are settled already, and whose share alone is wanted.
    """
    answers: dict[Pair, Answer] = {}
    shares: dict[Pair, float] = {}
    while len(answers) < len(tested):
        share = alpha / (hypotheses - len(answers))
        left = [pair for pair in tested if pair not in answers]
        shares |= dict.fromkeys(left, share)
        new = {pair: one for pair in left if pair not in without and (one := answer(tested[pair], share))}
        if not new:
            break
        answers |= new
    return answers, shares


def _count(found: Mapping[Pair, Settled], *answers: Answer) -> int:
    return sum(one.answer in answers for one in found.values())
