"""The estimate of the time: from the reference machine, then from what this one has done."""

import pytest
from made_up_run import plan

from attnbench import registry
from attnbench.cell import Component
from attnbench.estimate import START_SECONDS, about, estimate, pack_seconds
from attnbench.grid.packs import packs

PACKS = packs(plan(task=["copy", "sort"], seed=[0, 1, 2]).cells)
COST = pack_seconds(PACKS[0])


def changed(section: str, **fields):
    """The first pack with other data or training."""
    cell = PACKS[0].cell
    part = getattr(cell, section).model_copy(update=fields)
    return PACKS[0].model_copy(update={"cell": cell.model_copy(update={section: part})})


def test_the_cost_grows_with_steps_lengths_batch_and_replicas():
    data = PACKS[1].cell.data
    # Tests of 3 to 10 words take as long as steps on as many sentences.
    tests = (data.validation_examples + data.test_examples) / 32
    short = pack_seconds(changed("data", test_lengths=()))
    assert short == pytest.approx(0.018 * (800 + tests))
    more = pack_seconds(changed("train", steps=1600))
    assert more - COST == pytest.approx(0.018 * 800)
    # By hand: the mean of the lengths, 13 in place of 6.5, and of their squares by 80, 185.33/80 in place of 46.33/80.
    twice = pack_seconds(changed("data", min_length=6, max_length=20, test_lengths=()))
    assert twice == pytest.approx((13 + 185.3333 / 80) / (6.5 + 46.3333 / 80) * short, rel=1e-5)
    assert COST < pack_seconds(changed("train", batch_size=64)) < 2 * COST
    one = PACKS[0].model_copy(update={"seeds": (0,), "ids": ("a",)})
    assert COST / 3 < pack_seconds(one) < COST


@pytest.mark.parametrize(("length", "milliseconds"), [(10, 19), (50, 116), (100, 321), (200, 1781), (400, 6731)])
def test_long_sources_take_a_time_of_the_right_order(length, milliseconds):
    """Those of a step of three seeds in results/speed.md; the estimate is within a factor of two."""
    of_length = {"min_length": length, "max_length": length, "test_lengths": ()}
    data = PACKS[0].cell.data.model_copy(update=of_length)
    first, second = (changed("train", steps=steps) for steps in (100, 200))
    times = [
        pack_seconds(one.model_copy(update={"cell": one.cell.model_copy(update={"data": data})}))
        for one in (first, second)
    ]
    assert 0.5 < (times[1] - times[0]) / 100 / (milliseconds / 1000) < 2


def test_few_steps_take_the_time_of_the_tests():
    few = pack_seconds(changed("train", steps=1))
    assert few > 10 * 0.018
    assert pack_seconds(changed("data", test_lengths=(10, 100))) > COST + 5


def test_packs_share_the_workers_but_the_longest_takes_its_time():
    assert estimate(PACKS, [], {}, 1) == pytest.approx(START_SECONDS + 2 * COST)
    assert estimate(PACKS, [], {}, 2) == pytest.approx(START_SECONDS + COST)
    assert estimate(PACKS, [], {}, 8) == pytest.approx(START_SECONDS + COST)


def test_nothing_to_do_takes_no_time():
    assert estimate([], PACKS, {}, 2) == 0


def test_finished_packs_say_how_slow_this_machine_is():
    """Copy took three times the reference, sort once: each kind goes by its own, a third kind by the middle."""
    seconds = dict.fromkeys(PACKS[0].ids, COST) | dict.fromkeys(PACKS[1].ids, COST / 3)
    assert estimate(PACKS[:1], PACKS, seconds, 1) == pytest.approx(START_SECONDS + 3 * COST)
    assert estimate(PACKS[1:], PACKS, seconds, 1) == pytest.approx(START_SECONDS + COST)
    other = packs(plan(task=["reverse"], seed=[0, 1, 2]).cells)
    assert estimate(other, PACKS, seconds, 1) == pytest.approx(START_SECONDS + 2 * COST)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "5 s"), (12, "10 s"), (50, "50 s"), (58, "1 min"), (200, "3 min"), (3299, "55 min"), (5400, "1.5 h")],
)
def test_a_duration_is_rounded(seconds, said):
    assert about(seconds) == f"about {said}"


def of(model: str, **options):
    """The first pack with another model."""
    entry = registry.model.entry(model)
    cell = PACKS[0].cell.model_copy(update={"model": Component(name=model, options=entry.resolve(options))})
    return PACKS[0].model_copy(update={"cell": cell})


def test_the_cost_grows_with_what_makes_a_model_slow():
    rnn = pack_seconds(of("rnn"))
    assert rnn == pack_seconds(of("pointer")) < pack_seconds(of("lstmn"))
    assert pack_seconds(of("transformer", layers=4)) == pytest.approx(2 * pack_seconds(of("transformer")))
    assert rnn < pack_seconds(of("ntm")) < pack_seconds(of("ntm", slots=128)) < pack_seconds(of("ntm", slots=512))


def test_the_cost_grows_with_slow_parts():
    def cost(kind: str, name: str, **options) -> float:
        part = Component(name=name, options=registry.REGISTRIES[kind].entry(name).resolve(options))
        cell = PACKS[0].cell.model_copy(update={kind: part})
        return pack_seconds(PACKS[0].model_copy(update={"cell": cell}))

    assert cost("normaliser", "softmax") == cost("normaliser", "sigmoid") == COST
    assert COST < cost("normaliser", "entmax") < cost("normaliser", "entmax", alpha=1.3)
    assert cost("normaliser", "entmax") == cost("normaliser", "entmax", alpha=2.0)
    assert COST < cost("scope", "monotonic") < cost("score", "location_conv")
