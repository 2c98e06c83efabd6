"""The statistics of a claim's parts: each kind by its interval, and by an exact test whose p is corrected.

Every part has two p-values: of the test that it holds, and of the test that it does not. Both are two-sided by
doubling, except that of equivalence, which is that of two one-sided tests; so each goes with the interval beside it.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from attnbench.analysis.claims.verdict import Verdict
from attnbench.analysis.improvement import probability_of_improvement
from attnbench.analysis.paired import (
    ALPHA,
    POWER,
    ROUNDING,
    fewest_pairs,
    sign_flip_tails,
    smallest_p,
)
from attnbench.analysis.stats import (
    CONFIDENCE,
    RESAMPLES,
    Array,
    Estimate,
    Values,
    estimate,
    expanded_level,
    proportion_interval,
    unexpanded_tail,
)

EQUIVALENCE = 0.90  # the interval of two one-sided tests at 5 %
MOSTLY = 0.75  # the P(better) from which a value is better


@dataclass(frozen=True)
class Result:
    """What the seeds say of a part.

    Attributes:
        n: the number of pairs; of seeds for a bound.
        value: the mean difference, or for a bound the mean or the share, or the logarithm of the ratio of variances.
        low, high: the ends of its interval; None where the seeds do not determine one.
        confidence: of this interval.
        verdict: by the intervals alone.
        p: the smaller one of the two p-values, before correction.
        fewest: the number of pairs or seeds from which a verdict is possible at all; for a share, that it is reached.
        smallest: the distance from the limit at which a verdict is reached with a probability of .8; None where the
            seeds do not determine it, or are too few.
        probability: P(better), where the rule asks for it.
    """

    n: int
    value: float
    low: float | None
    high: float | None
    confidence: float
    verdict: Verdict
    p: float
    fewest: int
    smallest: float | None
    probability: Estimate | None = None


def above(values: Values, limit: float, alpha: float) -> Result:
    """Whether a mean is above a limit, over seeds or over differences of pairs.

    The sign-flip test is exact where the values are symmetric about their mean, which differences of exchangeable
    configurations are. Beside it the 95 % interval has to lie on the same side.

    Args:
        values: of the seeds.
        limit: for the mean.
        alpha: the level of the first of several tests, from which `fewest` and `smallest` follow.
    """
    found = estimate(values)
    verdict, p = _side(found, limit, limit), p_of_mean(values, limit)
    smallest = _smallest(_standard_error(values), found.n, alpha / 2, alpha)
    return Result(found.n, found.value, found.low, found.high, CONFIDENCE, verdict, p, fewest_pairs(alpha), smallest)


def p_of_mean(values: Values, limit: float) -> float:
    """The two-sided p of the sign-flip test that a mean is not its limit."""
    return min(1.0, 2 * min(sign_flip_tails(_minus(values, limit))))


def below(values: Values, limit: float, alpha: float) -> Result:
    """Whether a mean is below a limit."""
    opposite = {Verdict.SUPPORTED: Verdict.CONTRADICTED, Verdict.CONTRADICTED: Verdict.SUPPORTED}
    found = above(values, limit, alpha)
    return replace(found, verdict=opposite.get(found.verdict, found.verdict))


def better(differences: Values, a: Values, b: Values, by: float, alpha: float) -> Result:
    """Whether a is better than b by more than `by`, also in most pairs of seeds.

    Args:
        differences: of the pairs, positive where a is better.
        a, b: the values of the pairs, higher ones are better.
        by: the smallest difference that is claimed.
        alpha: as in `above`.
    """
    found, probability = above(differences, by, alpha), probability_of_improvement([a], [b])
    mostly = probability.value >= MOSTLY and probability.low is not None and probability.low > 0.5
    verdict = found.verdict if mostly or found.verdict is not Verdict.SUPPORTED else Verdict.UNDECIDED
    return replace(found, verdict=verdict, probability=probability)


def equivalent(differences: Values, within: float, alpha: float) -> Result:
    """Whether a mean difference is smaller than `within`, in either direction.

    Source: Schuirmann 1987 (two one-sided tests)
    """
    values = np.asarray(differences, dtype=float)
    found = estimate(values, confidence=EQUIVALENCE)
    p = p_of_equivalence(values, within)
    limit = within - ROUNDING
    inside = found.low is not None and found.high is not None and -limit < found.low and found.high < limit
    verdict = Verdict.SUPPORTED if inside else Verdict.UNDECIDED
    if _side(found, within, within) is Verdict.SUPPORTED or _side(found, -within, -within) is Verdict.CONTRADICTED:
        verdict = Verdict.CONTRADICTED
    fewest = math.ceil(-math.log2(alpha))
    smallest = _smallest(_standard_error(values), found.n, alpha, 2 * alpha)
    return Result(found.n, found.value, found.low, found.high, EQUIVALENCE, verdict, p, fewest, smallest)


def p_of_equivalence(differences: Values, within: float) -> float:
    """The smaller p of two: that the mean lies within the limits (two one-sided tests), and that it lies outside."""
    high_above, high_below = sign_flip_tails(_minus(differences, within))
    low_above, low_below = sign_flip_tails(_minus(differences, -within))
    return min(max(low_above, high_below), 2 * min(high_above, low_below), 1.0)


def share(fulfilled: int, n: int, in_share: float, alpha: float) -> Result:
    """Whether at least this share of all seeds fulfils a condition, of which n were tried.

    Source: Clopper & Pearson 1934, The Use of Confidence or Fiducial Limits
    """
    low, high = proportion_interval(fulfilled, n)
    found = Estimate(fulfilled / n, low, high, n)
    reached = [k for k in range(n + 1) if k / n > in_share and p_of_share(k, n, in_share) <= alpha]
    smallest = reached[0] / n - in_share if reached else None
    fewest = math.ceil(math.log(alpha / 2) / math.log(in_share))
    verdict, p = _side(found, in_share, in_share), p_of_share(fulfilled, n, in_share)
    return Result(n, found.value, low, high, CONFIDENCE, verdict, p, fewest, smallest)


def p_of_share(fulfilled: int, n: int, in_share: float) -> float:
    """The two-sided p of the exact binomial test that a share is not `in_share`."""
    from scipy.stats import binom

    at_least, at_most = binom.sf(fulfilled - 1, n, in_share), binom.cdf(fulfilled, n, in_share)
    return min(1.0, 2 * float(min(at_least, at_most)))


def varies_more(a: Values, b: Values, alpha: float) -> Result:
    """Whether a varies more than b between the seeds that both have.

    The interval is that of the logarithm of the ratio of the variances, from resampled pairs. p is the level of the
    interval that just excludes 0, and at least that of a sign-flip test whose pairs all agree. A sign-flip test of the
    squared deviations is of no use: one seed that did not learn moves the mean, and with it the deviations of all.

    Args:
        a, b: the values of the same seeds, in the same order.
        alpha: as in `above`.
    """
    # Sorted, so that the resamples do not depend on the order of the seeds.
    sides = np.array(sorted(zip(a, b, strict=True)), dtype=float).reshape(len(a), 2).T
    first, second = (_minus(side, float(side.mean())) for side in sides)
    n = len(first)
    value = float(_log_ratio(*(np.mean(side**2, keepdims=True) for side in (first, second)))[0])
    found, p, smallest = Estimate(value, None, None, n), 1.0, None
    if n > 2:
        times = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)  # each seed is drawn
        resampled = _log_ratio(*(_variances(side, times) for side in (first, second)))
        groups = [first**2, second**2]
        tail = (1 - expanded_level(groups)) / 2
        # A quantile of this kind is a resample, since between −∞ and ∞ nothing can be interpolated.
        low, high = map(float, np.quantile(resampled, [tail, 1 - tail], method="inverted_cdf"))
        found = Estimate(value, low, high, n)
        beyond = min(float(np.mean(resampled <= 0)), float(np.mean(resampled >= 0)))
        p = min(1.0, max(2 * unexpanded_tail(groups, beyond), smallest_p(n)))
        if np.isfinite(resampled).all():
            smallest = _smallest(float(resampled.std()), n, alpha / 2, alpha)
    verdict = _side(found, 0.0, 0.0)
    return Result(n, value, found.low, found.high, CONFIDENCE, verdict, p, fewest_pairs(alpha), smallest)


def _variances(centred: Array, times: npt.NDArray[np.int64]) -> Array:
    """The variance of each resample, in which each value occurs as often as a row of `times` says."""
    n = len(centred)
    found = times @ centred**2 / n - (times @ centred / n) ** 2
    return np.where(found <= ROUNDING**1.5 * np.max(centred**2), 0.0, found)  # what rounding leaves of equal values


def _log_ratio(a: Array, b: Array) -> Array:
    """log(a/b); 0 where both are 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((a == 0) & (b == 0), 0.0, np.log(a) - np.log(b))


