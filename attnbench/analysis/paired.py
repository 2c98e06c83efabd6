"""Whether one of two is better: over the seeds that they share, over tasks, and among many comparisons."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from attnbench.analysis.stats import (
    Array,
    Estimate,
    Values,
    can_resample,
    expanded_level,
    percentile_interval,
    sorted_groups,
    stratified,
)

ALPHA = 0.05
DIGITS = 12  # of a difference that are more than rounding

Verdict = Literal["better", "worse", "cannot tell: too few seeds", "no difference found"]


@dataclass(frozen=True)
class Paired:
    """How a compares to b over n pairs.

    Attributes:
        difference: the mean of a − b; over several tasks, the mean of the tasks' means.
        low, high: the ends of its 95 % interval, None where the pairs cannot tell them.
        p: of the exact two-sided Wilcoxon signed-rank test.
        smallest_p: the smallest p that the test can reach with as many pairs that differ.
        n: the number of pairs.
        ranks: where the test's ranks lean, from −1 (b is above a in every pair that differs) to 1 (a above b).
    """

    difference: float
    low: float | None
    high: float | None
    p: float
    smallest_p: float
    n: int
    ranks: float


def paired(a: Values, b: Values) -> Paired:
    """Compares a to b on the same seeds, in the same order.

    The interval is that of `stats.estimate`, for the differences. The test is exact whatever the ties: it goes through
    all 2^m signs of the m differences, ranked with ties averaged. Pairs that do not differ are left out of it, as
    Wilcoxon did, since they say nothing about which is better; when none differs, p is 1.

    Raises:
        ValueError: when a and b are not equally many, or none.

    Source: Wilcoxon 1945, Individual Comparisons by Ranking Methods; ranks: Kerby 2014, The Simple Difference Formula
    """
    return paired_over_tasks([a], [b])


def paired_over_tasks(a: Sequence[Values], b: Sequence[Values]) -> Paired:
    """Compares a to b over several tasks: for each, the values on the same seeds.

    Every task weighs the same in the difference; its interval is that of `stats.stratified`. The test is over the pairs
    of all tasks, so that a task whose differences are large has the higher ranks. It is about these tasks.

    Raises:
        ValueError: when a and b do not have the same numbers of values, or none.
    """
    pairs = [(np.asarray(x, dtype=float), np.asarray(y, dtype=float)) for x, y in zip(a, b, strict=True)]
    if any(x.shape != y.shape for x, y in pairs):
        raise ValueError("a and b must have the same seeds")
    groups = [x - y for x, y in pairs]
    mean = stratified(groups)
    pooled = np.concatenate(groups)
    largest = max(float(np.abs(side).max()) for pair in pairs for side in pair) or 1.0
    pooled = np.round(pooled / largest, DIGITS)  # differences that are equal but for rounding tie
    p, ranks = _signed_ranks(pooled)
    differing = int(np.count_nonzero(pooled))
    return Paired(mean.value, mean.low, mean.high, p, smallest_p(differing), mean.n, ranks)


def smallest_p(pairs: int) -> float:
    """The smallest two-sided p that a signed-rank test of so many differing pairs can reach: all of one sign."""
    return min(1.0, 2.0 ** (1 - pairs))


def fewest_pairs(alpha: float = ALPHA) -> int:
    """The number of pairs below which no signed-rank test reaches alpha: 6 for 0.05."""
    return math.ceil(1 - math.log2(alpha))


def verdict(comparison: Paired, alpha: float = ALPHA, better: int = 1) -> Verdict:
    """What a comparison of a to b says about a.

    "No difference found" is said only where the test could have found one: where the smallest p that it can reach is
    above alpha, it cannot tell, as with 5 pairs, whose p is .0625 at best. Better and worse take a p of at most alpha
    and a mean difference on the side to which the ranks lean.

    Args:
        comparison: of a to b, corrected for the number of comparisons where there are several (`corrected`).
        alpha: the share of false verdicts that is borne where there is no difference.
        better: 1 where higher values are better, −1 where lower ones are.
    """
    if comparison.smallest_p > alpha:
        return "cannot tell: too few seeds"
    if comparison.p <= alpha and comparison.difference * comparison.ranks > 0:
        return "better" if comparison.difference * better > 0 else "worse"
    return "no difference found"


def corrected(comparisons: Sequence[Paired]) -> list[Paired]:
    """The comparisons with their p corrected by `holm`, and the smallest p that each could reach with it.

    That smallest p is what the correction would make of a comparison's smallest p, the others being as they are: with
    6 pairs (.03125) and 7 comparisons no verdict may be possible, and then none is given.
    """
    given = [comparison.p for comparison in comparisons]
    adjusted = holm(given)
    reachable = [
        holm([*given[:i], comparison.smallest_p, *given[i + 1 :]])[i] for i, comparison in enumerate(comparisons)
    ]
    return [replace(c, p=p, smallest_p=least) for c, p, least in zip(comparisons, adjusted, reachable, strict=True)]


def probability_of_improvement(a: Sequence[Values], b: Sequence[Values]) -> Estimate:
    """P(A > B) + P(A = B)/2 for a random seed of each, averaged over tasks, with its 95 % interval.

    The seeds of a and of b are resampled by themselves within each task, as rliable does; a and b may have different
    numbers of them. The level is expanded as in `stats.estimate`, from the placements of each seed among the other
    side's. Simulated, it holds the truth 93 % of the time with 5 seeds each, 96 % with 10, 95 % with
    20. Where every a lies above every b, so do all resamples and the interval has no width: that is not
    certainty, and the test's p tells how much it means. n counts the seeds of a and of b.

    Args:
        a, b: for each task, the values of the seeds. Where lower is better, swap them.

    Raises:
        ValueError: when a and b do not have the same number of tasks, or a task has no value.

    Source: Agarwal et al. 2021, Deep Reinforcement Learning at the Edge of the Statistical Precipice, §4.3; Mann &
    Whitney 1947; placements: DeLong et al. 1988, Comparing the Areas under Correlated ROC Curves
    """
    tasks = list(zip(sorted_groups(a), sorted_groups(b), strict=True))
    groups = [side for task in tasks for side in task]
    value, n = float(_mean_superiority(*groups, axis=-1)), sum(map(len, groups))
    if not can_resample(groups):
        return Estimate(value, None, None, n)
    level = expanded_level([placements for task in tasks for placements in _placements(*task)])
    return Estimate(value, *percentile_interval(groups, _mean_superiority, level), n)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the order given: those at most alpha are found at a familywise error of alpha.

    Source: Holm 1979, A Simple Sequentially Rejective Multiple Test Procedure
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, reached = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        reached = max(reached, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = reached
    return adjusted


def mean_ranks(table: Sequence[Values] | Array, better: int = 1) -> list[float]:
    """The average rank of each competitor over blocks; 1 is the best, and ties share the mean of their ranks.

    Args:
        table: (blocks, competitors); a block is what all of them met: a task with a seed.
        better: 1 where higher values are better, −1 where lower ones are.

    Raises:
        ValueError: when a value is missing (not a number): such a block has no ranks.

    Source: Demšar 2006, Statistical Comparisons of Classifiers over Multiple Data Sets, §3.2.2
    """
    from scipy.stats import rankdata

    values = np.asarray(table, dtype=float)
    if np.isnan(values).any():
        raise ValueError("a block with a missing value has no ranks")
    return [float(rank) for rank in rankdata(-better * values, axis=1).mean(axis=0)]


def seeds_needed(probability: float, alpha: float = ALPHA, power: float = 0.8) -> int | None:
    """How many seeds each of two needs for a rank-sum test to find that P(A > B) is this; None for one half.

    It is for a one-sided test at alpha, and an approximation: below `fewest_pairs` no paired two-sided test can find
    anything. Sources of the probability should be generous: estimated from few seeds it is uncertain itself.

    Source: Noether 1987, Sample Size Determination for Some Common Nonparametric Tests, eq. 9 with equal samples;
    Bouthillier et al. 2021, Accounting for Variance in Machine Learning Benchmarks, has 29 for 0.75 at alpha .05,
    power .95
    """
    from scipy.stats import norm

    if probability == 0.5:
        return None
    needed = (norm.isf(alpha) + norm.ppf(power)) ** 2 / (6 * (probability - 0.5) ** 2)
    return math.ceil(needed)


def _signed_ranks(differences: Array) -> tuple[float, float]:
    """The exact two-sided p of the signed-rank test, and where its ranks lean (−1..1).

    scipy's exact distribution knows no ties, and it goes through the signs one by one for 13 pairs at most. Here the
    doubled ranks are whole numbers, and the distribution of their sum grows by one pair at a time.
    """
    from scipy.stats import rankdata

    differences = differences[differences != 0]
    if not len(differences):
        return 1.0, 0.0
    ranks = np.rint(2 * rankdata(np.abs(differences))).astype(int)
    chances = np.ones(1)
    for rank in ranks:
        chances = (np.pad(chances, (0, rank)) + np.pad(chances, (rank, 0))) / 2
    up = int(ranks[differences > 0].sum())
    tail = min(chances[: up + 1].sum(), chances[up:].sum())
    return min(1.0, 2 * float(tail)), float(2 * up / ranks.sum() - 1)


def _mean_superiority(*sides: Array, axis: int) -> Any:
    """P(A > B) + P(A = B)/2 averaged over tasks, from a, b of the first task, a, b of the second …"""
    return np.mean([_superiority(a, b, axis) for a, b in zip(sides[::2], sides[1::2], strict=True)], axis=0)


def _superiority(a: Array, b: Array, axis: int) -> Any:
    """The Mann–Whitney U of n values a and m values b along an axis, as a share of its largest, nm."""
    from scipy.stats import rankdata

    n, m = a.shape[axis], b.shape[axis]
    ranks = rankdata(np.concatenate([a, b], axis=axis), axis=axis)
    return (ranks.take(range(n), axis=axis).sum(axis) - n * (n + 1) / 2) / (n * m)


def _placements(a: Array, b: Array) -> tuple[Array, Array]:
    """For each of a the share of b below it, for each of b the share of a above it; equals count half."""
    above = (a[:, None] > b) + (a[:, None] == b) / 2
    return above.mean(axis=1), above.mean(axis=0)
