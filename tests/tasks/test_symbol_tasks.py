"""copy, reverse and sort: targets, gold links, and how their sources are distributed."""

from collections import Counter

import numpy as np
import pytest

from attnbench.tasks.base import SPECIAL
from attnbench.tasks.copy import Copy
from attnbench.tasks.reverse import Reverse
from attnbench.tasks.sort import Sort
from attnbench.tasks.symbols import distinct_symbols

TASKS = {
    "copy": (Copy(20), lambda x: list(range(len(x)))),
    "reverse": (Reverse(20), lambda x: list(range(len(x)))[::-1]),
    "sort": (Sort(20), lambda x: sorted(range(len(x)), key=lambda i: x[i])),
    "sort with repeats": (Sort(5, distinct=False), lambda x: sorted(range(len(x)), key=lambda i: (x[i], i))),
}


@pytest.mark.parametrize("name", TASKS)
def test_targets_follow_from_sources_and_links(name):
    task, positions = TASKS[name]
    random = np.random.default_rng(1)
    for length in range(1, 21):
        examples = task.generate(random, length, 500)
        for source, target, links in zip(examples.source, examples.target, examples.links, strict=True):
            expected = positions(source.tolist())
            assert [np.flatnonzero(row).tolist() for row in links] == [[position] for position in expected]
            assert target.tolist() == [source[position] for position in expected]


@pytest.mark.parametrize("name", TASKS)
def test_arrays_suit_torch(name):
    examples = TASKS[name][0].generate(np.random.default_rng(0), 7, 3)
    for array, dtype in ((examples.source, np.int64), (examples.target, np.int64), (examples.links, np.bool_)):
        assert array.dtype == dtype
        assert array.flags.writeable
        assert all(stride > 0 for stride in array.strides)


@pytest.mark.parametrize("name", TASKS)
def test_the_same_random_stream_gives_the_same_examples(name):
    task, _ = TASKS[name]
    first, again, other = (task.generate(np.random.default_rng(seed), 9, 50).source for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("task", [Copy(4), Reverse(4), Sort(4, distinct=False)])
def test_all_sources_are_as_likely(task):
    source = task.generate(np.random.default_rng(0), 3, 64 * 500).source
    counts = Counter(map(tuple, source.tolist()))
    assert set(np.unique(source)) == {3, 4, 5, 6}
    assert len(counts) == 64
    assert _chi_square(counts, 500) < 103.5  # the .999 quantile with 63 degrees of freedom


def test_distinct_symbols_in_every_order_are_as_likely():
    source = Sort(6).generate(np.random.default_rng(0), 3, 120 * 500).source
    counts = Counter(map(tuple, source.tolist()))
    assert all(len(set(row)) == 3 for row in counts)
    assert len(counts) == 120
    assert _chi_square(counts, 500) < 172.4  # the .999 quantile with 119 degrees of freedom


def test_distinct_symbols_are_those_of_the_smallest_keys_in_their_order_on_any_processor():
    source = distinct_symbols(np.random.default_rng(0), 2000, 900, 50)
    keys = np.random.default_rng(0).random((50, 2000))
    assert np.array_equal(source, 3 + np.argsort(keys, axis=1)[:, :900])


def _chi_square(counts: Counter, expected: float) -> float:
    return sum((count - expected) ** 2 / expected for count in counts.values())


def test_words_are_numbers_in_the_order_of_their_ids():
    for task in (Copy(12), Reverse(12), Sort(12)):
        assert task.source_words == [*SPECIAL, *map(str, range(1, 13))]
        assert task.target_words == task.source_words


def test_distinct_symbols_run_out():
    assert Sort(10).check(10) is None
    assert "11 distinct symbols in a vocabulary of 10" in Sort(10).check(11)
    assert Sort(10, distinct=False).check(11) is None
    assert Copy(2).check(50) is None
    assert Reverse(2).check(50) is None
