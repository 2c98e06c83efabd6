import itertools

import numpy as np
import pytest
from scipy.stats import binom, norm

from attnbench.analysis.decide.boundaries import looks, nominal_levels, spent
from attnbench.analysis.decide.joint import _bound, _clearly_above, rejects
from attnbench.analysis.paired import MAX_EXACT, paired, sign_flip_tails

random = np.random.default_rng(0)
SIZES = {
    "normal": np.abs(random.normal(size=10)),
    "equal": np.ones(10),
    "lattice": np.array([1, 1, 2, 3, 1, 2, 1, 1, 4, 1]) / 500,
    "a few large ones": np.array([0.9, 0.01, 0.02, 0.01, 0.9, 0.03, 0.8, 0.01, 0.02, 0.9]),
    "large ones late": np.array([0.01, 0.02, 0.01, 0.03, 0.02, 0.01, 0.9, 0.8, 0.85, 0.9]),
    "zeros": np.array([0, 0, 0.1, 0, 0.3, 0.2, 0, 0.1, 0.1, 0.4]),
}
LOOKS = (5, 7, 10)


def share_rejected(sizes, due, sides):
    """Of all patterns of signs, those that some look rejects: the definition of the error."""
    count = 0
    for signs in itertools.product((-1, 1), repeat=len(sizes)):
        values = sizes * signs
        count += any(rejects(values[:n], LOOKS[: k + 1], due[: k + 1], sides) for k, n in enumerate(LOOKS))
    return count / 2 ** len(sizes)


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("name", SIZES)
def test_the_error_over_all_looks_is_at_most_alpha_whatever_the_sizes(name, sides):
    """The normal levels exceed it where the large differences come late: then the looks have little in common."""
    for alpha in (0.1, 0.3):
        assert share_rejected(SIZES[name], spent(LOOKS, alpha), sides) <= alpha + 1e-12


@pytest.mark.parametrize("sides", [1, 2])
def test_nearly_all_of_alpha_is_used(sides):
    assert share_rejected(SIZES["normal"], spent(LOOKS, 0.3), sides) > 0.26


@pytest.mark.parametrize("sides", [1, 2])
def test_the_bound_is_the_share_of_patterns_in_the_tail_that_no_earlier_look_rejects(sides):
    sizes, due = SIZES["normal"], spent(LOOKS, 0.3)
    patterns = [sizes * signs for signs in itertools.product((-1, 1), repeat=len(sizes))]
    survivors = [
        values.sum()
        for values in patterns
        if not any(rejects(values[:n], LOOKS[: k + 1], due[: k + 1], sides) for k, n in enumerate(LOOKS[:2]))
    ]
    sums = abs(np.array(survivors)) if sides == 2 else np.array(survivors)
    for total in (0.5, 2.0, 4.0, 6.0):
        exact = np.count_nonzero(sums >= total) / len(patterns)
        found = _bound(sizes.tobytes(), total, LOOKS, due, sides)
        assert exact - 1e-12 <= found <= exact + 0.01


def test_a_larger_error_probability_rejects_whatever_a_smaller_one_does():
    """What passing error probability on requires."""
    when = looks(15, 8, 30)
    for _ in range(200):
        values = random.normal(0.6, 1, 30) * random.choice([0.1, 1.0], 30)
        for k, n in enumerate(when):
            found = [rejects(values[:n], when[: k + 1], spent(when, 0.05 / m)[: k + 1], 2) for m in (15, 8, 4, 2, 1)]
            assert found == sorted(found)


@pytest.mark.parametrize("sides", [1, 2])
def test_the_last_look_agrees_with_the_normal_level_for_many_like_differences(sides):
    when = (120, 160, 220, 300)
    values, due = np.linspace(0.9, 1.1, 10).repeat(30).reshape(10, 30).T.ravel(), spent(when, 0.05)
    critical = norm.isf(nominal_levels(when, 0.05, sides)[-1] / sides) * np.sqrt((values**2).sum())
    assert _bound(values.tobytes(), critical, when, due, sides) == pytest.approx(due[-1], rel=0.05)


def test_one_look_is_the_test_of_paired():
    for _ in range(100):
        values = random.normal(0.5, 1, 14)
        p = paired(values, interval=False).p
        assert rejects(values, (14,), (p,), 2)
        assert not rejects(values, (14,), (p * (1 - 1e-9),), 2)


@pytest.mark.parametrize("sides", [1, 2])
def test_no_difference_is_not_rejected(sides):
    assert not rejects(np.zeros(12), (12,), (0.9,), sides)
    assert not rejects(-np.ones(12), (12,), (0.4,), 1)


def test_the_largest_differences_never_exclude_a_rejection():
    for _ in range(300):
        values = random.normal(0.3, 1, 16) * random.choice([0.1, 1.0, 5.0], 16)
        total = values.sum()
        tail = sign_flip_tails(values)[0]
        assert not _clearly_above(values, total, tail)


def test_more_differences_than_signs_can_be_enumerated():
    values = random.normal(0.8, 1, 60)
    when = looks(15, 8, 60)
    assert when[-1] > MAX_EXACT
    assert rejects(values, when, spent(when, 0.05 / 15), 2)
    assert not rejects(values - values.mean() + 0.05, when, spent(when, 0.05 / 15), 2)
    # With one look the bound is the tail: for equal sizes, that of the binomial distribution.
    assert _bound(np.ones(40).tobytes(), 20.0, (40,), (0.05,), 2) == pytest.approx(2 * binom.sf(29, 40, 0.5), rel=1e-9)