def _side(found: Estimate, upper: float, lower: float) -> Verdict:
    """SUPPORTED for an interval above `upper`, CONTRADICTED for one below `lower`."""
    if found.low is None or found.high is None:
        return Verdict.UNDECIDED
    if found.low > upper + ROUNDING:
        return Verdict.SUPPORTED
    return Verdict.CONTRADICTED if found.high < lower - ROUNDING else Verdict.UNDECIDED


def _minus(values: Values, limit: float) -> Array:
    """The values minus a limit; 0 where only rounding differs: .85 − .8 is not quite .05."""
    differences = np.asarray(values, dtype=float) - limit
    return np.where(np.abs(differences) <= ROUNDING, 0.0, differences)


def _standard_error(values: Values) -> float:
    return float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan


def _smallest(error: float, n: int, tail: float, two_sided: float) -> float | None:
    """The distance that Student's test finds with the probability POWER, from the standard error."""
    from scipy.stats import t

    if not (ROUNDING < error < math.inf) or n < fewest_pairs(two_sided):
        return None
    return float((t.isf(tail, n - 1) + t.isf(1 - POWER, n - 1)) * error)


def first_level(parts: int) -> float:
    """The level of the first test of several by Holm's method, the strictest one."""
    return ALPHA / max(1, parts)
