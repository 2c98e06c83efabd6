import math
from dataclasses import replace

import numpy as np
import pytest

from attnbench.analysis.decide.decision import decide, excluded_failure_rate, in_order, smallest_difference
from attnbench.analysis.decide.sequential import Answer
from attnbench.analysis.paired import MAX_EXACT, paired, seeds_needed

random = np.random.default_rng(0)


def around(mean, seeds=30, spread=0.01):
    """Values with exactly this mean, over all seeds and over the first twelve."""
    values = random.normal(0, spread, seeds)
    values[:12] -= values[:12].mean()
    values[12:] -= values[12:].mean() if seeds > 12 else 0
    return list(values + mean)


def test_values_far_apart_are_settled_at_the_first_look_and_need_no_more_seeds():
    found = decide({"dot": around(0.9), "general": around(0.5), "none": around(0.1)}, 0.02, 1, 8, 30)
    assert found.looks == (12, 16, 22, 30)
    assert {pair: one.verdict for pair, one in found.pairs.items()} == {
        ("dot", "general"): Answer.BETTER,
        ("dot", "none"): Answer.BETTER,
        ("general", "none"): Answer.BETTER,
    }
    assert found.wanted == {"dot": 12, "general": 12, "none": 12}
    assert (found.look, found.finished) == (1, True)


def test_where_lower_is_better_the_smaller_value_is_better():
    found = decide({"a": around(0.9), "b": around(0.5)}, 0.02, -1, 8, 30)
    assert found.pairs["a", "b"].verdict is Answer.WORSE


def test_only_values_with_an_open_pair_get_more_seeds():
    values = {"a": around(0.9, 12), "b": around(0.893, 12, 0.02), "c": around(0.1, 12)}
    found = decide(values, 0.005, 1, 8, 30)
    assert found.pairs["a", "b"].verdict is Answer.OPEN
    assert found.pairs["a", "c"].verdict is found.pairs["b", "c"].verdict is Answer.BETTER
    assert found.wanted == {"a": 16, "b": 16, "c": 12}
    assert (found.look, found.finished) == (1, False)


def test_without_comparisons_the_decision_is_the_same():
    values = {"a": around(0.9), "b": around(0.899), "c": around(0.1)}
    found, bare = decide(values, 0.005, 1, 8, 30), decide(values, 0.005, 1, 8, 30, compare=False)
    assert all(one.comparison is None for one in bare.pairs.values())
    assert {pair: replace(one, comparison=None) for pair, one in found.pairs.items()} == bare.pairs
    assert found.wanted == bare.wanted


def test_before_the_first_look_all_pairs_are_open():
    found = decide({"a": around(0.9, 12), "b": []}, 0.02, 1, 8, 30)
    one = found.pairs["a", "b"]
    assert (one.verdict, one.seeds, one.comparison, one.level) == (Answer.OPEN, 0, None, 0.0)
    assert found.wanted == {"a": 10, "b": 10}
    assert (found.look, found.finished) == (0, False)


def test_the_comparison_is_that_of_the_seeds_of_the_look():
    a, b = np.array(around(0.9)), np.array(around(0.8))
    one = decide({"a": a, "b": b}, 0.02, 1, 8, 30).pairs["a", "b"]
    assert one.seeds == 10
    assert one.comparison == paired((a - b)[:10], 0.02)
    assert one.comparison.p <= one.level
    assert one.level == pytest.approx(0.05 * (10 / 30) ** 2)


def test_a_resumed_run_decides_the_same():
    """With the seeds of the first look alone, then a part of the next, and so on: nothing that is settled changes."""
    values = {
        name: list(random.normal(mean, 0.03, 30)) for name, mean in zip("abcd", (0.9, 0.89, 0.87, 0.8), strict=True)
    }
    whole = decide(values, 0.02, 1, 8, 30, compare=False)
    settled = 0
    for n in range(31):
        part = decide({name: held[: n + (name == "a")] for name, held in values.items()}, 0.02, 1, 8, 30, compare=False)
        now = {pair: one for pair, one in part.pairs.items() if one.verdict is not Answer.OPEN}
        assert now == {pair: whole.pairs[pair] for pair in now}
        assert len(now) >= settled
        settled = len(now)
    assert settled == 6


def test_following_wanted_leads_to_the_decision_on_all_seeds():
    values = {
        name: list(random.normal(mean, 0.03, 30)) for name, mean in zip("abcd", (0.9, 0.89, 0.87, 0.8), strict=True)
    }
    found = decide({name: [] for name in values}, 0.02, 1, 8, 30, compare=False)
    rounds = 0
    while not found.finished:
        have = {name: values[name][:wanted] for name, wanted in found.wanted.items()}
        found, rounds = decide(have, 0.02, 1, 8, 30, compare=False), rounds + 1
    assert rounds <= 4
    assert found == decide(values, 0.02, 1, 8, 30, compare=False)
    assert {name: len(held) for name, held in have.items()} == found.wanted


