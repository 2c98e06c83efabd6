"""The rule of each kind of part, checked against independent computations."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from attnbench.analysis.claims import rules
from attnbench.analysis.claims.verdict import Verdict

SUPPORTED, CONTRADICTED, UNDECIDED = Verdict.SUPPORTED, Verdict.CONTRADICTED, Verdict.UNDECIDED
SPREAD = np.linspace(-0.05, 0.05, 12)


def flipped(values):
    """Both tails of the sign-flip test, by every pattern of signs."""
    signs = np.array(list(itertools.product([1, -1], repeat=len(values))))
    sums, observed = signs @ np.abs(values), np.sum(values)
    return np.mean(sums >= observed - 1e-9), np.mean(sums <= observed + 1e-9)


@pytest.mark.parametrize(
    ("values", "limit", "verdict"),
    [
        (0.3 + SPREAD, 0.2, SUPPORTED),
        (0.1 + SPREAD, 0.2, CONTRADICTED),
        (0.2 + SPREAD, 0.2, UNDECIDED),
        (0.21 + SPREAD, 0.2, UNDECIDED),
        (np.full(12, 0.3), 0.2, SUPPORTED),
        (np.full(12, 0.2), 0.2, UNDECIDED),
        (np.zeros(12), 0.2, CONTRADICTED),
    ],
)
def test_a_mean_is_above_a_limit(values, limit, verdict):
    found = rules.above(values, limit, 0.05)
    assert found.verdict is verdict
    assert found.value == pytest.approx(np.mean(values))
    assert found.p == pytest.approx(min(1, 2 * min(flipped(values - limit))))
    opposite = {SUPPORTED: CONTRADICTED, CONTRADICTED: SUPPORTED, UNDECIDED: UNDECIDED}
    assert rules.below(values, limit, 0.05).verdict is opposite[verdict]


def test_a_difference_of_just_the_limit_is_no_more_than_it():
    """.85 − .8 is above .05 by rounding, on every seed."""
    a, b = np.full(12, 0.85), np.full(12, 0.8)
    found = rules.better(a - b, a, b, 0.05, 0.05)
    assert (found.verdict, found.p, found.smallest) == (UNDECIDED, 1.0, None)
    assert rules.equivalent(a - b, 0.05, 0.05).verdict is UNDECIDED


def test_the_interval_of_a_mean_is_nearly_students():
    values = np.random.default_rng(0).normal(0.5, 0.1, 30)
    found = rules.above(values, 0.4, 0.05)
    assert (found.low, found.high) == pytest.approx(
        stats.t.interval(0.95, 29, values.mean(), stats.sem(values)), abs=0.004
    )


def test_the_smallest_telling_distance_has_the_power_of_students_test():
    values = np.random.default_rng(0).normal(0.5, 0.1, 12)
    distance = rules.above(values, 0.4, 0.05).smallest
    effect = distance / values.std(ddof=1) * math.sqrt(12)
    assert stats.nct.sf(stats.t.isf(0.025, 11), 11, effect) == pytest.approx(0.8, abs=0.01)
    assert rules.above(values, 0.4, 0.05 / 15).smallest > distance
    assert rules.above(values[:5], 0.4, 0.05).smallest is None


def test_the_number_of_seeds_from_which_a_verdict_is_possible():
    for n in range(2, 10):
        found = rules.above(np.full(n, 0.3), 0.2, 0.05)
        assert (found.p <= 0.05) == (n >= found.fewest)
        same = rules.equivalent(np.zeros(n), 0.1, 0.05)
        assert (same.p <= 0.05) == (n >= same.fewest)


def test_better_needs_most_pairs_of_seeds():
    """A few large differences are a difference of the means; they do not make the first better in most cases."""
    a, b = np.full(24, 0.5), np.full(24, 0.5)
    a[:8] = 1.0
    found = rules.better(a - b, a, b, 0.0, 0.05)
    assert rules.above(a - b, 0.0, 0.05).verdict is SUPPORTED
    assert found.verdict is UNDECIDED
    assert found.probability.value == pytest.approx(np.mean((a[:, None] > b) + (a[:, None] == b) / 2))
    a[:20] = 1.0
    assert rules.better(a - b, a, b, 0.0, 0.05).verdict is SUPPORTED


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        (SPREAD / 5, SUPPORTED),
        (np.zeros(12), SUPPORTED),
        (0.05 + SPREAD, UNDECIDED),
        (0.2 + SPREAD, CONTRADICTED),
        (-0.2 + SPREAD, CONTRADICTED),
        (3 * SPREAD, UNDECIDED),
    ],
)
def test_equivalence(values, verdict):
    found = rules.equivalent(values, 0.05, 0.05)
    assert found.verdict is verdict
    assert found.confidence == 0.9
    within = max(flipped(values + 0.05)[0], flipped(values - 0.05)[1])
    outside = 2 * min(flipped(values - 0.05)[0], flipped(values + 0.05)[1])
    assert found.p == pytest.approx(min(within, outside, 1))
    if np.ptp(values):
        expected = stats.t.interval(0.90, 11, values.mean(), stats.sem(values))
        assert (found.low, found.high) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    ("count", "share", "verdict"),
    [(12, 0.5, SUPPORTED), (9, 0.5, UNDECIDED), (1, 0.5, CONTRADICTED), (12, 0.8, UNDECIDED)],
)
def test_a_share_of_seeds(count, share, verdict):
    found = rules.share(count, 12, share, 0.05)
    exact = stats.binomtest(count, 12).proportion_ci(0.95, "exact")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))
    assert found.verdict is verdict
    one_sided = [stats.binomtest(count, 12, share, alternative).pvalue for alternative in ("greater", "less")]
    assert found.p == pytest.approx(min(1, 2 * min(one_sided)))
    assert (found.p <= 0.05) == (verdict is not UNDECIDED)


def test_the_smallest_telling_share_is_the_first_that_is_told():
    distance = rules.share(6, 12, 0.5, 0.05).smallest
    least = round((0.5 + distance) * 12)
    assert rules.share(least, 12, 0.5, 0.05).verdict is SUPPORTED
    assert rules.share(least - 1, 12, 0.5, 0.05).verdict is UNDECIDED
    assert rules.share(6, 12, 0.8, 0.05).smallest is None
    assert rules.share(1, 1, 0.8, 0.05).fewest == 17  # .8^17 is the first below .025


def test_a_ratio_of_variances():
    random = np.random.default_rng(0)
    wide, narrow = random.normal(0, 0.3, 24), random.normal(0, 0.1, 24)
    found = rules.varies_more(wide, narrow, 0.05)
    assert found.value == pytest.approx(math.log(wide.var() / narrow.var()))
    assert found.verdict is SUPPORTED
    assert found.p < 0.001
    opposite = rules.varies_more(narrow, wide, 0.05)
    assert (opposite.verdict, opposite.p) == (CONTRADICTED, pytest.approx(found.p, abs=1e-6))
    assert opposite.low == pytest.approx(-found.high, abs=0.2)
    assert rules.varies_more(wide, wide[::-1], 0.05).verdict is UNDECIDED
    order = random.permutation(24)
    assert rules.varies_more(wide[order], narrow[order], 0.05) == found


def test_p_of_variances_goes_with_the_interval():
    """p is .05 where the 95 % interval just touches 0."""
    random = np.random.default_rng(1)
    for spread in np.linspace(0.1, 0.3, 40):
        found = rules.varies_more(random.normal(0, spread, 12), random.normal(0, 0.1, 12), 0.05)
        assert (found.p <= 0.05) == (found.verdict is not UNDECIDED) or found.p == pytest.approx(0.05, abs=0.002)


def test_seeds_that_do_not_vary_at_all():
    learned, bimodal = np.full(12, 0.1 + 0.2), np.array([0.0, 1.0] * 6)
    assert rules.varies_more(bimodal, learned, 0.05).verdict is SUPPORTED
    assert rules.varies_more(bimodal, learned, 0.05).value == math.inf
    assert rules.varies_more(learned, bimodal, 0.05).verdict is CONTRADICTED
    neither = rules.varies_more(learned, learned, 0.05)
    assert (neither.value, neither.verdict, neither.p) == (0.0, UNDECIDED, 1.0)
    assert rules.varies_more(bimodal[:5], learned[:5], 0.05).p > 0.05  # five pairs decide nothing
    assert rules.varies_more(bimodal[:2], learned[:2], 0.05).low is None
