"""The gate's statistics: decides whether one row of a run is worse than its baseline by more than chance.

results/gate.md ("Simulated") has the measured rates of false alarms and of detection.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from statistics import fmean, median
from typing import NamedTuple

from attnbench.analysis.gate.allowances import ALLOWANCES
from attnbench.analysis.learned import LEARNED_AT
from attnbench.metrics import metric_of

FEW = 3  # with fewer seeds no standard deviation is estimated
ENOUGH = 5  # with fewer seeds `baseline` warns, and the floor assumes that the row varies like the most variable ones
# A fall beyond the floor must also be one that noise gives with at most this probability. The spread of a row is known
# from its own seeds and, counted like WEIGHT further seeds, from the other rows.
NOISE, WEIGHT = 0.0015, 4


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


class Statistic(StrEnum):
    """What decided a row, and what its interval is of."""

    MEAN = "mean"
    MEDIAN = "median"
    PAIRED = "paired difference"
    LEARNED = "learned"
    FLOOR = "floor"
    REPRODUCED = "reproduced seeds"


@dataclass(frozen=True)
class Judgement:
    """The judgement of one row.

    Attributes:
        verdict: of the row.
        difference: the run's mean minus the baseline's.
        low, high: the ends of the interval of the statistic; None with too few seeds, and for `learned` and `reproduced
            seeds`, which have no interval. The interval of `floor` is that of the mean.
        statistic: which decided; where none did, that whose interval is nearest to a regression. None with too few
            seeds.
    """

    verdict: GateVerdict
    difference: float
    low: float | None
    high: float | None
    statistic: Statistic | None = None

    @property
    def below_floor(self) -> bool:
        """Whether the row is unclear and worse by more than the floor."""
        return self.verdict is GateVerdict.UNCLEAR and self.statistic is Statistic.FLOOR


class _Estimate(NamedTuple):
    """An estimate of how much worse the run is; larger is worse.

    Attributes:
        statistic: its name.
        worse: the estimate.
        error: its standard error.
        freedom: the degrees of freedom of that error.
        baseline: the mean of the baseline that it is a difference to, larger being worse.
    """

    statistic: Statistic
    worse: float
    error: float
    freedom: int
    baseline: float


@dataclass(frozen=True)
class Rule:
    """How one row is judged.

    Attributes:
        better: 1 where higher is better, −1 where lower is.
        tolerance: in the metric's unit.
        level: the probability of a false regression, and of a false improvement, in this row.
        spread: lower bound on the seed standard deviation.
        floor: a fall beyond this fails though it is unclear; infinite for none.
        noise: the probability that chance gives a fall that fails beyond the floor.
        typical: the typical seed standard deviation of the metric in the baseline, for the floor: a few seeds of one
            row may be equal by chance.
        spared: the number of the run's worst seeds that may have failed to learn by chance.
        resolution: the distance of two values that the metric can take; 0 where it is small.
        high: the largest possible value of the metric; None without a limit. The smallest is 0.
        accuracy: whether the metric is an accuracy, by which a seed learned its task or not.
        reproduced: whether training gave the same models as that of the baseline, for the seeds that both sides have.
    """

    better: int
    tolerance: float
    level: float
    spread: float
    floor: float = math.inf
    noise: float = NOISE
    typical: float = 0.0
    spared: int = 1
    resolution: float = 0.0
    high: float | None = None
    accuracy: bool = False
    reproduced: bool = False


def judge(baseline: Mapping[int, float], run: Mapping[int, float], rule: Rule) -> Judgement:
    """Judges one row from its values by seed, at least one on each side.

    REGRESSION (IMPROVEMENT) when the run's mean is worse (better) by more than the tolerance and an interval of the
    difference excludes 0. UNCLEAR when it is worse by more than the tolerance, but no interval excludes 0.

    There are up to three t intervals, which share the level equally (Bonferroni), because faults have different
    effects:

    1. The difference of the means, with the standard deviation of both sides: for a shift of all seeds.
    2. The run's median minus the baseline's mean, with the standard deviation of the baseline alone: a fault that makes
       training erratic widens the interval of (1). The median ignores a single outlier. It is left out where half of
       the seeds may have failed to learn by chance.
    3. The mean of the paired differences over shared seeds: for a small change of an otherwise equal run.

    An accuracy is also a REGRESSION where Fisher's exact test, one-sided at the level, finds that fewer seeds learned.

    An unclear row is below the floor (`Judgement.below_floor`) when the run's mean is worse by more than the floor, and
    still is without its `spared` worst seeds, and this fall exceeds the noise. Without the first condition a single
    seed that fails to learn would fail the check; without the second the noise of a row with a wide spread.

    Where the run has the same models as the baseline, nothing varies by chance: the mean of the paired differences
    alone decides, which then come from the computation of the metric.
    """
    # From here on, larger is worse.
    old, new = ({seed: -rule.better * value for seed, value in side.items()} for side in (baseline, run))
    if rule.reproduced:
        return _of_equal_models(old, new, rule)
    estimates = _estimates(old, new, rule)
    difference = fmean(run.values()) - fmean(baseline.values())
    if not estimates:
        return Judgement(GateVerdict.TOO_FEW, difference, None, None)
    share = rule.level / len(estimates)
    intervals = [(one, *_interval(one, share, rule)) for one in estimates]
    worse = -rule.better * difference
    if worse >= 0:
        chosen = max(intervals, key=lambda interval: interval[1])
    else:
        chosen = min(intervals, key=lambda interval: interval[2])
    estimate, low, high = chosen
    verdict, statistic = GateVerdict.UNCHANGED, estimate.statistic
    if worse > rule.tolerance:
        if low > 0:
            verdict = GateVerdict.REGRESSION
        elif rule.accuracy and _fewer_learned(baseline, run, rule.level):
            return Judgement(GateVerdict.REGRESSION, difference, None, None, Statistic.LEARNED)
        else:
            verdict = GateVerdict.UNCLEAR
            if _is_below_floor(list(old.values()), list(new.values()), rule):
                statistic = Statistic.FLOOR
                _, low, high = intervals[0]
    elif worse < -rule.tolerance and high < 0:
        verdict = GateVerdict.IMPROVEMENT
    low, high = sorted((-rule.better * low, -rule.better * high))
    return Judgement(verdict, difference, low, high, statistic)


def judge_row(
    metric: str,
    baseline: Mapping[int, float],
    run: Mapping[int, float],
    level: float,
    tolerance: float | None = None,
    typical: float = 0.0,
    spared: int = 1,
    resolution: float = 0.0,
    reproduced: bool = False,
    noise: float = NOISE,
) -> tuple[Judgement, float]:
    """Judges a metric's row by its allowance.

    Args:
        metric: with or without a test length.
        baseline, run: at least one value each, by seed.
        level: of the row.
        tolerance: in the unit of the allowance; default: that of the allowance.
        typical: see `Rule`, in the unit of the allowance.
        spared: see `Rule`.
        resolution: see `Allowance.scaled`.
        reproduced, noise: see `Rule`.

    Returns:
        The judgement, and the tolerance in the metric's unit.
    """
    facts = metric_of(metric)
    allowance = ALLOWANCES[facts.name]
    mean = fmean(baseline.values())
    unit = mean if allowance.relative else 1.0
    scaled = allowance.scaled(mean, resolution)
    tolerated = scaled.tolerance if tolerance is None else tolerance * unit
    rule = Rule(
        better=facts.better,
        tolerance=tolerated,
        level=level,
        spread=scaled.spread,
        floor=max(scaled.floor, tolerated),
        typical=typical * unit,
        spared=spared,
        resolution=resolution,
        high=facts.high,
        accuracy=facts.accuracy,
        reproduced=reproduced,
        noise=noise,
    )
    return judge(baseline, run, rule), tolerated


def _of_equal_models(old: Mapping[int, float], new: Mapping[int, float], rule: Rule) -> Judgement:
    """The judgement where the same seeds have the same models; larger is worse here."""
    worse = fmean(new[seed] - old[seed] for seed in old.keys() & new.keys())
    verdict = GateVerdict.UNCHANGED
    if abs(worse) > rule.tolerance:
        verdict = GateVerdict.REGRESSION if worse > 0 else GateVerdict.IMPROVEMENT
    return Judgement(verdict, -rule.better * worse, None, None, Statistic.REPRODUCED)


def learned(values: Sequence[float]) -> int:
    """The number of seeds that learned their task, by their accuracies."""
    return sum(value >= LEARNED_AT for value in values)


def _fewer_learned(baseline: Mapping[int, float], run: Mapping[int, float], level: float) -> bool:
    """Whether fewer seeds of the run learned, by Fisher's exact test, one-sided."""
    n, m = len(baseline), len(run)
    before, now = learned(list(baseline.values())), learned(list(run.values()))
    total = before + now
    # The probability that chance gives the run at most `now` of the seeds that learned.
    ways = sum(math.comb(m, k) * math.comb(n, total - k) for k in range(max(0, total - n), now + 1))
    return ways / math.comb(n + m, total) <= level


