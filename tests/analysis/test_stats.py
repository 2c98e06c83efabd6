import itertools
from dataclasses import astuple

import numpy as np
import pytest
from scipy import integrate, stats

from attnbench.analysis.stats import (
    RESAMPLES,
    estimate,
    expanded_level,
    percentile_interval,
    proportion_interval,
    stratified,
)

STATISTICS = ["mean", "iqm", "median"]
NORMAL, UNIFORM, SKEWED = stats.norm(), stats.uniform(), stats.beta(8, 2)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_a_single_value_has_no_interval(statistic):
    assert astuple(estimate([0.25], statistic)) == (0.25, None, None, 1)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_equal_values_have_an_interval_of_no_width(statistic):
    assert astuple(estimate([0.5] * 6, statistic)) == pytest.approx((0.5, 0.5, 0.5, 6))


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("values", [[0.1, 0.9], [0.2, 0.4, 0.9], [0.2, 0.4, 0.9, 0.3]])
def test_two_to_four_values_span_their_range(values, statistic):
    found = estimate(values, statistic)
    assert (found.low, found.high) == pytest.approx((min(values), max(values)))


def test_values_that_are_not_all_finite_have_no_interval():
    assert astuple(estimate([1.0, np.inf, 2.0])) == (np.inf, None, None, 3)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_nothing_cannot_be_estimated(statistic):
    with pytest.raises(ValueError, match="at least one value"):
        estimate([], statistic)
    with pytest.raises(ValueError, match="at least one value"):
        stratified([], statistic)
    with pytest.raises(ValueError, match="per group"):
        stratified([[0.5], []], statistic)


def test_the_statistics_of_seeds():
    values = [0.0, 0.1, 0.2, 0.3, 0.5, 0.9, 1.0]  # a quarter of 7 is one value
    assert [estimate(values, statistic).value for statistic in STATISTICS] == pytest.approx([3 / 7, 0.4, 0.3])


@pytest.mark.parametrize("statistic", STATISTICS)
def test_the_interval_is_that_of_all_resamples(statistic):
    values = [0.1, 0.3, 0.35, 0.5, 0.9]
    function = {"mean": np.mean, "iqm": lambda v, axis: stats.trim_mean(v, 0.25, axis=axis), "median": np.median}
    all_of_them = function[statistic](np.array(list(itertools.product(values, repeat=5))), axis=-1)
    tail = stats.norm.cdf(-np.sqrt(5 / 4) * stats.t.ppf(0.975, 4))
    found = estimate(values, statistic)
    # one in a thousand of the resamples lies beyond an end: ten of them, give or take six, and no more than the values
    beyond = [np.mean(all_of_them < found.low - 1e-9), np.mean(all_of_them > found.high + 1e-9)]
    assert max(beyond) <= tail + 6 / RESAMPLES
    within = [np.mean(all_of_them <= found.low + 1e-9), np.mean(all_of_them >= found.high - 1e-9)]
    assert min(within) >= tail - 6 / RESAMPLES


def test_the_level_is_hesterbergs():
    # sqrt(n / (n − 1)) t(.975; n − 1) as a normal quantile, from tables: n = 5: 2.776, n = 30: 2.045
    for n, quantile in ((5, np.sqrt(5 / 4) * 2.776445), (30, np.sqrt(30 / 29) * 2.045230)):
        assert expanded_level([np.arange(n)]) == pytest.approx(1 - 2 * stats.norm.cdf(-quantile), abs=1e-6)


def test_the_level_over_tasks_has_the_freedom_of_all_that_vary():
    values, still = np.array([0.1, 0.4, 0.2, 0.9, 0.6]), np.ones(5)

    def level(scale, freedom):
        return 1 - 2 * stats.norm.cdf(-np.sqrt(scale) * stats.t.ppf(0.975, freedom))

    assert expanded_level([values] * 4) == pytest.approx(level(5 / 4, 16))
    assert expanded_level([values, still, still]) == pytest.approx(level(5 / 4, 4))
    # v = s²/n = 1/2 and 4/4: k = 1.5 / (1/2·1/2 + 1·3/4), f = 1.5² / (1/4·1 + 1/3)
    uneven = [np.array([0.0, np.sqrt(2)]), np.sqrt([0.0, 0.0, 0.0, 16.0])]
    assert expanded_level(uneven) == pytest.approx(level(1.5, 2.25 / (1 / 4 + 1 / 3)))


@pytest.mark.parametrize("statistic", STATISTICS)
def test_the_order_of_the_seeds_does_not_matter(statistic):
    random = np.random.default_rng(1)
    groups = random.normal(size=(3, 9))
    shuffled = [random.permutation(group) for group in groups]
    assert stratified(groups, statistic) == stratified(shuffled, statistic)
    assert estimate(groups[0], statistic) == estimate(shuffled[0], statistic)


