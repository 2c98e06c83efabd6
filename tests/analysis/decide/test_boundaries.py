import math

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from attnbench.analysis.decide.boundaries import exit_probabilities, fewest_seeds, looks, nominal_levels, spent
from attnbench.analysis.paired import smallest_p


@pytest.mark.parametrize(
    ("pairs", "at_least", "at_most", "expected"),
    [
        (15, 8, 30, (12, 16, 22, 30)),
        (1, 8, 30, (10, 14, 20, 30)),
        (1, 20, 30, (20, 22, 26, 30)),
        (15, 8, 60, (14, 22, 36, 60)),
        (15, 8, 16, (12, 14, 16)),
        (1, 21, 25, (22, 25)),  # no look below at_least, and none a single seed before the last one
        (15, 30, 30, (30,)),
        (15, 8, 10, (10,)),  # a pair can be settled at 10, and not before
        (15, 2, 8, (8,)),  # and with 8 seeds not at all
        (1, 1, 1, (1,)),
    ],
)
def test_looks_are_geometric_from_the_first_number_that_can_settle_a_pair(pairs, at_least, at_most, expected):
    assert looks(pairs, at_least, at_most) == expected


@pytest.mark.parametrize("pairs", [1, 3, 10, 15, 45])
@pytest.mark.parametrize("at_most", [12, 20, 30, 45, 60])
def test_the_first_look_can_settle_a_pair_and_two_seeds_fewer_could_not(pairs, at_most):
    first = looks(pairs, 1, at_most)[0]
    least = fewest_seeds(pairs)

    def due(n):
        return 0.05 / pairs * (n / at_most) ** 2

    assert smallest_p(first) <= due(first) or (first == at_most < least)
    if first < at_most:
        assert smallest_p(first - 2) > due(first - 2)


@pytest.mark.parametrize(("pairs", "at_least", "at_most"), [(0, 8, 30), (1, 31, 30), (1, 0, 30)])
def test_impossible_looks(pairs, at_least, at_most):
    with pytest.raises(ValueError, match="there are no looks"):
        looks(pairs, at_least, at_most)


def test_fewest_seeds():
    assert [fewest_seeds(pairs) for pairs in (1, 3, 6, 15)] == [6, 7, 8, 10]
    assert smallest_p(fewest_seeds(15)) <= 0.05 / 15 < smallest_p(fewest_seeds(15) - 1)


def test_all_of_alpha_is_spent_with_the_square_of_the_share_of_seeds():
    found = spent((12, 16, 22, 30), 0.05)
    assert sum(found) == pytest.approx(0.05)
    assert found[0] == pytest.approx(0.05 * (12 / 30) ** 2)
    assert sum(found[:2]) == pytest.approx(0.05 * (16 / 30) ** 2)


# Jennison & Turnbull 2000, Group Sequential Methods, tables 2.1 and 2.3: two-sided, alpha = .05, K equal groups.
@pytest.mark.parametrize(("groups", "constant"), [(2, 2.178), (3, 2.289), (4, 2.361), (5, 2.413)])
def test_the_published_constants_of_pocock(groups, constant):
    found = exit_probabilities(range(1, groups + 1), [constant] * groups, 2)
    assert sum(found) == pytest.approx(0.05, abs=1e-4)
    assert found[0] == pytest.approx(2 * norm.sf(constant))


@pytest.mark.parametrize(("groups", "constant"), [(2, 1.977), (3, 2.004), (4, 2.024), (5, 2.040)])
def test_the_published_constants_of_obrien_and_fleming(groups, constant):
    critical = [constant * math.sqrt(groups / k) for k in range(1, groups + 1)]
    assert sum(exit_probabilities(range(1, groups + 1), critical, 2)) == pytest.approx(0.05, abs=1e-4)


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 15])
def test_the_levels_spend_what_is_due_in_the_joint_normal_distribution(alpha, sides):
    """The same probabilities from scipy's multivariate normal distribution, which is integrated in another way."""
    seeds = (12, 16, 22)
    critical = norm.isf(np.array(nominal_levels(seeds, alpha, sides)) / sides)
    correlation = np.sqrt(np.minimum.outer(seeds, seeds) / np.maximum.outer(seeds, seeds))
    inside = [
        multivariate_normal.cdf(
            critical[:k],
            cov=correlation[:k, :k],
            lower_limit=-critical[:k] if sides == 2 else np.full(k, -np.inf),
            abseps=1e-7,
            releps=1e-7,
        )
        for k in (1, 2, 3)
    ]
    assert 1 - np.array(inside) == pytest.approx(np.cumsum(spent(seeds, alpha)), rel=2e-3)


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("seeds", [(12, 16, 22, 30), (10, 14, 20, 30), (14, 22, 36, 60), (12, 14, 16)])
def test_the_levels_increase_with_alpha_and_lie_above_what_is_spent(seeds, sides):
    found = np.array([nominal_levels(seeds, 0.05 / m, sides) for m in (45, 20, 15, 10, 5, 3, 2, 1)])
    assert (np.diff(found, axis=0) > 0).all()
    assert (found[-1] >= np.array(spent(seeds, 0.05)) - 1e-12).all()
    assert found[-1, -1] < 0.05