def _is_below_floor(old: Sequence[float], new: Sequence[float], rule: Rule) -> bool:
    """Whether the run is worse by more than the floor, also without the worst seeds; larger is worse here."""
    kept = sorted(new)[: len(new) - min(rule.spared, len(new) - 1)]
    # The baseline's own failures would hide the run's: they are left out of the spread.
    usual = sorted(old)[: max(len(old) - rule.spared, min(len(old), 2))]
    # A few seeds hardly determine a spread, so that of the other rows counts like WEIGHT further seeds.
    freedom = len(usual) - 1
    variance = (WEIGHT * max(rule.typical, rule.spread) ** 2 + freedom * _variance(usual)) / (WEIGHT + freedom)
    noise = _quantile(rule.noise, WEIGHT + freedom) * math.sqrt(variance * (1 / len(old) + 1 / len(kept)))
    return fmean(kept) - fmean(old) > max(rule.floor, noise)


def _interval(estimate: _Estimate, share: float, rule: Rule) -> tuple[float, float]:
    """The ends of an interval, within the differences that the metric's range allows; larger is worse."""
    margin = _quantile(share, estimate.freedom) * estimate.error
    # The run's mean lies between 0 and the metric's largest value.
    best, worst = (0.0, math.inf if rule.high is None else rule.high)
    if rule.better > 0:
        best, worst = -worst, 0.0
    ends = (estimate.worse - margin, estimate.worse + margin)
    low, high = (min(max(end, best - estimate.baseline), worst - estimate.baseline) for end in ends)
    return low, high


