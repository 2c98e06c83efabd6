import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from attnbench.analysis.paired import (
    _placements,
    corrected,
    fewest_pairs,
    holm,
    mean_ranks,
    paired,
    paired_over_tasks,
    probability_of_improvement,
    seeds_needed,
    smallest_p,
    verdict,
)
from attnbench.analysis.stats import estimate, stratified

CANNOT_TELL, NO_DIFFERENCE = "inconclusive", "no difference found"


def exact_p(differences):
    """By its definition: the share of all signs whose sum of ranks is as far from the middle."""
    differences = differences[differences != 0]
    ranks = stats.rankdata(np.abs(differences))
    middle, observed = ranks.sum() / 2, ranks[differences > 0].sum()
    signs = np.arange(2 ** len(ranks))[:, None] >> np.arange(len(ranks)) & 1
    return np.mean(np.abs(signs @ ranks - middle) >= abs(observed - middle) - 1e-9)


def test_the_difference_is_that_of_the_pairs():
    a, b = [0.9, 0.8, 0.4, 0.7, 0.6], [0.5, 0.6, 0.3, 0.1, 0.3]
    found, differences = paired(a, b), estimate(np.subtract(a, b))
    assert (found.difference, found.low, found.high) == (differences.value, differences.low, differences.high)
    assert (found.p, found.smallest_p, found.n, found.ranks) == (0.0625, 0.0625, 5, 1.0)


def test_the_pairing_counts():
    seeds = np.random.default_rng(0).normal(size=12) * 10  # what a seed does is far more than what the score does
    better = paired(seeds + np.linspace(0.1, 0.5, 12), seeds)
    assert verdict(better) == "better"
    assert better.low > 0


def test_swapped_sides_mirror():
    a, b = np.random.default_rng(0).normal(size=(2, 9))
    there, back = paired(a, b), paired(b, a)
    assert (there.p, there.ranks) == pytest.approx((back.p, -back.ranks))
    assert there.difference == pytest.approx(-back.difference)
    # the resamples are others: their number makes the ends alike
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low), abs=0.05)


@pytest.mark.parametrize("n", [1, 2, 5, 8, 20, 60])
def test_without_ties_p_is_scipys_exact(n):
    differences = np.random.default_rng(n).normal(0.3, size=n)
    found = paired(differences, np.zeros(n))
    assert found.p == pytest.approx(stats.wilcoxon(differences, method="exact").pvalue)


@pytest.mark.parametrize("n", range(2, 17))
def test_with_ties_and_zeros_p_is_that_of_all_signs(n):
    differences = np.random.default_rng(n).integers(-2, 4, size=n) / 10
    assert paired(differences, np.zeros(n)).p == pytest.approx(exact_p(differences))


@pytest.mark.parametrize("zeros", [0, 2])
def test_with_ties_p_is_what_scipys_permutations_find(zeros):
    differences = np.array([0.1, 0.1, 0.2, -0.1, 0.3, 0.3, -0.2])
    theirs = stats.wilcoxon(differences, method=stats.PermutationMethod()).pvalue
    assert paired([*differences, *[0] * zeros], np.zeros(7 + zeros)).p == pytest.approx(theirs)


def test_differences_that_only_rounding_separates_are_ties():
    # .3 − .2 < .2 − .1 < .8 − .7 in floating point, and −.1 is the least of all
    a, b = np.array([0.3, 0.2, 0.8, 0.1, 0.9]), np.array([0.2, 0.1, 0.7, 0.2, 0.6])
    for scale in (1, 1e6, 1e-6):
        assert paired(a * scale, b * scale).p == pytest.approx(exact_p(np.array([1.0, 1.0, 1.0, -1.0, 3.0])))


def test_pairs_that_do_not_differ_are_left_out_of_the_test():
    a, b = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 1.0, 1.0]), np.array([0.8, 0.6, 0.4, 0.2, 0.0, 1.0, 1.0])
    found = paired(a, b)
    assert (found.n, found.p, found.smallest_p) == (7, 0.0625, 0.0625)


@pytest.mark.parametrize("n", [1, 2, 29])
def test_where_nothing_differs_p_is_one(n):
    found = paired([0.3] * n, [0.3] * n)
    assert (found.difference, found.p, found.smallest_p, found.ranks) == (0, 1, 1, 0)
    assert verdict(found) == CANNOT_TELL


