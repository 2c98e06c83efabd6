"""Tasks with a list of examples, and the shuffled epochs in which they are trained."""

import json
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from attnbench.cell import Component, Data
from attnbench.errors import AttnbenchError, Problem
from attnbench.tasks.base import Examples
from attnbench.tasks.build import build_task
from attnbench.tasks.fixed_sets import test_set, test_set_at, validation_set
from attnbench.tasks.listed import Listed
from attnbench.tasks.split import Split
from attnbench.tasks.streams import training_stream

test_set.__test__ = test_set_at.__test__ = False  # their names begin like a test's

COMPONENT = Component(name="translate")
DATA = Data(min_length=2, max_length=4, validation_examples=6, test_examples=50)
COUNTS = {2: 5, 3: 16, 4: 23, 5: 9}  # training examples by length; the last are outside the trained range


class Numbers(Listed):
    """Examples that are numbered: example n of a length has n + 3 as every source word."""

    source_words = target_words = ("<pad>", "<bos>", "</s>", *map(str, range(100)))

    def __init__(self, counts=COUNTS, images=False):
        def examples(length, count):
            numbers = np.arange(count)[:, None] + 3
            source = numbers[:, :, None] * np.full((1, 8, 16), 0.01) if images else np.tile(numbers, length)
            # Every other target is one word longer.
            target = np.pad(np.tile(numbers, length), ((0, 0), (0, 1)))
            target[::2, length] = 3
            return Examples(source, target, None)

        of_length = {length: examples(length, count) for length, count in counts.items()}
        held = {length: examples(length, 8) for length in (4, 2, 7)}
        super().__init__({Split.TRAINING: of_length, Split.VALIDATION: held, Split.TEST: held})

    def origin(self, split):
        return f"the {split.name.lower()} list"

    def facts(self):
        return {"numbers": 3}

    def lack(self, split, lengths):
        return Problem(f"{self.origin(split)} has nothing of {lengths}")


def stream(seeds=(0, 1), batch_size=4, task=None, data=DATA):
    return training_stream(task or Numbers(), COMPONENT, data, seeds, batch_size)


def numbers(batch):
    """The examples of a batch (K,B)."""
    return batch.source[:, :, 0] - 3


def taken(batches, count):
    """The examples by length, each (K, all of them) in the order of the stream, and the lengths of the batches."""
    found, lengths = {}, []
    for _ in range(count):
        batch = batches.batch()
        assert batch.source.dtype.kind != "f"
        lengths.append(batch.source.shape[-1])
        found.setdefault(lengths[-1], []).append(numbers(batch))
    return {length: np.concatenate(parts, axis=1) for length, parts in found.items()}, lengths


@pytest.mark.parametrize("batch_size", [1, 4, 7, 30])
def test_every_example_of_a_length_is_used_once_before_any_is_used_again(batch_size):
    found, _ = taken(stream(batch_size=batch_size), 60)
    assert found.keys() == {2, 3, 4}
    for length, of_replicas in found.items():
        number = COUNTS[length]
        for row in of_replicas:
            times = [row[start : start + number].tolist() for start in range(0, len(row), number)]
            for time in times[:-1]:
                assert sorted(time) == list(range(number))
            assert len(set(times[-1])) == len(times[-1])
            assert all(one != other for one, other in pairwise(times[:-1]))


