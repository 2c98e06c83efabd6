"""When the pairs of a setting are tested, and at which level: an error probability shared out among several looks."""

import math
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from attnbench.analysis.paired import ALPHA, fewest_pairs, smallest_p
from attnbench.analysis.stats import Array

LOOKS = 4
NODES = 400  # of the integrals; with 200 the levels are the same to 1e-10
FARTHEST = 9.0  # standard deviations; a normal variable is beyond it with a probability of 1e-19

Sides = Literal[1, 2]
# What is spent at each look, from the looks and alpha.
Spending = Callable[[tuple[int, ...], float], tuple[float, ...]]


def looks(pairs: int, at_least: int, at_most: int, alpha: float = ALPHA) -> tuple[int, ...]:
    """The numbers of seeds at which the pairs of a setting are tested: 12, 16, 22, 30 for 15 pairs and 30 seeds.

    The first is the smallest even number at which a pair can be settled at all, since a test before it could only
    spend error, and not below at_least. The last is at_most. There are four, in a geometric sequence rounded to even
    numbers, and fewer where they would be less than two seeds apart. If no pair could be settled before at_most, or
    not even there (`fewest_seeds`), at_most is the only one.

    Args:
        pairs: of values that are compared with each other, at least one.
        at_least, at_most: the numbers of seeds that the user allows.
        alpha: the error probability of all pairs together.

    Raises:
        ValueError: where at_least is above at_most, or there is no pair.
    """
    if pairs < 1 or not 1 <= at_least <= at_most:
        raise ValueError(f"there are no looks for {pairs} pairs with at least {at_least} and at most {at_most} seeds")
    able = (n for n in range(2, at_most, 2) if n >= at_least and smallest_p(n) <= alpha / pairs * (n / at_most) ** 2)
    first = next(able, at_most)
    wanted = [first * (at_most / first) ** (step / (LOOKS - 1)) for step in range(LOOKS - 1)]
    found: list[int] = []
    for n in (2 * round(number / 2) for number in wanted):
        if n <= at_most - 2 and n not in found:
            found.append(n)
    return (*found, at_most)


def fewest_seeds(pairs: int, alpha: float = ALPHA) -> int:
    """The smallest at_most with which one of `pairs` pairs can be settled: 6 for one pair, 10 for 15."""
    return fewest_pairs(alpha / pairs)


@cache
def spent(looks: tuple[int, ...], alpha: float) -> tuple[float, ...]:
    """What is spent of alpha at each look: alpha·t² up to the share t of the last look's seeds.

    Source: Kim & DeMets 1987, Design and Analysis of Group Sequential Tests Based on the Type I Error Spending Rate
    Function
    """
    total = [0.0, *(alpha * share**2 for share in _fractions(looks))]
    return tuple(after - before for before, after in pairwise(total))


@cache
def nominal_levels(looks: tuple[int, ...], alpha: float, sides: Sides) -> tuple[float, ...]:
    """What p at each look has to be, for normal differences, if so much is spent; `joint.rejects` is exact for all.

    At each look the sums that no earlier look rejected are rejected with the probability that is spent there. Since
    the looks share seeds, and so often reject the same sums, the level is above what is spent.

    Args:
        looks: numbers of seeds, increasing.
        alpha: of the test over all looks.
        sides: 2 for a test in both directions, 1 for one direction.

    Source: Lan & DeMets 1983, Discrete Sequential Boundaries for Clinical Trials; the integrals: Armitage, McPherson &
    Rowe 1969, Repeated Significance Tests on Accumulating Data
    """
    from scipy.stats import norm

    walk, found = _Walk(sides), list[float]()
    for look, due in zip(_fractions(looks), spent(looks, alpha), strict=True):
        critical = walk.critical_value(look, due)
        found.append(float(sides * norm.sf(critical)))
        walk.go_on(look, critical)
    return tuple(found)


def exit_probabilities(looks: Sequence[int], critical: Sequence[float], sides: Sides) -> tuple[float, ...]:
    """For each look the probability that the standardised sum is beyond its critical value there for the first time.

    Args:
        looks: numbers of seeds, increasing.
        critical: a normal quantile for each.
        sides: 2 if sums below the negative critical value leave as well.
    """
    walk, found = _Walk(sides), list[float]()
    for look, limit in zip(_fractions(looks), critical, strict=True):
        found.append(walk.exits(look, limit))
        walk.go_on(look, limit)
    return tuple(found)


class _Walk:
    """The distribution of a sum of normal values at the present look, where no look has rejected it so far.

    Attributes:
        at: the share of the seeds at the present look; 0 before the first.
        points, masses: where the sum may be, and with which probability: the nodes of a numerical integral.
    """

    def __init__(self, sides: Sides) -> None:
        self.sides = sides
        self.at, self.points, self.masses = 0.0, np.zeros(1), np.ones(1)

    def exits(self, share: float, critical: float) -> float:
        """The probability that no look so far rejects, and that one at this share of the seeds does."""
        from scipy.stats import norm

        step, limit = math.sqrt(share - self.at), critical * math.sqrt(share)
        beyond: Any = norm.sf((limit - self.points) / step)
        if self.sides == 2:
            beyond = beyond + norm.cdf((-limit - self.points) / step)
        return float(self.masses @ beyond)

    def critical_value(self, share: float, probability: float) -> float:
        """The critical value with which `exits` has this probability."""
        from scipy.optimize import brentq
        from scipy.stats import norm

        # That of the probability alone would ignore the earlier looks; it is the largest possible one.
        highest = float(norm.isf(probability / self.sides)) + 1e-6
        return float(brentq(lambda critical: self.exits(share, critical) - probability, 0.0, highest, xtol=1e-12))

    def go_on(self, share: float, critical: float) -> None:
        """Moves to the look at this share of the seeds; what it rejects is left out."""
        step, limit = math.sqrt(share - self.at), critical * math.sqrt(share)
        lowest = -limit if self.sides == 2 else -FARTHEST * math.sqrt(share)
        nodes, weights = _gauss_legendre()
        points = (limit + lowest) / 2 + (limit - lowest) / 2 * nodes
        kernel = np.exp(-(((points[:, None] - self.points) / step) ** 2) / 2) / (step * math.sqrt(2 * math.pi))
        self.at, self.points, self.masses = share, points, weights * (limit - lowest) / 2 * (kernel @ self.masses)


@cache
def _gauss_legendre() -> tuple[Array, Array]:
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return nodes, weights


def _fractions(looks: Sequence[int]) -> list[float]:
    return [look / looks[-1] for look in looks]