def test_zeros_do_not_divide():
    assert paired([0.0, 0.0], [0.0, 0.0]).p == 1


def test_a_single_pair_has_no_interval():
    found = paired([0.9], [0.1])
    assert (found.low, found.high, found.p, found.smallest_p) == (None, None, 1, 1)


def test_pairs_need_partners():
    with pytest.raises(ValueError, match="same seeds"):
        paired([0.1, 0.2], [0.1])
    with pytest.raises(ValueError, match="at least one"):
        paired([], [])
    with pytest.raises(ValueError, match="zip"):
        paired_over_tasks([[0.1]], [[0.1], [0.2]])


def test_over_tasks_each_weighs_the_same_and_all_pairs_are_tested():
    a, b = [[0.5, 0.7], [0.9, 0.8, 0.7, 0.6]], [[0.1, 0.2], [0.8, 0.6, 0.4, 0.3]]
    found, differences = paired_over_tasks(a, b), stratified([[0.4, 0.5], [0.1, 0.2, 0.3, 0.3]])
    assert (found.difference, found.low, found.high) == pytest.approx(
        (differences.value, differences.low, differences.high)
    )
    assert (found.n, found.p, found.smallest_p) == (6, 2**-5, 2**-5)


@pytest.mark.parametrize("n", range(1, 9))
def test_the_smallest_p_is_reached_and_never_passed(n):
    signs = np.array(list(itertools.product((-1, 1), repeat=n)))
    reached = [paired(sign * np.arange(1, n + 1), np.zeros(n)).p for sign in signs[:: max(1, len(signs) // 32)]]
    assert min(reached) == smallest_p(n) == pytest.approx(min(1, 2 * 0.5**n))


def test_the_fewest_pairs_reach_alpha_and_one_less_does_not():
    assert fewest_pairs(0.05) == 6
    for alpha in (0.5, 0.25, 0.1, 0.05, 0.01, 0.001):
        assert smallest_p(fewest_pairs(alpha)) <= alpha < smallest_p(fewest_pairs(alpha) - 1)


@pytest.mark.parametrize("n", range(1, 13))
def test_no_difference_is_reported_only_where_one_could_be_found(n):
    random = np.random.default_rng(n)
    for alpha, _ in itertools.product((0.01, 0.05), range(10)):
        found = paired(random.normal(0.5, size=n), random.normal(size=n))
        said = verdict(found, alpha)
        assert (said == CANNOT_TELL) == (2.0 ** (1 - n) > alpha)
        assert (said in ("better", "worse")) == (found.p <= alpha)


def test_better_and_worse():
    a, b = np.linspace(0.5, 0.9, 8), np.linspace(0.1, 0.4, 8)
    assert verdict(paired(a, b)) == verdict(paired(b, a), better=-1) == "better"
    assert verdict(paired(b, a)) == verdict(paired(a, b), better=-1) == "worse"
    assert verdict(paired(a, a + np.array([0.1, -0.2, 0.3, -0.4, 0.15, -0.25, 0.35, -0.45]))) == NO_DIFFERENCE


def test_a_mean_that_goes_against_the_ranks_decides_nothing():
    differences = np.array([*np.linspace(0.01, 0.1, 12), -5.0])
    found = paired(differences, np.zeros(13))
    assert found.p <= 0.05
    assert found.difference < 0 < found.ranks
    assert verdict(found) == NO_DIFFERENCE


def test_holm():
    # by hand: .005·6, .01·5, .03·4, then .04·3 twice no less than before, .5·1
    assert holm([0.01, 0.04, 0.03, 0.005, 0.5, 0.04]) == pytest.approx([0.05, 0.12, 0.12, 0.03, 0.5, 0.12])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


def test_holm_rejects_what_its_procedure_rejects():
    random = np.random.default_rng(0)
    for _ in range(200):
        p_values = list(random.uniform(size=5) ** 3)
        rejected = set()
        for step, i in enumerate(sorted(range(5), key=lambda i: p_values[i])):
            if p_values[i] > 0.05 / (5 - step):
                break
            rejected.add(i)
        assert {i for i, p in enumerate(holm(p_values)) if p <= 0.05} == rejected


def test_many_comparisons_of_few_seeds_cannot_tell():
    six = paired(np.arange(1, 7), np.zeros(6))
    undecided = paired([1, -2, 3, -4, 5, -6], np.zeros(6))
    assert verdict(six) == "better"
    assert verdict(undecided) == NO_DIFFERENCE
    several = corrected([six, *[undecided] * 6])
    assert [verdict(one) for one in several] == [CANNOT_TELL] * 7
    assert [one.smallest_p for one in several] == [7 / 32] * 7
    assert [one.p for one in several] == [7 / 32, *[1] * 6]


def test_a_correction_keeps_the_order_and_all_else():
    many = [paired(np.arange(1, n), np.zeros(n - 1)) for n in (12, 9, 11)]
    several = corrected(many)
    assert [one.p for one in several] == holm([one.p for one in many])
    assert [replace(new, p=0, smallest_p=0) for new in several] == [replace(old, p=0, smallest_p=0) for old in many]


def test_the_probability_of_improvement_counts_the_pairs():
    # 1 > 0, 1 < 2, 3 > 0, 3 > 2; 5 = 5 and 5 < 6
    found = probability_of_improvement([[1, 3], [5, 5]], [[0, 2], [5, 6]])
    assert found.value == pytest.approx((3 / 4 + 1 / 4) / 2)
    assert found.n == 8


def test_the_probability_of_improvement_is_even_for_equals_and_mirrors():
    a, b = np.random.default_rng(0).normal(size=(2, 3, 7))
    assert probability_of_improvement(a, a).value == pytest.approx(0.5)
    assert probability_of_improvement(a, b).value + probability_of_improvement(b, a).value == pytest.approx(1)


def test_the_probability_of_improvement_of_numbers_that_differ():
    a, b = [[1, 2, 3], [4, 5]], [[0, 2], [9, 8, 7, 6]]
    assert probability_of_improvement(a, b).value == pytest.approx(((2 + 0.5 + 2) / 6 + 0) / 2)
    assert probability_of_improvement([[1, 2], [3]], [[1, 2], [3, 4]]).low is None
    with pytest.raises(ValueError, match="zip"):
        probability_of_improvement(a, b[:1])


def test_placements_count_equals_half_on_either_side():
    """Their spread sets the interval's level; the mean of either side's is P(A > B) + P(A = B)/2 itself."""
    a, b = np.array([0.1, 0.5, 0.5, 0.9]), np.array([0.5, 0.5, 0.9])
    over, under = _placements(a, b)
    assert over.tolist() == pytest.approx([0, 1 / 3, 1 / 3, 5 / 6])
    assert over.mean() == pytest.approx(under.mean())
    assert over.mean() == pytest.approx(probability_of_improvement([a], [b]).value)


def test_seeds_of_either_side_are_resampled():
    found = probability_of_improvement([[0.5] * 9], [[0.4, 0.6] * 5])  # only b varies
    assert found.low < 0.3 < 0.7 < found.high
    apart = probability_of_improvement([[0.5, 0.6, 0.7]], [[0.1, 0.2]])
    assert (apart.value, apart.low, apart.high) == (1, 1, 1)


def test_the_interval_of_the_probability_holds_the_truth():
    random, truth = np.random.default_rng(0), stats.norm.cdf(0.95 / np.sqrt(2))
    found = [
        probability_of_improvement(random.normal(0.95, size=(1, 15)), random.normal(size=(1, 15))) for _ in range(200)
    ]
    assert np.mean([one.low <= truth <= one.high for one in found]) == pytest.approx(0.95, abs=0.02 + 0.015)


def test_mean_ranks():
    table = [[0.9, 0.5, 0.7], [0.8, 0.8, 0.1]]  # ranks 1 3 2 and 1.5 1.5 3
    assert mean_ranks(table) == [1.25, 2.25, 2.5]
    assert mean_ranks(table, better=-1) == [2.75, 1.75, 1.5]
    with pytest.raises(ValueError, match="missing"):
        mean_ranks([[0.9, np.nan]])


@pytest.mark.parametrize(
    ("power", "seeds"), [(0.95, [46, 29, 21, 15, 12, 8]), (0.80, [26, 17, 12, 9, 7, 5])], ids=["0.95", "0.80"]
)
def test_seeds_needed_are_noethers(power, seeds):
    found = [seeds_needed(p, 0.05, power) for p in (0.7, 0.75, 0.8, 0.85, 0.9, 1.0)]
    assert found == seeds
    assert seeds_needed(0.25, 0.05, power) == seeds_needed(0.75, 0.05, power)


def test_no_number_of_seeds_separates_equal_configurations():
    assert seeds_needed(0.5) is None
