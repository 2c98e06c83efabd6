"""The probability of improvement: that a random seed of one configuration is better than one of another."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from attnbench.analysis.stats import (
    CONFIDENCE,
    Array,
    Estimate,
    Values,
    can_resample,
    expanded_level,
    percentile_interval,
    sorted_groups,
)


def probability_of_improvement(a: Sequence[Values], b: Sequence[Values]) -> Estimate:
    """P(A > B) + P(A = B)/2 for a random seed of each, averaged over tasks, with its 95 % interval.

    The seeds of a and of b are resampled separately within each task, as in rliable; a and b may have different numbers
    of seeds. The level is expanded as in `stats.estimate`, from the placements of each seed among those of the other
    side. Where every a is above every b (or below, or equal), so are all resamples, which is no certainty: then the
    ends are those of `_exact_ends`. docs/statistics.md has the simulated coverage. n counts the seeds of a and of b.

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
    placements = [_placements(*task) for task in tasks]
    if all(_all_agree(own) for own in placements):
        return Estimate(value, *_exact_ends([float(above[0]) for above, _ in placements], min(map(len, groups))), n)
    level = expanded_level([side for own in placements for side in own])
    return Estimate(value, *percentile_interval(groups, _mean_superiority, level), n)


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


def _all_agree(placements: tuple[Array, Array]) -> bool:
    """Whether all values of a are above all of b, or all below, or all equal to them: no resample can differ."""
    above, below = placements
    return bool(np.ptp(above) == 0 and np.ptp(below) == 0 and above[0] in (0.0, 0.5, 1.0) and below[0] == above[0])


def _exact_ends(values: Sequence[float], n: int) -> tuple[float, float]:
    """The 95 % interval of P(better), averaged over tasks, where in each of them all pairs of seeds agree.

    Among two groups of at least n seeds there are n disjoint pairs, which are independent. Where a wins such a pair
    with probability θ, it wins all of them with θ^n. From n wins it follows, with 97.5 % confidence, that
    θ ≥ .025^(1/n). This holds for the mean over tasks as well, since the smallest θ is at most the mean. Where the
    tasks do not agree with each other, each has its share of the 2.5 % (Bonferroni).

    Args:
        values: of each task: 1 where a is above b, 0 where it is below, .5 where all seeds are equal.
        n: the number of seeds of the smallest group.
    """
    same = len(set(values)) == 1
    theta = ((1 - CONFIDENCE) / 2 / (1 if same else len(values))) ** (1 / n)
    # The share theta of the pairs is as observed; of the rest nothing is known.
    lows = [theta * value for value in values]
    return float(np.mean(lows)), float(np.mean(lows)) + 1 - theta