def _estimates(baseline: Mapping[int, float], run: Mapping[int, float], rule: Rule) -> list[_Estimate]:
    """The estimates for which there are enough seeds, that of the mean first; a larger value is worse here."""
    old, new = list(baseline.values()), list(run.values())
    n, m = len(old), len(new)
    mean = fmean(old)
    estimates = []
    if (freedom := n + m - 2) > 0:
        pooled = ((n - 1) * _variance(old) + (m - 1) * _variance(new)) / freedom
        error = max(math.sqrt(pooled), rule.spread) * math.sqrt(1 / n + 1 / m)
        estimates.append(_Estimate(Statistic.MEAN, fmean(new) - mean, error, freedom, mean))
    if min(n, m) >= FEW and 2 * rule.spared < m:
        # The variance of a median is π/2 times that of a mean for many normal values, and less for few.
        error = max(stdev(old), rule.spread) * math.sqrt(1 / n + math.pi / 2 / m)
        estimates.append(_Estimate(Statistic.MEDIAN, median(new) - mean, error, n - 1, mean))
    pairs = {seed: run[seed] - value for seed, value in baseline.items() if seed in run}
    if len(pairs) >= FEW:
        # Shared seeds have the same data and initial weights, which removes part of the variation: a quarter of the
        # lower bound is kept. It does not make coarse values finer.
        least = max(rule.spread / 4, rule.resolution / 2)
        error = max(stdev(list(pairs.values())), least) / math.sqrt(len(pairs))
        before = fmean(baseline[seed] for seed in pairs)
        estimates.append(_Estimate(Statistic.PAIRED, fmean(pairs.values()), error, len(pairs) - 1, before))
    return estimates


def _variance(values: Sequence[float]) -> float:
    """The sample variance; 0 for a single value."""
    # statistics.variance takes ten times as long, because it computes with exact fractions.
    mean = fmean(values)
    return math.fsum((value - mean) ** 2 for value in values) / max(len(values) - 1, 1)


def stdev(values: Sequence[float]) -> float:
    """The sample standard deviation; 0 for a single value."""
    return math.sqrt(_variance(values))


@cache
def _quantile(share: float, freedom: int) -> float:
    """The value that Student's t exceeds with this probability."""
    from scipy.special import stdtrit

    return -float(stdtrit(freedom, share))
