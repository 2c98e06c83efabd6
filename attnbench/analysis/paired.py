"""Paired comparison of two configurations over shared seeds: test, interval, verdict, and correction for several."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

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
DIGITS = 12  # decimals of a relative difference that are more than rounding


class Verdict(StrEnum):
    """The outcome of a statistical comparison; the only words for it in tables, CSV, JSON and the report."""

    BEST = "best"  # the reference itself, or what cannot be distinguished from it by its printed value
    BETTER = "better"
    WORSE = "worse"
    NO_DIFFERENCE = "no difference found"
    INCONCLUSIVE = "inconclusive"  # too few seeds: no values could have led to another verdict


@dataclass(frozen=True)
class Paired:
    """The comparison of a with b over n pairs.

    Attributes:
        difference: the mean of a − b; over several tasks, the mean of the tasks' means.
        low, high: the ends of its 95 % interval; None where the pairs do not determine one.
        p: of the exact two-sided Wilcoxon signed-rank test.
        smallest_p: the smallest p that the test can reach with this number of differing pairs.
        n: the number of pairs.
        ranks: the rank-biserial correlation, from −1 (b is above a in every pair that differs) to 1 (a above b).
    """

    difference: float
    low: float | None
    high: float | None
    p: float
    smallest_p: float
    n: int
    ranks: float


def paired(a: Values, b: Values) -> Paired:
    """Compares a with b on the same seeds, in the same order.

    The interval is that of `stats.estimate` for the differences. The test is exact with ties too: its distribution is
    over all 2^m signs of the m differences, ranked with ties averaged. Pairs that do not differ are left out, as in
    Wilcoxon's paper, since they do not show which is better; when no pair differs, p is 1.

    Raises:
        ValueError: when a and b have different lengths, or none.

    Source: Wilcoxon 1945, Individual Comparisons by Ranking Methods; ranks: Kerby 2014, The Simple Difference Formula
    """
    return paired_over_tasks([a], [b])


def paired_over_tasks(a: Sequence[Values], b: Sequence[Values]) -> Paired:
    """Compares a with b over several tasks; for each task, the values on the same seeds.

    Every task has the same weight in the difference; its interval is that of `stats.stratified`. The test is over the
    pairs of all tasks, so a task with large differences has the higher ranks. The result holds for these tasks only.

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
    pooled = np.round(pooled / largest, DIGITS)  # differences that are equal up to rounding are ties
    p, ranks = _signed_ranks(pooled)
    differing = int(np.count_nonzero(pooled))
    return Paired(mean.value, mean.low, mean.high, p, smallest_p(differing), mean.n, ranks)


def smallest_p(pairs: int) -> float:
    """The smallest two-sided p of a signed-rank test with this number of differing pairs: all of one sign."""
    return min(1.0, 2.0 ** (1 - pairs))


def fewest_pairs(alpha: float = ALPHA) -> int:
    """The number of pairs from which a signed-rank test can reach alpha: 6 for 0.05."""
    return math.ceil(1 - math.log2(alpha))


def verdict(comparison: Paired, alpha: float = ALPHA, better: int = 1) -> Verdict:
    """The verdict about a, from a comparison of a with b.

    NO_DIFFERENCE is given only where the test could have found one. Where the smallest p that it can reach is above
    alpha, the verdict is INCONCLUSIVE: for example with 5 pairs, whose p is .0625 at best. BETTER and WORSE need a p of
    at most alpha and a mean difference of the same sign as the rank correlation.

    Args:
        comparison: of a with b, corrected for the number of comparisons where there are several (`corrected`).
        alpha: the accepted share of false verdicts where there is no difference.
        better: 1 where higher values are better, −1 where lower ones are.
    """
    if comparison.smallest_p > alpha:
        return Verdict.INCONCLUSIVE
    if comparison.p <= alpha and comparison.difference * comparison.ranks > 0:
        return Verdict.BETTER if comparison.difference * better > 0 else Verdict.WORSE
    return Verdict.NO_DIFFERENCE


