import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from attnbench.analysis.improvement import _placements, probability_of_improvement
from attnbench.analysis.paired import (
    MAX_EXACT,
    Paired,
    _sampled_tails,
    compared_with,
    corrected,
    fewest_pairs,
    holm,
    holm_of_one,
    mean_ranks,
    paired,
    seeds_needed,
    sign_flip_tails,
    smallest_p,
)
from attnbench.analysis.stats import estimate
from attnbench.analysis.verdict import Verdict, verdict, within_margin


def all_signs(differences):
    """The shares of all sign patterns with a sum of at least, and at most, the observed one: the definition."""
    signs = np.array(list(itertools.product((-1, 1), repeat=len(differences))))
    sums, observed = signs @ np.abs(differences), np.sum(differences)
    return np.mean(sums >= observed - 1e-9), np.mean(sums <= observed + 1e-9)


def test_the_difference_is_that_of_the_pairs():
    differences = [0.4, 0.2, 0.1, 0.6, 0.3]
    found, known = paired(differences), estimate(differences)
    assert (found.difference, found.low, found.high) == (known.value, known.low, known.high)
    assert (found.p, found.smallest_p, found.p_equivalent, found.n) == (0.0625, 0.0625, 1, 5)


def test_swapped_sides_mirror():
    differences = np.random.default_rng(0).normal(size=9)
    there, back = paired(differences), paired(-differences)
    assert there.p == back.p
    assert there.difference == pytest.approx(-back.difference)
    # The resamples are others; their number makes the ends alike.
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low), abs=0.05)


@pytest.mark.parametrize("n", range(1, 15))
@pytest.mark.parametrize("kind", ["continuous", "ties and zeros"])
def test_p_is_that_of_all_signs(n, kind):
    random = np.random.default_rng(n)
    differences = random.normal(0.3, size=n) if kind == "continuous" else random.integers(-2, 4, size=n) / 10
    assert sign_flip_tails(differences) == pytest.approx(all_signs(differences))
    assert paired(differences).p == pytest.approx(min(1, 2 * min(all_signs(differences))))


@pytest.mark.parametrize("n", [6, 12])
def test_p_is_that_of_scipys_permutations(n):
    differences = np.random.default_rng(n).normal(0.4, size=n)
    theirs = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert paired(differences).p == pytest.approx(theirs.pvalue)


def test_many_pairs_are_sampled_near_the_exact_tails():
    differences = np.random.default_rng(0).normal(0.25, size=MAX_EXACT)
    exact = sign_flip_tails(differences)
    sampled = _sampled_tails(np.abs(differences), differences.sum(), 1e-9)
    assert sampled == pytest.approx(exact, abs=0.005)
    assert paired([0.1] * (MAX_EXACT + 1)).p == pytest.approx(2 / 100_000, rel=0.1)  # never 0


def test_differences_that_rounding_tells_apart_are_ties():
    # .3 − .2 < .2 − .1 < .8 − .7 in floating point.
    differences = np.array([0.3, 0.2, 0.8, 0.1]) - np.array([0.2, 0.1, 0.7, 0.2])
    for scale in (1, 1e6, 1e-6):
        assert sign_flip_tails(differences * scale) == pytest.approx(all_signs([1.0, 1.0, 1.0, -1.0]))


def test_pairs_that_do_not_differ_do_not_count_for_the_smallest_p():
    found = paired([0.1, 0.2, 0.3, 0.4, 0.5, 0, 0])
    assert (found.n, found.p, found.smallest_p) == (7, 0.0625, 0.0625)


@pytest.mark.parametrize("n", [1, 2, 29])
def test_where_nothing_differs_p_is_one(n):
    found = paired([0.0] * n)
    assert (found.difference, found.p, found.smallest_p) == (0, 1, 1)
    assert verdict(found) == Verdict.INCONCLUSIVE


def test_a_single_pair_has_no_interval():
    found = paired([0.8])
    assert (found.low, found.high, found.p, found.smallest_p) == (None, None, 1, 1)


def test_no_pairs_are_an_error():
    with pytest.raises(ValueError, match="at least one"):
        paired([])