def test_what_is_given_stays_as_it_was():
    values = np.array([0.9, 0.1, 0.5])
    estimate(values)
    assert values.tolist() == [0.9, 0.1, 0.5]


@pytest.mark.parametrize("statistic", ["mean", "iqm"])
def test_one_task_is_estimated_as_its_seeds(statistic):
    values = [0.1, 0.3, 0.35, 0.5, 0.9, 0.95]
    assert stratified([values], statistic) == estimate(values, statistic)


def test_seeds_are_resampled_within_their_task():
    # Were they resampled over tasks, the mean could be anything from 0 to 1.
    groups = [[0.0, 0.001, 0.002], [1.0, 0.999, 0.998]]
    found = stratified(groups)
    assert found.value == pytest.approx(0.5)
    assert 0.498 < found.low < 0.5 < found.high < 0.502


def test_a_task_with_one_seed_leaves_no_interval():
    assert astuple(stratified([[0.1, 0.2, 0.3], [0.6]])) == pytest.approx((0.4, None, None, 4))


@pytest.mark.parametrize("statistic", STATISTICS)
def test_tasks_weigh_the_same_however_many_seeds_they_have(statistic):
    few, many = [0.1, 0.3, 0.8, 0.2], [0.6, 0.9, 0.7, 1.0]
    equal, uneven = stratified([few, many], statistic), stratified([few, many * 3], statistic)
    assert uneven.value == pytest.approx(equal.value)
    assert uneven.n == 16


def test_the_interquartile_mean_leaves_out_a_quarter_of_the_weight():
    # Each of the first 6 weighs 1/12, each of the other 2 a quarter. 2 of 8 values are a quarter: .1 .2 .3 and the .9
    # are out.
    found = stratified([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0.7, 0.9]], "iqm")
    assert found.value == pytest.approx((0.4 + 0.5 + 0.6) / 12 * 2 + 0.7 / 4 * 2)


def test_the_interquartile_mean_of_equal_numbers_is_scipys():
    random = np.random.default_rng(0)
    for tasks, seeds in itertools.product((1, 2, 3, 7), (1, 2, 3, 5, 10)):
        groups = random.integers(0, 6, (tasks, seeds)) / 5
        assert stratified(groups, "iqm").value == pytest.approx(stats.trim_mean(groups, 0.25, axis=None))


@pytest.mark.parametrize(("count", "n"), [(0, 5), (3, 5), (5, 5), (17, 20)])
def test_the_interval_of_a_share_is_scipys_exact_one(count, n):
    theirs = stats.binomtest(count, n).proportion_ci(method="exact")
    assert proportion_interval(count, n) == pytest.approx((theirs.low, theirs.high))


@pytest.mark.parametrize(
    ("distribution", "statistic", "n"),
    [(NORMAL, "mean", 10), (UNIFORM, "mean", 10), (SKEWED, "mean", 10), (SKEWED, "iqm", 20), (SKEWED, "median", 30)],
    ids=lambda value: value.dist.name if hasattr(value, "dist") else str(value),
)
def test_the_interval_holds_the_truth_93_to_97_percent_of_the_time(distribution, statistic, n):
    truth = {
        "mean": distribution.mean(),
        "iqm": 2 * integrate.quad(distribution.ppf, 0.25, 0.75)[0],
        "median": distribution.median(),
    }
    samples = distribution.rvs((300, n), random_state=np.random.default_rng(3))
    held = [found.low <= truth[statistic] <= found.high for found in (estimate(s, statistic) for s in samples)]
    # 300 simulations are off by 1.3 points (one standard error); the docstring's table has thousands
    assert np.mean(held) == pytest.approx(0.95, abs=0.02 + 0.013)


def test_with_five_seeds_it_holds_the_truth_about_as_often_as_the_docstring_says():
    samples = NORMAL.rvs((300, 5), random_state=np.random.default_rng(0))
    held = [found.low <= 0 <= found.high for found in map(estimate, samples)]
    ends = (percentile_interval([sample], lambda values, axis: values.mean(axis)) for sample in samples)
    plain = [low <= 0 <= high for low, high in ends]
    assert np.mean(held) == pytest.approx(0.92, abs=0.03)
    assert np.mean(plain) == pytest.approx(0.84, abs=0.04)


def test_over_tasks_of_five_seeds_it_holds_the_truth():
    random = np.random.default_rng(0)
    held = [found.low <= 0 <= found.high for found in (stratified(random.normal(size=(4, 5))) for _ in range(300))]
    assert np.mean(held) == pytest.approx(0.95, abs=0.02 + 0.013)