def corrected(comparisons: Sequence[Paired]) -> list[Paired]:
    """The comparisons with p corrected by `holm`, and with the smallest corrected p that each could reach.

    The smallest corrected p is the correction of a comparison's smallest p with the other p as they are. With 6 pairs
    (.03125) and 7 comparisons it may be above alpha, and then no verdict is given.
    """
    given = [comparison.p for comparison in comparisons]
    adjusted = holm(given)
    reachable = [
        holm([*given[:i], comparison.smallest_p, *given[i + 1 :]])[i] for i, comparison in enumerate(comparisons)
    ]
    return [replace(c, p=p, smallest_p=least) for c, p, least in zip(comparisons, adjusted, reachable, strict=True)]


def probability_of_improvement(a: Sequence[Values], b: Sequence[Values]) -> Estimate:
    """P(A > B) + P(A = B)/2 for a random seed of each, averaged over tasks, with its 95 % interval.

    The seeds of a and of b are resampled separately within each task, as in rliable; a and b may have different numbers
    of seeds. The level is expanded as in `stats.estimate`, from the placements of each seed among those of the other
    side. In simulations the interval covers the true value in 93 % of cases with 5 seeds each, 96 % with 10, 95 % with
    20. Where every a is above every b, so are all resamples, and the interval has no width. This is not certainty; use
    the p of the test. n counts the seeds of a and of b.

    Args:
        a, b: for each task, the values of the seeds; where lower is better, swapped.

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
    """Adjusted p-values in the given order; rejecting those at most alpha keeps the familywise error at alpha.

    Source: Holm 1979, A Simple Sequentially Rejective Multiple Test Procedure
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, reached = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        reached = max(reached, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = reached
    return adjusted


def mean_ranks(table: Sequence[Values] | Array, better: int = 1) -> list[float]:
    """The average rank of each competitor over blocks; 1 is the best, and ties get the mean of their ranks.

    Args:
        table: (blocks, competitors); a block is one task with one seed, which all competitors have.
        better: 1 where higher values are better, −1 where lower ones are.

    Raises:
        ValueError: when a value is NaN, since such a block has no ranks.

    Source: Demšar 2006, Statistical Comparisons of Classifiers over Multiple Data Sets, §3.2.2
    """
    from scipy.stats import rankdata

    values = np.asarray(table, dtype=float)
    if np.isnan(values).any():
        raise ValueError("a block with a missing value has no ranks")
    return [float(rank) for rank in rankdata(-better * values, axis=1).mean(axis=0)]


def seeds_needed(probability: float, alpha: float = ALPHA, power: float = 0.8) -> int | None:
    """The number of seeds of each side with which a rank-sum test detects this P(A > B); None for one half.

    This is an approximation for a one-sided test at alpha; below `fewest_pairs` no paired two-sided test can reach
    alpha. A probability that was estimated from few seeds is itself uncertain, and so is the result.

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
    """The exact two-sided p of the signed-rank test, and the rank-biserial correlation (−1..1).

    scipy's exact distribution does not support ties, and enumerates the signs for 13 pairs at most. Here the doubled
    ranks are whole numbers, so the distribution of their sum is built by convolution, one pair at a time.
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
    """The Mann–Whitney U of n values a and m values b along an axis, divided by its maximum nm."""
    from scipy.stats import rankdata

    n, m = a.shape[axis], b.shape[axis]
    ranks = rankdata(np.concatenate([a, b], axis=axis), axis=axis)
    return (ranks.take(range(n), axis=axis).sum(axis) - n * (n + 1) / 2) / (n * m)


def _placements(a: Array, b: Array) -> tuple[Array, Array]:
    """For each value of a the share of b below it, for each of b the share of a above it; equal values count half."""
    above = (a[:, None] > b) + (a[:, None] == b) / 2
    return above.mean(axis=1), above.mean(axis=0)