@pytest.mark.parametrize("missing", [None, math.nan])
def test_a_value_without_the_metric_cannot_be_compared_and_gets_no_more_seeds(missing):
    values = {"a": around(0.9, 14), "none": [missing] * 12, "b": around(0.8, 14)}
    found = decide(values, 0.02, 1, 8, 30)
    one = found.pairs["a", "none"]
    assert (one.verdict, one.comparison) == (Answer.NOT_COMPARABLE, None)
    assert found.pairs["none", "b"].verdict is Answer.NOT_COMPARABLE
    # The remaining pair has all of alpha.
    assert found.pairs["a", "b"].level == pytest.approx(0.05 * (12 / 30) ** 2)
    assert found.wanted["none"] == 12
    assert found.finished


def test_all_seeds_equal_is_equivalent_also_up_to_rounding():
    found = decide({"a": [1.0] * 12, "b": [1.0] * 12, "c": [0.1 + 0.2 + 0.7] * 12}, 0.02, 1, 8, 30)
    assert {one.verdict for one in found.pairs.values()} == {Answer.EQUIVALENT}
    rounded = decide({"a": [0.3] * 10, "b": [0.1 + 0.2] * 10}, 0.02, 1, 8, 30).pairs["a", "b"]
    assert (rounded.verdict, rounded.comparison.difference) == (Answer.EQUIVALENT, 0.0)


def test_what_is_open_at_the_last_look_is_undecided_with_the_smallest_difference():
    found = decide({"a": around(0.9), "b": around(0.9)}, 0.0001, 1, 8, 30)
    one = found.pairs["a", "b"]
    assert (one.verdict, one.seeds) == (Answer.UNDECIDED, 30)
    assert 0.003 < one.smallest < 0.012  # the paired deviation is .014
    assert found.finished
    assert found.wanted == {"a": 30, "b": 30}


def test_the_smallest_difference_is_the_one_whose_seeds_needed_are_these():
    values = random.normal(size=24)
    smallest = smallest_difference(values, 0.01)
    assert seeds_needed(values - values.mean() + smallest * 1.0001, 0.01) == 24
    assert seeds_needed(values - values.mean() + smallest * 0.9999, 0.01) == 25


def test_too_few_seeds_have_no_smallest_difference():
    assert smallest_difference(random.normal(size=8), 0.05 / 15) is None
    found = decide({name: around(mean, 8) for name, mean in zip("abcdef", range(6), strict=True)}, 0.02, 1, 8, 8)
    assert {(one.verdict, one.smallest) for one in found.pairs.values()} == {(Answer.UNDECIDED, None)}


def test_more_seeds_than_signs_can_be_enumerated():
    """From 31 seeds on p is sampled; what is decided is not."""
    values = {name: list(random.normal(mean, 1, 60)) for name, mean in zip("abc", (0.0, 0.9, 0.9), strict=True)}
    found = decide(values, 0.9, 1, 8, 60)
    assert found == decide(values, 0.9, 1, 8, 60)
    assert found.looks[-1] > MAX_EXACT
    assert found.pairs["a", "b"].verdict is Answer.WORSE
    for one in found.pairs.values():
        if one.verdict is Answer.WORSE:
            assert one.comparison.p <= one.level * 1.1


@pytest.mark.parametrize(
    ("values", "margin", "message"),
    [
        ({"a": [1.0]}, 0.02, "two values or more"),
        ({"a": [1.0], "b": [1.0]}, 0.0, "a margin above 0"),
        ({"a": [1.0], "b": [1.0]}, math.nan, "a margin above 0"),
        ({"a": [1.0], "b": [math.inf]}, 0.02, "b: an infinite value"),
    ],
)
def test_what_cannot_be_decided(values, margin, message):
    with pytest.raises(ValueError, match=message):
        decide(values, margin, 1, 8, 30)


def test_results_are_used_up_to_the_first_missing_seed():
    assert in_order({0: 0.1, 1: None, 3: 0.3}, range(5)) == [0.1, None]
    assert in_order({7: 0.1, 5: 0.2}, [5, 7]) == [0.2, 0.1]
    assert in_order({}, range(5)) == []


def test_the_failure_rate_that_seeds_without_a_failure_exclude():
    assert excluded_failure_rate(12) == pytest.approx(0.2209, abs=1e-4)
    rate = excluded_failure_rate(30)
    assert (1 - rate) ** 30 == pytest.approx(0.05)
