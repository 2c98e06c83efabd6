"""The gate's statistics: decides whether one row of a run is worse than its baseline by more than chance.

Measured on 14 configurations with 24 seeds each, two metrics, five seeds against five fresh seeds, level .01 over all
rows: false alarms in .3 % of the checks; .8 % where 3 % of the seeds fail to learn, 12 % where 10 % do, so the cells of
a gate must learn reliably. Simulated faults that lowered each seed by 0 to .2 from near 1 were caught in one row in
20 % of cases by the first rule of `judge` alone and in 64 % by all three. The second rule was chosen among four on the
same configurations. With three seeds such faults are caught in 6 % of cases: Student's t has four degrees of freedom.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean, median, stdev, variance
from typing import NamedTuple


@dataclass(frozen=True)
class Allowance:
    """The gate's defaults for a metric, in the metric's unit.

    Attributes:
        tolerance: a difference of the means up to this is never a regression.
        spread: lower bound on the seed standard deviation. A few seeds may have equal values by chance, and the next
            seeds still differ.
    """

    tolerance: float
    spread: float


# The gated metrics. The others do not depend on the code alone (seconds), have no better direction (entropy), or have
# no value for a seed that did not get there (steps_to_95).
ALLOWANCES = {
    "exact_match": Allowance(0.02, 0.01),
    "token_accuracy": Allowance(0.02, 0.01),
    "loss": Allowance(0.05, 0.02),
    "bleu": Allowance(2.0, 1.0),
    "aer": Allowance(0.02, 0.02),
    "alignment_mass": Allowance(0.02, 0.02),
    "exact_match_unseen": Allowance(0.02, 0.01),
}
FEW = 3  # with fewer seeds no standard deviation is estimated


class GateVerdict(StrEnum):
    """The result for a row or a configuration of the baseline, the worst first."""

    REGRESSION = "regression"
    FAILED = "failed"
    MISSING = "missing"
    NOT_COMPARABLE = "not comparable"
    UNCLEAR = "unclear"
    TOO_FEW = "too few seeds"
    IMPROVEMENT = "improvement"
    NEW = "new"
    UNCHANGED = "unchanged"


@dataclass(frozen=True)
class Judgement:
    """The verdict; the run's mean minus the baseline's; the ends of its interval, None with too few seeds."""

    verdict: GateVerdict
    difference: float
    low: float | None
    high: float | None


class _Estimate(NamedTuple):
    """An estimate of how much worse the run is, its standard error, and the degrees of freedom of that error."""

    worse: float
    error: float
    freedom: int


def judge(
    baseline: Mapping[int, float],
    run: Mapping[int, float],
    better: int,
    tolerance: float,
    level: float,
    spread: float,
) -> Judgement:
    """Judges one row from its values by seed.

    REGRESSION (IMPROVEMENT) when the run's mean is worse (better) by more than the tolerance and an interval of the
    difference excludes 0. UNCLEAR when it is worse by more than the tolerance, but no interval excludes 0.

    There are up to three t intervals, which share `level` equally (Bonferroni), because faults have different effects:

    1. The difference of the means, with the standard deviation of both sides: for a shift of all seeds.
    2. The run's median minus the baseline's mean, with the standard deviation of the baseline alone: a fault that makes
       training erratic widens the interval of (1). The median ignores a single outlier.
    3. The mean of the paired differences over shared seeds: for a small change of an otherwise equal run.

    Args:
        baseline, run: at least one value each, by seed.
        better: 1 where higher is better, −1 where lower is.
        tolerance: in the metric's unit.
        level: the probability of a false regression, and of a false improvement, in this row.
        spread: lower bound on the seed standard deviation.
    """
    # From here on, larger is worse.
    old, new = ({seed: -better * value for seed, value in side.items()} for side in (baseline, run))
    estimates = _estimates(old, new, spread)
    difference = fmean(run.values()) - fmean(baseline.values())
    if not estimates:
        return Judgement(GateVerdict.TOO_FEW, difference, None, None)
    share = level / len(estimates)
    margins = [_quantile(share, one.freedom) * one.error for one in estimates]
    intervals = [(one.worse - margin, one.worse + margin) for one, margin in zip(estimates, margins, strict=True)]
    worse = -better * difference
    low, high = max(intervals) if worse >= 0 else min(intervals, key=lambda interval: interval[1])
    verdict = GateVerdict.UNCHANGED
    if worse > tolerance:
        verdict = GateVerdict.REGRESSION if low > 0 else GateVerdict.UNCLEAR
    elif worse < -tolerance and high < 0:
        verdict = GateVerdict.IMPROVEMENT
    ends = sorted((-better * low, -better * high))
    return Judgement(verdict, difference, *ends)


def _estimates(baseline: Mapping[int, float], run: Mapping[int, float], spread: float) -> list[_Estimate]:
    """The estimates for which there are enough seeds; a larger value is worse here."""
    old, new = list(baseline.values()), list(run.values())
    n, m = len(old), len(new)
    estimates = []
    if (freedom := n + m - 2) > 0:
        pooled = ((n - 1) * _variance(old) + (m - 1) * _variance(new)) / freedom
        error = max(math.sqrt(pooled), spread) * math.sqrt(1 / n + 1 / m)
        estimates.append(_Estimate(fmean(new) - fmean(old), error, freedom))
    if min(n, m) >= FEW:
        # The variance of a median is π/2 times that of a mean for many normal values, and less for few.
        error = max(stdev(old), spread) * math.sqrt(1 / n + math.pi / 2 / m)
        estimates.append(_Estimate(median(new) - fmean(old), error, n - 1))
    pairs = [run[seed] - value for seed, value in baseline.items() if seed in run]
    if len(pairs) >= FEW:
        # Shared seeds have the same data and initial weights, which removes part of the variation: a quarter of the
        # lower bound is kept.
        error = max(stdev(pairs), spread / 4) / math.sqrt(len(pairs))
        estimates.append(_Estimate(fmean(pairs), error, len(pairs) - 1))
    return estimates


def _variance(values: Sequence[float]) -> float:
    return variance(values) if len(values) > 1 else 0.0


def _quantile(share: float, freedom: int) -> float:
    """The value that Student's t exceeds with this probability."""
    from scipy.special import stdtrit

    return -float(stdtrit(freedom, share))
