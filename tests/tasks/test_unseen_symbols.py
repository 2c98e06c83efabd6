"""Symbols that training never shows: which they are, that it does not, and the test set that does."""

from collections import Counter

import numpy as np
import pytest

from attnbench.cell import Component, Data
from attnbench.errors import AttnbenchError
from attnbench.registry import REGISTRIES
from attnbench.registry import task as tasks
from attnbench.tasks.base import SPECIAL, Examples
from attnbench.tasks.build import build_task
from attnbench.tasks.check import check_data
from attnbench.tasks.copy import Copy
from attnbench.tasks.draw import random_for
from attnbench.tasks.fixed_sets import test_set, test_set_at, test_set_unseen, validation_set
from attnbench.tasks.reverse import Reverse
from attnbench.tasks.sort import Sort
from attnbench.tasks.streams import training_stream
from attnbench.tasks.symbols import FIRST, symbol_words, unseen_symbols

test_set.__test__ = test_set_at.__test__ = test_set_unseen.__test__ = False  # their names begin like a test's

COPY = Component(name="copy")
EVERY = [
    COPY,
    Component(name="reverse"),
    Component(name="sort", options={"distinct": True}),
    Component(name="sort", options={"distinct": False}),
]
DATA = Data(vocabulary=20, unseen_symbols=5, test_lengths=(12,))
UNSEEN = unseen_symbols(20, 5)


def name(component):
    return " ".join([component.name, *map(str, component.options.values())])


def words(ids):
    return [int(symbol_words(1000)[i]) for i in ids]


def test_unseen_symbols_lie_evenly_between_seen_ones():
    assert words(unseen_symbols(20, 5)) == [3, 7, 11, 14, 18]
    assert words(unseen_symbols(11, 1)) == [6]
    assert words(unseen_symbols(4, 2)) == [2, 3]
    assert len(unseen_symbols(20, 0)) == 0
    for vocabulary in range(3, 40):
        for count in range(1, vocabulary - 1):
            ids = unseen_symbols(vocabulary, count)
            assert len(set(ids.tolist())) == count
            assert FIRST < ids.min() <= ids.max() < FIRST + vocabulary - 1
            gaps = np.diff(ids)
            assert gaps.size == 0 or gaps.max() - gaps.min() <= 1


def test_with_one_symbol_seen_it_is_the_first():
    assert words(unseen_symbols(5, 4)) == [2, 3, 4, 5]
    assert words(unseen_symbols(2, 1)) == [2]


@pytest.mark.parametrize("component", EVERY, ids=name)
def test_training_validation_and_test_never_show_them(component):
    task = build_task(component, DATA)
    stream = training_stream(task, component, DATA, (0, 4), 16)
    shown = [stream.batch() for _ in range(400)]
    for fixed in (validation_set, test_set):
        shown += fixed(task, component, DATA)
    shown += test_set_at(task, component, DATA, 12)
    found = set(np.concatenate([ids.ravel() for e in shown for ids in (e.source, e.target)]).tolist())
    assert found - {0} == set(range(FIRST, FIRST + 20)) - set(UNSEEN.tolist())


@pytest.mark.parametrize("component", EVERY, ids=name)
def test_every_source_of_their_test_set_has_one(component):
    task = build_task(component, DATA)
    parts = test_set_unseen(task, component, DATA)
    assert [part.source.shape[1] for part in parts] == list(range(3, 11))
    assert [len(part) for part in parts] == [62, 63, 62, 63, 62, 63, 62, 63]
    for part in parts:
        assert np.isin(part.source, UNSEEN).any(axis=1).all()
        assert len(np.unique(part.source, axis=0)) == len(part)
        assert np.array_equal(np.sort(part.source), np.sort(part.target))
        if component.name == "sort":
            assert (np.diff(part.target) >= 0).all()
        for source, target, links in zip(part.source, part.target, part.links, strict=True):
            assert (links.sum(axis=0) == 1).all()
            assert np.array_equal(source[links.argmax(axis=1)], target)
        if component.options.get("distinct"):
            assert all(len(set(row)) == len(row) for row in part.source.tolist())
    assert set(np.concatenate([part.source.ravel() for part in parts]).tolist()) == set(range(FIRST, FIRST + 20))
    for part, again in zip(parts, test_set_unseen(build_task(component, DATA), component, DATA), strict=True):
        assert np.array_equal(part.source, again.source)


@pytest.mark.parametrize(
    ("task", "sources"), [(Copy(4, 1), 4**3 - 3**3), (Sort(5, 2), 60 - 6), (Sort(4, 2, distinct=False), 64 - 8)]
)
def test_all_sources_with_an_unseen_symbol_are_as_likely(task, sources):
    counts = Counter(map(tuple, task.generate_unseen(np.random.default_rng(0), 3, sources * 500).source.tolist()))
    assert len(counts) == sources
    # The .999 quantile of chi-square with at most 55 degrees of freedom is below 94.
    assert sum((count - 500) ** 2 / 500 for count in counts.values()) < 94


