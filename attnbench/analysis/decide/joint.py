"""The sign-flip test at several looks, exact for all looks together."""

import itertools
import math
from functools import cache, lru_cache

import numpy as np

from attnbench.analysis.decide.boundaries import Sides
from attnbench.analysis.paired import MAX_EXACT, sign_flip_tails
from attnbench.analysis.stats import Array

LARGEST = 10  # differences whose 2^10 sign patterns show, for most pairs, that p is too large
CELLS = 200  # of the sums on each side of 0, times n^1.5: rounding then moves a sum by .003 of its standard deviation


def rejects(differences: Array, looks: tuple[int, ...], spent: tuple[float, ...], sides: Sides) -> bool:
    """Whether the sign-flip test rejects at the last of these looks.

    Under the null hypothesis each pattern of signs of the differences is equally likely, given their sizes. At each
    look the test rejects the sums S at least as far from 0 as the present s, if the patterns that have such a sum, and
    that no earlier look rejects, have at most the probability that is spent at this look. So the probability of a
    rejection at any look is at most the sum of what is spent: for every distribution of the sizes, and every number of
    seeds. A test that neglects which patterns the earlier looks reject, p ≤ spent, would be valid and weaker.

    A larger error probability, with a larger amount spent at each look, rejects whatever a smaller one does: the
    earlier looks leave fewer patterns, and this one allows more.

    Args:
        differences: of all seeds up to the last look.
        looks: numbers of seeds, increasing; those so far.
        spent: of the error probability, at each of them.
        sides: 2 for a mean other than 0, 1 for a mean above 0.

    Source: Fisher 1935, The Design of Experiments, §21 (sign flips); Lan & DeMets 1983, Discrete Sequential Boundaries
    for Clinical Trials (spending)
    """
    total = float(abs(differences.sum()) if sides == 2 else differences.sum())
    # S is symmetric: P(S ≥ s) is at least one half where s is not above 0.
    if total <= 0 or _clearly_above(differences, total, sum(spent) / sides):
        return False
    if len(differences) <= MAX_EXACT:
        p = sides * _tail(differences.tobytes(), sides)
        # The patterns of p are those that an earlier look rejects, and the others.
        if p <= spent[-1] or p > sum(spent) * (1 + 1e-9) or len(looks) == 1:
            return p <= spent[-1]
    return _bound(np.abs(differences).tobytes(), total, looks, spent, sides) <= spent[-1]


def _clearly_above(differences: Array, total: float, level: float) -> bool:
    """Whether the largest differences alone show that P(S ≥ total) is above the level; spares most of the long counts.

    The sum R of the others is symmetric too: P(L + R ≥ total) ≥ P(L ≥ total) P(R ≥ 0) ≥ P(L ≥ total)/2.
    """
    if len(differences) <= LARGEST:
        return False
    largest = np.partition(np.abs(differences), -LARGEST)[-LARGEST:]
    share = np.count_nonzero(_signs() @ largest >= total) / 2**LARGEST
    return bool(share / 2 > level)


@cache
def _signs() -> Array:
    """All patterns of signs of the largest differences (2^LARGEST, LARGEST)."""
    return np.array(list(itertools.product((-1.0, 1.0), repeat=LARGEST)))


@lru_cache(maxsize=10_000)  # all looks are tested anew when a result arrives, and at each with several levels
def _tail(differences: bytes, sides: Sides) -> float:
    """P(S ≥ s); of two sides, the smaller one."""
    above, below = sign_flip_tails(np.frombuffer(differences))
    return min(above, below) if sides == 2 else above


@lru_cache(maxsize=10_000)
def _bound(
    sizes_in_bytes: bytes, total: float, looks: tuple[int, ...], spent: tuple[float, ...], sides: Sides
) -> float:
    """An upper bound of P(S ≥ total, or on either side, and no earlier look rejects), by adding one seed at a time.

    The sizes are rounded to multiples of a small step, so that the sums are whole numbers with few values. As no sum
    changes by more than half a step for each seed, sums that could belong to the tail are counted as if they did, and
    of those that earlier looks reject only the certain ones are left out.
    """
    sizes = np.frombuffer(sizes_in_bytes)
    step = sizes.sum() / (CELLS * len(sizes) ** 1.5)
    whole = np.rint(sizes / step).astype(int)
    masses, before = np.ones(1), 0  # of the sums −reach … reach
    for look, due in zip(looks, spent, strict=True):
        for size in whole[before:look]:
            wider = np.zeros(len(masses) + 2 * size)
            wider[: len(masses)] += masses / 2
            wider[2 * size :] += masses / 2
            masses = wider
        reach, slack, before = len(masses) // 2, look / 2 + 0.01, look
        tails = sides * np.cumsum(masses[::-1])[::-1]
        if look < looks[-1]:
            lowest = reach + 1 + int(np.count_nonzero(tails[reach + 1 :] > due))  # the first that is rejected
            certain = lowest + math.ceil(2 * slack)
            masses[certain:] = 0
            if sides == 2:
                masses[: max(0, len(masses) - certain)] = 0
    return float(tails[max(0, reach + math.ceil(total / step - slack))])
