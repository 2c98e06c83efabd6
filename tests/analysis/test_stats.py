import itertools

import numpy as np
import pytest

from attnbench.analysis.stats import mean_interval


def test_a_single_value_has_no_interval():
    estimate = mean_interval([0.25])
    assert (estimate.mean, estimate.low, estimate.high, estimate.n) == (0.25, None, None, 1)


def test_equal_values_have_an_interval_of_no_width():
    estimate = mean_interval([0.5, 0.5, 0.5])
    assert (estimate.mean, estimate.low, estimate.high) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("values", [[0.1, 0.9], [0.2, 0.4, 0.9]])
def test_two_or_three_values_span_their_range(values):
    estimate = mean_interval(values)
    assert (estimate.low, estimate.high) == pytest.approx((min(values), max(values)))


def test_the_interval_is_that_of_all_resamples():
    values = [0.1, 0.3, 0.35, 0.5, 0.9]
    means = [np.mean(sample) for sample in itertools.product(values, repeat=5)]
    estimate = mean_interval(values)
    assert estimate.mean == pytest.approx(0.43)
    assert (estimate.low, estimate.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.015)
    assert estimate.n == 5


def test_the_same_values_give_the_same_interval():
    values = list(np.random.default_rng(1).normal(size=9))
    assert mean_interval(values) == mean_interval(values)


def test_the_coverage_that_the_docstring_states():
    random = np.random.default_rng(0)
    held = [e.low <= 0 <= e.high for e in (mean_interval(list(random.normal(size=5))) for _ in range(300))]
    assert np.mean(held) == pytest.approx(0.85, abs=0.05)