def test_a_rare_symbol_is_found_and_none_is_refused():
    rare = Copy(1000, 1).generate_unseen(np.random.default_rng(0), 1, 30).source
    assert (rare == unseen_symbols(1000, 1)).all()
    assert rare.shape == (30, 1)
    with pytest.raises(ValueError, match="this vocabulary has no unseen symbols"):
        Copy(20).generate_unseen(np.random.default_rng(0), 3, 1)


@pytest.mark.parametrize("make", [Copy, Reverse, Sort])
def test_seen_symbols_are_ranks_relabelled_in_their_order(make):
    """The draw over 15 seen symbols is the draw over a vocabulary of 15."""
    few, many = (make(*given).generate(np.random.default_rng(7), 6, 200) for given in ((15,), (20, 5)))
    seen = np.setdiff1d(np.arange(FIRST, FIRST + 20), UNSEEN)
    assert np.array_equal(many.source, seen[few.source - FIRST])
    assert np.array_equal(many.target, seen[few.target - FIRST])
    assert np.array_equal(many.links, few.links)


def test_a_few_sources_are_all_used_and_then_repeated():
    data = Data(vocabulary=3, unseen_symbols=1, min_length=2, max_length=2, test_examples=7)
    # Only 1 1, 1 3, 3 1 and 3 3 are without the symbol 2: five are left.
    (part,) = test_set_unseen(build_task(COPY, data), COPY, data)
    _, counts = np.unique(part.source, axis=0, return_counts=True)
    assert sorted(counts.tolist()) == [1, 1, 1, 2, 2]


def test_random_streams_move_only_where_symbols_are_unseen():
    def first(component, unseen):
        return random_for(component, Data(unseen_symbols=unseen), "key").random()

    assert first(COPY, 0) == 0.9097208719696283  # as it was before there were unseen symbols
    assert len({first(COPY, unseen) for unseen in (0, 1, 2)}) == 3
    assert first(Component(name="translate"), 0) == first(Component(name="translate"), 3)


def test_there_is_no_such_test_set_where_no_symbol_is_unseen():
    translate = Component(name="translate")
    assert test_set_unseen(build_task(COPY, Data()), COPY, Data()) == []
    assert test_set_unseen(build_task(translate, DATA), translate, DATA) == []


def test_sort_runs_out_of_seen_symbols():
    assert Sort(20, 5).check(15) is None
    assert "no 16 distinct symbols in a vocabulary of 20, 15 of which occur in training;" in Sort(20, 5).check(16)
    assert Sort(20, 5, distinct=False).check(16) is None
    assert "training" not in Sort(20).check(21)


@pytest.mark.parametrize("unseen", [6, 7])
def test_a_symbol_is_left_to_train_on(unseen):
    with pytest.raises(
        AttnbenchError, match=f"unseen_symbols is {unseen} with a vocabulary of 6: no symbols"
    ) as raised:
        build_task(COPY, Data(vocabulary=6, unseen_symbols=unseen))
    assert [problem.where for problem in raised.value.problems] == ["data.unseen_symbols"]
    build_task(COPY, Data(vocabulary=6, unseen_symbols=5))
    build_task(Component(name="translate"), Data(vocabulary=6, unseen_symbols=unseen))


class Own:
    """A user's task of two words, of which one is unseen."""

    def __init__(self, unseen_symbols):
        self.unseen_symbols = unseen_symbols
        self.source_words = self.target_words = [*SPECIAL, "a", "b"]

    def check(self, length):  # noqa: ARG002
        return None

    def generate(self, random, length, count):
        ids = random.integers(3, 5, size=(count, length))
        return Examples(ids, ids, None)


class Short(Own):
    """Its unseen sources are too short."""

    def generate_unseen(self, random, length, count):
        return self.generate(random, length - 1, count)


class Whole(Own):
    """It does as it should, and notes what it was given."""

    given: list[int]

    def generate_unseen(self, random, length, count):
        Whole.given.append(self.unseen_symbols)
        return self.generate(random, length, count)


@pytest.fixture
def own():
    """Registers a class as the task "own", for one test."""
    before = dict(REGISTRIES["task"]._added)
    yield lambda cls: tasks("own")(cls)
    REGISTRIES["task"]._added = before


def test_a_users_task_that_takes_unseen_symbols_is_asked_for_them(own):
    Whole.given = []
    own(Whole)
    check_data(Component(name="own"), Data(unseen_symbols=1))
    assert set(Whole.given) == {1}
    Whole.given = []
    check_data(Component(name="own"), Data())
    assert Whole.given == []
    assert REGISTRIES["task"].entry("own").options == ()


def test_a_custom_task_without_generate_unseen_is_reported(own):
    own(Own)
    with pytest.raises(
        AttnbenchError, match=r"'own' has the parameter unseen_symbols but no method generate_unseen"
    ) as raised:
        check_data(Component(name="own"), Data())
    assert "test_unseen_symbols.py:" in raised.value.problems[0].where


def test_the_wrong_shape_from_a_custom_generate_unseen_is_reported(own):
    own(Short)
    check_data(Component(name="own"), Data())
    with pytest.raises(AttnbenchError, match=r"Short\.generate_unseen returned sources \(1, 9\), expected \(1, 10\)"):
        check_data(Component(name="own"), Data(unseen_symbols=1))