@pytest.mark.parametrize("n", range(1, 9))
def test_the_smallest_p_is_reached_and_never_passed(n):
    signs = np.array(list(itertools.product((-1, 1), repeat=n)))
    reached = [paired(sign * np.arange(1, n + 1)).p for sign in signs[:: max(1, len(signs) // 32)]]
    assert min(reached) == smallest_p(n) == pytest.approx(min(1, 2 * 0.5**n))


def test_the_fewest_pairs_reach_alpha_and_one_less_does_not():
    assert fewest_pairs(0.05) == 6
    for alpha in (0.5, 0.25, 0.1, 0.05, 0.01, 0.001):
        assert smallest_p(fewest_pairs(alpha)) <= alpha < smallest_p(fewest_pairs(alpha) - 1)


@pytest.mark.parametrize("n", range(1, 13))
def test_a_verdict_is_inconclusive_exactly_where_none_was_possible(n):
    random = np.random.default_rng(n)
    for alpha, _ in itertools.product((0.01, 0.05), range(10)):
        found = paired(random.normal(0.5, size=n))
        assert (verdict(found, alpha) == Verdict.INCONCLUSIVE) == (2.0 ** (1 - n) > alpha)


def test_better_and_worse():
    differences = np.linspace(0.4, 0.5, 8)
    assert verdict(paired(differences)) == verdict(paired(-differences), better=-1) == Verdict.BETTER
    assert verdict(paired(-differences)) == verdict(paired(differences), better=-1) == Verdict.WORSE
    assert verdict(paired([0.1, -0.2, 0.3, -0.4, 0.15, -0.25, 0.35, -0.45])) == Verdict.NO_DIFFERENCE


def test_equal_means_are_not_worse_because_most_seeds_are_below():
    """The steady value is below in four of five seeds, by little; the other one fails in the fifth."""
    differences = np.array([-0.182, -0.182, -0.182, -0.182, 0.723] * 4)
    assert stats.wilcoxon(differences).pvalue > 0.05  # ranks would not say so either with this many failures
    assert verdict(paired(differences)) == Verdict.NO_DIFFERENCE
    # With one failure in twenty seeds the ranks find a difference, and the mean has none to speak of.
    once = np.array([-0.04] * 19 + [0.723])
    assert stats.wilcoxon(once).pvalue < 0.01
    assert verdict(paired(once)) == Verdict.NO_DIFFERENCE


def test_a_verdict_needs_an_interval_without_zero():
    assert verdict(Paired(0.1, 0.01, 0.2, 0.01, 0.01, 1, 10)) == Verdict.BETTER
    assert verdict(Paired(0.1, -0.01, 0.2, 0.01, 0.01, 1, 10)) == Verdict.NO_DIFFERENCE
    assert verdict(Paired(-0.1, -0.2, 0.0, 0.01, 0.01, 1, 10)) == Verdict.NO_DIFFERENCE


def test_a_difference_below_the_resolution_is_not_better():
    """Ten seeds that all translate one more of 500 sentences."""
    found = paired([0.002] * 10, margin=0.02)
    assert verdict(found) == Verdict.BETTER
    assert verdict(found, resolution=0.004) == Verdict.EQUIVALENT
    assert verdict(paired([0.004] * 10, margin=0.02), resolution=0.004) == Verdict.BETTER


def test_equal_seeds_are_equivalent_and_not_too_few():
    assert verdict(paired([0.0] * 200, margin=0.02)) == Verdict.EQUIVALENT
    assert verdict(paired([0.0] * 5, margin=0.02)) == Verdict.EQUIVALENT
    assert verdict(paired([0.0] * 4, margin=0.02)) == Verdict.INCONCLUSIVE  # 2⁻⁴ is above .05
    assert verdict(paired([0.0] * 200)) == Verdict.INCONCLUSIVE  # without a margin there is no such test


def test_equivalence_needs_both_sides():
    random = np.random.default_rng(0)
    near, above, below = (random.normal(shift, 0.01, 12) for shift in (0.0, 0.02, -0.02))
    assert paired(near, 0.02).p_equivalent < 0.05
    assert paired(above, 0.02).p_equivalent > 0.05
    assert paired(below, 0.02).p_equivalent > 0.05
    # By hand: all twelve are above −.1, one pattern of 2¹²; with the margin on the other side too.
    assert paired(near, 0.1).p_equivalent == 2.0**-12


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


def test_many_comparisons_of_few_seeds_are_inconclusive():
    six, undecided = paired(np.arange(1, 7)), paired([1, -2, 3, -4, 5, -6])
    assert verdict(six) == Verdict.BETTER
    assert verdict(undecided) == Verdict.NO_DIFFERENCE
    several = corrected([six, *[undecided] * 6])
    assert [verdict(one) for one in several] == [Verdict.INCONCLUSIVE] * 7
    assert [one.smallest_p for one in several] == [7 / 32] * 7
    assert [one.p for one in several] == [7 / 32, *[1] * 6]


def test_holm_of_one_is_holm_with_the_other_value_in_its_place():
    random = np.random.default_rng(0)
    for count in (1, 2, 5, 12):
        for _ in range(200):
            values = np.round(random.random(count) ** 3, 2).tolist()  # with ties
            others = np.round(random.random(count) * np.where(random.random(count) < 0.8, values, 1.0), 2).tolist()
            expected = [holm([*values[:i], other, *values[i + 1 :]])[i] for i, other in enumerate(others)]
            assert holm_of_one(values, others) == pytest.approx(expected, abs=1e-12)


def test_the_correction_of_many_comparisons_takes_no_time_with_the_square_of_their_number(monkeypatch):
    calls = []
    monkeypatch.setattr("attnbench.analysis.paired.holm", lambda values: calls.append(1) or [1.0] * len(values))
    corrected([paired(np.arange(1, 9))] * 50)
    assert len(calls) == 2


def test_a_correction_keeps_the_order_and_all_else():
    many = [paired(np.arange(1, n), margin=3) for n in (12, 9, 11)]
    several = corrected(many)
    assert [one.p for one in several] == holm([one.p for one in many])
    assert [one.p_equivalent for one in several] == holm([one.p_equivalent for one in many])
    same = {"p": 0, "smallest_p": 0, "p_equivalent": 0}
    assert [replace(new, **same) for new in several] == [replace(old, **same) for old in many]


def test_a_chosen_reference_is_corrected_for_all_pairs():
    """Ten seeds, four values: with a named reference three comparisons, with the best one all six pairs."""
    values = {"a": np.arange(10) + 5.0, "b": np.arange(10) + 4.0, "c": np.arange(10) + 3.0, "d": np.arange(10.0)}

    def differences(one, other):
        return list(values[one] - values[other])

    smallest = 2.0**-9
    named = compared_with("a", list(values), differences, None, chosen=False)
    chosen = compared_with("a", list(values), differences, None, chosen=True)
    assert {key: one.p for key, one in named.items()} == dict.fromkeys("bcd", 3 * smallest)
    assert {key: one.p for key, one in chosen.items()} == dict.fromkeys("bcd", 6 * smallest)
    assert {one.difference for one in chosen.values()} == {-1.0, -2.0, -5.0}


def test_values_that_share_no_seed_are_left_out_of_the_family():
    shared = {("b", "a"): [1.0] * 6}
    found = compared_with("a", ["a", "b", "c"], lambda x, y: shared.get((x, y), []), None, chosen=True)
    assert list(found) == ["b"]
    assert found["b"].p == 2.0**-5


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
    assert (apart.value, apart.low, apart.high) == (1, pytest.approx(0.025**0.5), 1)


def test_where_all_seeds_agree_the_bound_is_exact():
    """5 wins of 5 disjoint pairs have a probability of θ⁵: that is 2.5 % at θ = .478, and not evidence of certainty."""
    low = 0.025 ** (1 / 5)
    one, none = [1.0] * 5, [0.0] * 7
    ends = [
        (x.low, x.high) for x in (probability_of_improvement(*sides) for sides in (([one], [none]), ([none], [one])))
    ]
    assert ends == [(pytest.approx(low), 1), (0, pytest.approx(1 - low))]
    equal = probability_of_improvement([one], [one])
    assert (equal.low, equal.high) == pytest.approx((low / 2, 1 - low / 2))
    # Over tasks that all agree the bound is that of one task; where they do not, nothing is certain about their mean.
    both = probability_of_improvement([one, one], [none, none])
    assert (both.low, both.high) == (pytest.approx(low), 1)
    mixed = probability_of_improvement([one, none], [none, one])
    assert mixed.value == 0.5
    assert mixed.low < 0.3 < 0.7 < mixed.high
    assert probability_of_improvement([[1.0]], [[0.0]]).low is None


def test_a_significant_difference_within_the_margin_is_both():
    found = paired(np.linspace(0.01, 0.012, 10), margin=0.02)
    assert (verdict(found), within_margin(verdict(found), found)) == (Verdict.BETTER, True)
    large = paired(np.linspace(0.1, 0.12, 10), margin=0.02)
    assert (verdict(large), within_margin(verdict(large), large)) == (Verdict.BETTER, False)
    same = paired([0.0] * 10, margin=0.02)
    assert (verdict(same), within_margin(verdict(same), same)) == (Verdict.EQUIVALENT, False)


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


def test_seeds_needed_have_the_power_of_the_t_test():
    """Against statsmodels 0.15.0: TTestPower().solve_power(effect, alpha=.05, power=.8), rounded up."""
    exact = np.random.default_rng(0).normal(size=5_000)
    exact = (exact - exact.mean()) / exact.std(ddof=1)
    found = [seeds_needed(exact + effect) for effect in (0.5, 0.8, 1.0)]
    assert found == [34, 15, 10]


def test_seeds_needed_are_at_least_those_of_the_test():
    assert seeds_needed([0.1] * 5) == fewest_pairs(0.05) == 6
    assert seeds_needed([0.1, 0.1001, 0.0999], alpha=0.05 / 15) == fewest_pairs(0.05 / 15) == 10


@pytest.mark.parametrize("differences", [[0.0, 0.0, 0.0], [0.1, -0.1], [0.3]])
def test_without_a_difference_no_number_of_seeds_finds_one(differences):
    assert seeds_needed(differences) is None


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_difference_of_exactly_the_margin_is_not_equivalent(sign):
    """.82 − .80 is below .02 by a rounding error, in every seed."""
    found = paired([sign * (0.82 - 0.80)] * 12, margin=0.02)
    assert abs(0.82 - 0.80) < 0.02
    assert found.p_equivalent == 1