def test_after_each_epoch_every_length_has_the_batches_that_its_examples_need():
    batches = stream(batch_size=4)
    seen = Counter()
    orders = []
    for epoch in range(1, 8):
        expected = {length: -(-epoch * COUNTS[length] // 4) for length in (2, 3, 4)}
        _, lengths = taken(batches, sum(expected.values()) - seen.total())
        seen.update(lengths)
        orders.append(lengths)
        assert seen == expected
    # In random order: neither sorted nor the same in every epoch.
    assert all(lengths != sorted(lengths) for lengths in orders)
    assert len(set(map(tuple, orders))) == len(orders)


def test_the_order_of_the_lengths_is_that_of_all_replicas_and_the_order_of_examples_their_own():
    alone, lengths = taken(stream((5,)), 40)
    together, of_three = taken(stream((2, 5, 9)), 40)
    assert lengths == of_three
    for length, rows in together.items():
        assert np.array_equal(rows[1], alone[length][0])
    assert not np.array_equal(together[4][0], together[4][1])


def test_targets_are_those_of_the_sources_and_no_wider_than_needed():
    batches = stream(batch_size=1)
    for _ in range(60):
        batch = batches.batch()
        length, ids = batch.source.shape[-1], numbers(batch)
        assert (batch.target[..., :length] == batch.source).all()
        assert batch.target.shape[-1] == length + (ids % 2 == 0).any()
        assert batch.links is None


def test_replicas_that_go_on_have_the_examples_that_they_would_have_had():
    plain, fewer = stream((2, 5, 9), batch_size=3), stream((2, 5, 9), batch_size=3)
    for step in range(50):
        if step == 11:
            fewer.keep([0, 2])
        if step == 30:
            fewer.keep([1])
        rows = [0, 1, 2] if step < 11 else [0, 2] if step < 30 else [2]
        assert np.array_equal(numbers(plain.batch())[rows], numbers(fewer.batch()))


@pytest.mark.parametrize("step", [0, 1, 9, 12, 13, 37])
def test_a_stream_goes_on_where_its_state_was_noted(step):
    """After 12 batches of 4 an epoch ends; a batch may have the end of one order and the beginning of the next."""
    plain = stream((2, 5, 9))
    for _ in range(step):
        plain.batch()
    text = json.dumps(plain.state())
    assert len(text) < 50
    other = stream((2, 5, 9))
    other.batch()
    other.keep([1, 2])
    other.restore(json.loads(text))
    for _ in range(30):
        one, two = plain.batch(), other.batch()
        assert np.array_equal(one.source[1:], two.source)


@pytest.mark.parametrize(
    "state",
    [{"epoch": -1, "next": 0}, {"epoch": 0, "next": 13}, {"epoch": 0, "next": -1}, {"epoch": 0.5, "next": 0},
     {"epoch": True, "next": 0}, {"epoch": 0, "next": None}, {"epoch": 0}, {}, []],
)  # fmt: skip
def test_what_is_not_a_state_is_refused(state):
    with pytest.raises((ValueError, TypeError, LookupError)):
        stream().restore(state)


def test_a_list_shorter_than_a_batch_is_used_several_times_in_a_batch():
    batches = stream(batch_size=16, task=Numbers({2: 3}))
    found, _ = taken(batches, 6)
    assert found[2].shape == (2, 96)
    assert np.bincount(found[2][0]).tolist() == [32, 32, 32]
    state = batches.state()
    again = stream(batch_size=16, task=Numbers({2: 3}))
    again.restore(state)
    assert np.array_equal(numbers(again.batch()), numbers(batches.batch()))


def test_the_order_depends_on_the_seed_the_length_and_the_time():
    """Not on the lengths that are trained beside it."""
    narrow = taken(stream(data=DATA.model_copy(update={"min_length": 4})), 20)[0][4]
    wide = taken(stream(), 40)[0][4]
    shared = min(narrow.shape[1], wide.shape[1])
    assert shared > 2 * COUNTS[4]
    assert np.array_equal(narrow[:, :shared], wide[:, :shared])


def test_sources_may_be_images():
    batches = stream(task=Numbers(images=True))
    for _ in range(20):
        batch = batches.batch()
        assert batch.source.shape == (2, 4, 8, 16)
        assert np.allclose(batch.source[..., 0, 0], batch.target[..., 0] * 0.01)


def test_what_the_task_says_about_its_list():
    task = Numbers()
    assert [task.check(length) for length in (2, 5)] == [None, None]
    assert task.check(6) == "the training list has no training source of 6 words"
    assert [task.longest_target(length) for length in (3, 6)] == [4, 0]
    assert task.length_counts(range(3, 9)) == {3: 16, 4: 23, 5: 9}
    drawn = task.generate(np.random.default_rng(0), 3, 400)
    assert drawn.source.shape == (400, 3)
    assert set(drawn.source[:, 0]) == set(range(3, 19))
    assert stream(task=task).longest == 4


def test_fixed_sets_are_taken_from_the_held_out_list():
    task = Numbers()
    parts = validation_set(task, COMPONENT, DATA)
    assert sum(map(len, parts)) == 6
    assert [part.source.shape[1] for part in parts] == sorted({part.source.shape[1] for part in parts})
    assert [(len(part), part.source.shape[1]) for part in test_set(task, COMPONENT, DATA)] == [(8, 2), (8, 4)]
    assert [part.source.shape for part in test_set_at(task, COMPONENT, DATA, 7)] == [(8, 7)]
    with pytest.raises(AttnbenchError, match="the test list has no test source of 3 words"):
        test_set_at(task, COMPONENT, DATA, 3)
    with pytest.raises(AttnbenchError, match="the validation list has nothing of 5 to 6"):
        validation_set(task, COMPONENT, Data(min_length=5, max_length=6))


def test_lengths_that_nothing_is_trained_on_are_an_error_when_the_task_is_built(tmp_path):
    (tmp_path / "w.dict").write_text("".join(f"{one}at AE1 T\n" for one in "bcdefghkmnpr"))
    data = Data(path=str(tmp_path / "w.dict"), min_length=4, max_length=9)
    with pytest.raises(AttnbenchError, match="has no training word of 4 to 9 letters"):
        build_task(Component(name="g2p", options={"stress": False}), data)
