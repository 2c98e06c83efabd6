"""Training streams, validation sets and test sets."""

import numpy as np
import pytest

from attnbench.cell import Component, Data
from attnbench.errors import AttnbenchError
from attnbench.registry import task as tasks
from attnbench.tasks.base import PAD, SPECIAL, Examples
from attnbench.tasks.build import build_task
from attnbench.tasks.check import check_data
from attnbench.tasks.draw import random_for
from attnbench.tasks.fixed_sets import test_set, test_set_at, validation_set
from attnbench.tasks.split import Split, split_of
from attnbench.tasks.streams import training_stream

test_set.__test__ = test_set_at.__test__ = False  # their names begin like a test's

COPY, TRANSLATE = Component(name="copy"), Component(name="translate")
SORT = Component(name="sort", options={"distinct": True})
EVERY = [COPY, Component(name="reverse"), SORT, TRANSLATE]


def stream(component=COPY, data=None, seeds=(0,), batch_size=8):
    data = data or Data()
    return training_stream(build_task(component, data), component, data, seeds, batch_size)


def take(steps, **arguments):
    batches = stream(**arguments)
    return [batches.batch() for _ in range(steps)]


@pytest.mark.parametrize("component", EVERY, ids=lambda c: c.name)
def test_shapes(component):
    for batch in take(40, component=component, seeds=(3, 1, 4), batch_size=5):
        length = batch.source.shape[-1]
        target_length = batch.target.shape[-1]
        assert 3 <= length <= 10
        assert batch.source.shape == (3, 5, length)
        assert batch.target.shape == (3, 5, target_length)
        assert batch.links.shape == (3, 5, target_length, length)
        assert (batch.target[:, :, -1] != PAD).any()
        assert (split_of(batch.source.reshape(-1, length)) == Split.TRAINING).all()


@pytest.mark.parametrize("component", EVERY, ids=lambda c: c.name)
def test_a_replica_does_not_depend_on_its_neighbours(component):
    alone = take(60, component=component, seeds=(5,))
    together = take(60, component=component, seeds=(2, 5, 9))
    for one, three in zip(alone, together, strict=True):
        width = one.target.shape[-1]
        assert np.array_equal(one.source[0], three.source[1])
        assert np.array_equal(one.target[0], three.target[1][:, :width])
        assert np.array_equal(one.links[0], three.links[1][:, :width])
        assert not three.target[1][:, width:].any()


def test_replicas_differ_and_no_batch_comes_twice():
    batches = take(300, seeds=(0, 1), data=Data(min_length=8, max_length=9))
    rows = np.concatenate([np.pad(b.source, ((0, 0), (0, 0), (0, 9 - b.source.shape[-1]))) for b in batches], axis=1)
    assert len(np.unique(rows.reshape(-1, 9), axis=0)) == 2 * 300 * 8


def test_lengths_are_the_same_whatever_the_seeds_and_the_batch_size():
    lengths = [
        [batch.source.shape[-1] for batch in take(1500, seeds=seeds, batch_size=size)]
        for seeds, size in [((0,), 1), ((7, 8), 1), ((0,), 3)]
    ]
    assert lengths[0] == lengths[1] == lengths[2]
    assert np.bincount(lengths[0])[3:] == pytest.approx(np.full(8, 1500 / 8), rel=0.3)


def test_data_depend_on_the_configuration_of_the_task():
    lengths = {"min_length": 6, "max_length": 6}
    first = take(1, data=Data(**lengths))[0].source
    assert not np.array_equal(first, take(1, data=Data(**lengths, vocabulary=21))[0].source)
    assert not np.array_equal(first, take(1, data=Data(**lengths), component=Component(name="reverse"))[0].source)
    assert np.array_equal(first, take(1, data=Data(**lengths, test_lengths=(30,), test_examples=3))[0].source)


def test_the_vocabulary_matters_to_a_task_that_has_one():
    for component, matters in ((COPY, True), (TRANSLATE, False)):
        first, other = (random_for(component, Data(vocabulary=n), "key").random() for n in (20, 21))
        assert (first != other) == matters


def test_a_batch_is_no_wider_than_its_longest_target():
    widths = set()
    for batch in take(200, component=TRANSLATE, data=Data(min_length=6, max_length=6), batch_size=1):
        assert (batch.target != PAD).all()
        widths.add(batch.target.shape[-1])
    assert len(widths) > 2


def test_fixed_sets_are_spread_evenly_over_the_lengths_and_on_their_side():
    data = Data(validation_examples=203)
    for component in EVERY:
        task = build_task(component, data)
        for parts, total, split in (
            (validation_set(task, component, data), 203, Split.VALIDATION),
            (test_set(task, component, data), 500, Split.TEST),
        ):
            sizes = [len(part) for part in parts]
            assert [part.source.shape[1] for part in parts] == list(range(3, 11))
            assert sum(sizes) == total
            assert max(sizes) - min(sizes) <= 1
            assert all((split_of(part.source) == split).all() for part in parts)


