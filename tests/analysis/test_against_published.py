"""The statistics against those of rliable, arch and statsmodels, on the same numbers.

The references were computed with rliable 1.2.0 (which draws with arch 7.2.0; 50,000 resamples, and 20,000 for the
probability of improvement) and statsmodels 0.15.0, on numpy 2.4.6 and pandas 2.3.3. Their intervals are the plain
percentile bootstrap, so it is that which is compared here; the level that ours are expanded to is in test_stats.py.
"""

import numpy as np
import pytest

from attnbench.analysis.improvement import _mean_superiority, probability_of_improvement
from attnbench.analysis.paired import holm
from attnbench.analysis.stats import _OVER_TASKS, percentile_interval, sorted_groups, stratified

# Three tasks of ten seeds; some values of a are those of b, and some are there twice.
A = [
    [0.824, 0.432, 0.432, 0.541, 0.783, 0.734, 0.806, 0.868, 0.621, 0.538],
    [0.954, 0.642, 0.845, 0.821, 0.811, 0.353, 0.872, 0.892, 0.745, 0.601],
    [0.606, 0.656, 0.793, 0.528, 0.655, 0.394, 0.766, 0.909, 0.674, 0.914],
]
B = [
    [0.386, 0.85, 0.354, 0.69, 0.529, 0.887, 0.793, 0.667, 0.698, 0.947],
    [0.51, 0.865, 0.811, 0.499, 0.75, 0.705, 0.697, 0.885, 0.486, 0.865],
    [0.83, 0.911, 0.637, 0.724, 0.462, 0.693, 0.759, 0.61, 0.412, 0.847],
]
NEAR = 0.004  # what two bootstraps of so many resamples may differ by


@pytest.mark.parametrize(
    ("statistic", "value", "low", "high"),
    [
        ("mean", 0.70033333, 0.642, 0.75620083),
        ("iqm", 0.721125, 0.644875, 0.7861875),
        ("median", 0.6895, 0.6225, 0.7694025),
    ],
)
def test_statistics_over_tasks_are_rliables(statistic, value, low, high):
    assert stratified(A, statistic).value == pytest.approx(value, abs=1e-8)
    ends = percentile_interval(sorted_groups(A), _OVER_TASKS[statistic])
    assert ends == pytest.approx((low, high), abs=NEAR)


def test_the_probability_of_improvement_is_rliables():
    assert probability_of_improvement(A, B).value == pytest.approx(0.5216666666666666)
    sides = [side for a, b in zip(A, B, strict=True) for side in (np.array(a), np.array(b))]
    ends = percentile_interval(sides, _mean_superiority)
    assert ends == pytest.approx((0.37, 0.66833333), abs=2 * NEAR)


def test_holm_is_that_of_statsmodels():
    assert holm([0.01, 0.04, 0.03, 0.005, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.025, 0.5])
