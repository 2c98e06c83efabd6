import numpy as np
import pytest

from attnbench.analysis.decide.boundaries import looks, spent
from attnbench.analysis.decide.joint import rejects
from attnbench.analysis.decide.sequential import DIFFERENT, Answer, settle

LOOKS = (12, 16, 22, 30)
SMALL = 1e-9
GRIDS = 600
BOUND = 0.05 + 3.5 * (0.05 * 0.95 / GRIDS) ** 0.5
random = np.random.default_rng(0)


def mixed(effect, late=0.0):
    """Thirty differences around an effect, of which the first 12 are around another."""
    values = random.normal(0, 1, 30)
    values -= np.concatenate([np.full(12, values[:12].mean()), np.full(18, values[12:].mean())])
    return values + np.concatenate([np.full(12, effect), np.full(18, effect + late)])


def answers(found):
    return [(one.answer, one.seeds) for one in found.values()]


def test_a_large_difference_is_settled_at_the_first_look_and_no_difference_never():
    found = settle({"large": mixed(3.0), "negative": mixed(-3.0), "none": mixed(0.0)}, LOOKS, SMALL)
    assert answers(found) == [(Answer.BETTER, 12), (Answer.WORSE, 12), (Answer.UNDECIDED, 30)]


def test_lower_may_be_better():
    assert settle({0: mixed(3.0)}, LOOKS, SMALL, better=-1)[0].answer is Answer.WORSE


def test_a_difference_that_shows_later_is_settled_later():
    found = settle({0: mixed(0.0, late=2.5)}, LOOKS, SMALL)[0]
    assert found.answer is Answer.BETTER
    assert found.seeds > 12


def test_equal_values_are_equivalent_at_the_first_look():
    """At the ceiling all seeds of both have exactly 1."""
    for margin in (0.02, 1e-9):
        assert answers(settle(dict.fromkeys(range(15), np.zeros(30)), LOOKS, margin)) == [(Answer.EQUIVALENT, 12)] * 15


def test_a_small_difference_is_equivalent_and_one_of_the_margin_is_not():
    assert settle({0: mixed(0.0)}, LOOKS, 3.0)[0].answer is Answer.EQUIVALENT
    assert settle({0: np.full(30, 0.82 - 0.80)}, LOOKS, 0.02, resolution=1.0)[0].answer is Answer.UNDECIDED
    assert settle({0: np.full(30, -(0.82 - 0.80))}, LOOKS, 0.02, resolution=1.0)[0].answer is Answer.UNDECIDED
    assert settle({0: np.full(30, 0.019)}, LOOKS, 0.02, resolution=1.0)[0].answer is Answer.EQUIVALENT


def test_equivalence_is_two_one_sided_tests_at_the_same_level():
    """10 of 11 seeds are below the margin: p = 12/2048 is at most .05·(11/30)² of one side, and above half of it."""
    values = np.array([0.0] * 10 + [2.0])
    assert spent((11, 30), 0.05 / 2)[0] < 12 / 2**11 < spent((11, 30), 0.05)[0]
    assert settle({0: values}, (11, 30), 1.0)[0].answer is Answer.EQUIVALENT
    assert settle({0: -values}, (11, 30), 1.0)[0].answer is Answer.EQUIVALENT


def test_what_is_both_is_better():
    assert settle({0: np.full(30, 0.01)}, LOOKS, 0.02)[0].answer is Answer.BETTER
    assert settle({0: np.full(30, 0.01)}, LOOKS, 0.02, resolution=0.011)[0].answer is Answer.EQUIVALENT


def test_a_rejected_pair_passes_its_share_on_at_the_same_look():
    """11 of 12 equal differences agree: p = 2·13/4096 is above half of what is spent, .05·(12/30)², and below all."""
    weaker, stronger = np.ones(30), np.ones(30)
    weaker[11] = -1
    assert spent(LOOKS, 0.05 / 2)[0] < 2 * 13 / 2**12 < spent(LOOKS, 0.05)[0]
    found = settle({"weaker": weaker, "stronger": stronger}, LOOKS, SMALL)
    assert answers(found) == [(Answer.BETTER, 12), (Answer.BETTER, 12)]
    assert [one.share for one in found.values()] == pytest.approx([0.05, 0.05 / 2])
    found = settle({"weaker": weaker[:12], "other": mixed(0.0)[:12]}, LOOKS, SMALL)
    assert answers(found) == [(Answer.OPEN, 12), (Answer.OPEN, 12)]