@pytest.mark.parametrize("component", EVERY, ids=lambda c: c.name)
def test_a_test_length_has_as_many_distinct_sources_as_asked_for(component):
    data = Data(vocabulary=30, test_lengths=(5, 25))
    task = build_task(component, data)
    for length in data.test_lengths:
        (part,) = test_set_at(task, component, data, length)
        again = test_set_at(task, component, data, length)[0]
        assert part.source.shape == (500, length)
        assert len(np.unique(part.source, axis=0)) == 500
        assert (split_of(part.source) == Split.TEST).all()
        assert np.array_equal(part.source, again.source)


def test_a_small_set_of_few_sources_has_none_twice():
    for count in range(5, 35, 5):
        data = Data(vocabulary=4, min_length=5, max_length=5, test_examples=count)
        (part,) = test_set(build_task(COPY, data), COPY, data)
        assert len(part) == len(np.unique(part.source, axis=0)) == count


def test_few_sources_are_all_used_and_then_repeated():
    data = Data(vocabulary=4, min_length=3, max_length=4)
    task = build_task(COPY, data)
    every = np.stack(np.meshgrid(*[np.arange(3, 7)] * 4), axis=-1).reshape(-1, 4)
    on_test = int((split_of(every) == Split.TEST).sum())
    (part,) = test_set_at(task, COPY, data, 4)
    _, counts = np.unique(part.source, axis=0, return_counts=True)
    assert len(counts) == on_test
    assert counts.max() - counts.min() <= 1
    assert counts.sum() == 500


def test_a_small_set_leaves_no_gap_at_one_end():
    data = Data(validation_examples=3, min_length=3, max_length=8)
    assert [part.source.shape for part in validation_set(build_task(COPY, data), COPY, data)] == [
        (1, 4),
        (1, 6),
        (1, 8),
    ]


def test_lengths_without_a_training_source_are_left_out_of_the_schedule():
    sources = {length: np.full((1, length), 3) for length in range(1, 40)}
    trained = {length for length, source in sources.items() if split_of(source)[0] == Split.TRAINING}
    assert 0 < len(trained) < 39
    batches = take(400, data=Data(vocabulary=1, min_length=1, max_length=39), batch_size=2)
    assert {batch.source.shape[-1] for batch in batches} == trained


def test_a_side_without_sources_is_reported():
    data = Data(vocabulary=1, min_length=3, max_length=3, test_lengths=(4,))
    task = build_task(COPY, data)
    assert split_of(np.full((1, 3), 3))[0] == split_of(np.full((1, 4), 3))[0] == Split.TRAINING
    with pytest.raises(AttnbenchError, match="too few sources of length 3 to 3: none is in the validation split"):
        validation_set(task, COPY, data)
    with pytest.raises(AttnbenchError, match="too few sources of length 4: none is in the test split"):
        test_set_at(task, COPY, data, 4)


def test_impossible_lengths_are_reported_at_once():
    data = Data(vocabulary=8, max_length=9, test_lengths=(5, 12))
    with pytest.raises(AttnbenchError) as raised:
        build_task(SORT, data)
    assert [problem.where for problem in raised.value.problems] == ["data.max_length", "data.test_lengths"]
    assert "no 12 distinct symbols in a vocabulary of 8" in str(raised.value)
    with pytest.raises(AttnbenchError, match="translate has no sentence of length 1; the shortest has 2 words"):
        build_task(TRANSLATE, Data(min_length=1))


def test_symbols_need_a_vocabulary():
    with pytest.raises(AttnbenchError, match=r"needs data\.vocabulary"):
        build_task(COPY, Data(vocabulary=None))
    build_task(TRANSLATE, Data(vocabulary=None))


def test_check_data_finds_what_training_would():
    check_data(COPY, Data(test_lengths=(40,)))
    with pytest.raises(AttnbenchError, match="length 4: none is in the test split"):
        check_data(COPY, Data(vocabulary=1, min_length=1, max_length=39, test_lengths=(4,)))


class Clumsy:
    """A user's task that does not keep to the length it is asked for."""

    source_words = target_words = (*SPECIAL, "a")

    def check(self, length):  # noqa: ARG002
        return None

    def generate(self, random, length, count):  # noqa: ARG002
        ids = np.full((count, length + 1), 3)
        return Examples(ids, ids, None)


def test_the_wrong_shape_from_a_custom_task_is_reported():
    tasks("clumsy")(Clumsy)
    with pytest.raises(AttnbenchError, match=r"Clumsy\.generate returned sources \(64, 4\), expected \(64, 3\)"):
        check_data(Component(name="clumsy"), Data())


@pytest.mark.parametrize(("body", "said"), [
    ("", "AttributeError"),
    ("def check(self, length): raise RuntimeError('no idea')", "RuntimeError: no idea"),
])  # fmt: skip
def test_an_exception_of_a_custom_task_is_reported_as_its_mistake(body, said):
    methods = {}
    exec(body, methods)
    cls = type(
        "Mine",
        (),
        {"source_words": [*SPECIAL], "target_words": [*SPECIAL], **{k: v for k, v in methods.items() if k == "check"}},
    )
    tasks("mine")(cls)
    with pytest.raises(AttnbenchError, match=f"the task 'mine' raised {said}"):
        check_data(Component(name="mine"), Data())