def test_a_pair_that_is_equivalent_keeps_its_share_of_the_differences():
    """It was not rejected among the differences, so that nothing is free to be passed on."""
    found = settle({"equal": np.zeros(30), "open": mixed(0.0)}, LOOKS, 0.02)
    assert found["equal"].answer is Answer.EQUIVALENT
    assert found["open"].share == pytest.approx(0.05 / 2)
    assert found["open"].share_equivalent == pytest.approx(0.05)
    found = settle({"large": mixed(3.0), "open": mixed(0.0)}, LOOKS, 0.02)
    assert found["open"].share == pytest.approx(0.05)
    assert found["open"].share_equivalent == pytest.approx(0.05 / 2)


def test_pairs_without_values_are_not_comparable_and_do_not_count():
    missing = np.full(30, np.nan)
    found = settle({"missing": missing, "also": missing, "open": mixed(0.0)}, LOOKS, SMALL)
    assert answers(found)[:2] == [(Answer.NOT_COMPARABLE, 12)] * 2
    assert found["open"].share == pytest.approx(0.05)


def test_a_value_that_is_missing_later_ends_the_pair_and_passes_nothing_on():
    late = mixed(0.0)
    late[20] = np.nan
    found = settle({"late": late, "open": mixed(0.0)}, LOOKS, SMALL)
    assert (found["late"].answer, found["late"].seeds) == (Answer.NOT_COMPARABLE, 22)
    assert found["open"].share == pytest.approx(0.05 / 2)


def test_a_look_waits_for_all_open_pairs():
    """Another pair may pass its share on at this look."""
    found = settle({"large": mixed(3.0), "short": mixed(0.0)[:11]}, LOOKS, SMALL)
    assert answers(found) == [(Answer.OPEN, 0)] * 2
    found = settle({"large": mixed(3.0)[:12], "long": mixed(0.0)[:21]}, LOOKS, SMALL)
    assert answers(found) == [(Answer.BETTER, 12), (Answer.OPEN, 16)]


def test_more_seeds_change_nothing_that_is_settled():
    for effect in (0.0, 0.6, 0.9, 1.2):
        pairs = {key: random.normal(effect * (key % 3), 1, 30) for key in range(6)}
        whole = settle(pairs, LOOKS, 0.9)
        for n in range(31):
            part = settle({key: values[:n] for key, values in pairs.items()}, LOOKS, 0.9)
            for key, one in part.items():
                assert one.seeds <= n
                assert one == whole[key] or (one.answer is Answer.OPEN and whole[key].seeds >= one.seeds)


def share_of_false_verdicts(pairs, grids, draw, margin, **options):
    when, wrong = looks(pairs, 8, 30), 0
    for _ in range(grids):
        found = settle(dict(enumerate(draw((pairs, 30)))), when, margin, **options)
        wrong += any(one.answer not in (Answer.UNDECIDED, Answer.OPEN) for one in found.values())
    return wrong / grids


def normal(shape):
    return random.normal(size=shape)


def bimodal(shape):
    fails = random.uniform(size=(2, *shape)) < 0.2
    return np.where(fails, 0.1, 0.95)[0] - np.where(fails, 0.1, 0.95)[1] + random.normal(0, 0.03, shape)


@pytest.mark.parametrize("draw", [normal, bimodal])
@pytest.mark.parametrize("pairs", [1, 5])
def test_at_most_5_percent_of_grids_without_a_difference_have_a_false_verdict(draw, pairs):
    """Four tests at .05 each give 11 to 13 % for one pair (below); the bound is 3.5 standard errors above 5 %."""
    assert share_of_false_verdicts(pairs, GRIDS, draw, SMALL) < BOUND


def test_this_bound_finds_looks_that_do_not_share_the_error():
    def every_look(values):
        return any(rejects(values[:n], (n,), (0.05,), 2) for n in LOOKS)

    assert np.mean([every_look(normal(30)) for _ in range(GRIDS)]) > BOUND


def test_at_most_5_percent_are_called_equivalent_at_a_difference_of_the_margin():
    def at_the_margin(shape):
        return random.normal(2.0, 1, shape)

    found = share_of_false_verdicts(5, GRIDS, at_the_margin, 2.0, resolution=np.inf)
    assert 0.02 < found < BOUND


def test_two_paired_standard_deviations_take_few_seeds():
    when = looks(15, 8, 30)
    found = []
    for _ in range(100):
        values = random.normal(size=(15, 30))
        values[0] += 2.0
        found.append(settle(dict(enumerate(values)), when, SMALL)[0])
    assert all(one.answer in DIFFERENT for one in found)
    assert np.mean([one.seeds for one in found]) <= 0.45 * 30
