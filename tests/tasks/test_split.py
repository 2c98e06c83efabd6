"""The hash that puts every source on one side."""

import os
import subprocess
import sys

import numpy as np
import pytest

from attnbench.cell import Component, Data
from attnbench.tasks.build import build_task
from attnbench.tasks.fixed_sets import test_set, validation_set
from attnbench.tasks.split import Split, fingerprints, split_of, split_of_words
from attnbench.tasks.streams import training_stream

test_set.__test__ = False  # its name begins like a test's

SYMBOLS = [("copy", {}), ("reverse", {}), ("sort", {"distinct": True}), ("sort", {"distinct": False})]


def test_padding_changes_nothing_and_order_does():
    rows = np.random.default_rng(0).integers(3, 23, size=(1000, 6))
    assert np.array_equal(fingerprints(rows), fingerprints(np.pad(rows, ((0, 0), (0, 5)))))
    assert not (fingerprints(rows[:, ::-1])[:, None] == fingerprints(rows)[:, None]).all()
    assert fingerprints(np.array([[3, 4]])) != fingerprints(np.array([[4, 3]]))


def test_fingerprints_do_not_collide():
    every = np.stack(np.meshgrid(*[np.arange(3, 13)] * 5), axis=-1).reshape(-1, 5)
    rows = [every, *(every[:: 10**k, k:] for k in range(1, 4))]
    distinct = {tuple(row) for part in rows for row in part.tolist()}
    assert len(np.unique(np.concatenate([fingerprints(part) for part in rows]))) == len(distinct)


def test_sides_have_their_shares():
    rows = np.random.default_rng(0).integers(3, 23, size=(200_000, 8))
    shares = np.bincount(split_of(rows), minlength=3) / len(rows)
    assert shares == pytest.approx([split.share for split in Split], abs=0.003)
    words = [split_of_words(("the", str(n))) for n in range(20_000)]
    assert np.bincount(words, minlength=3) / len(words) == pytest.approx([0.90, 0.05, 0.05], abs=0.01)


@pytest.mark.parametrize(("name", "options"), SYMBOLS)
def test_no_held_out_source_is_among_100_000_training_examples(name, options):
    component = Component(name=name, options=options)
    data = Data(vocabulary=4, min_length=1, max_length=4)
    task = build_task(component, data)
    stream = training_stream(task, component, data, seeds=(0, 1), batch_size=500)
    trained = {tuple(row) for _ in range(100) for row in stream.batch().source.reshape(1000, -1).tolist()}
    tested = _sources(test_set(task, component, data))
    validated = _sources(validation_set(task, component, data))
    assert tested
    assert validated
    assert not trained & tested
    assert not trained & validated
    assert not tested & validated


def _sources(parts):
    return {tuple(row) for part in parts for row in part.source.tolist()}


def test_sides_and_streams_do_not_depend_on_the_process():
    code = (
        "from attnbench.cell import Component, Data\n"
        "from attnbench.tasks.build import build_task\n"
        "from attnbench.tasks.streams import training_stream\n"
        "from attnbench.tasks.split import split_of_words\n"
        "component, data = Component(name='sort', options={'distinct': True}), Data()\n"
        "stream = training_stream(build_task(component, data), component, data, (7,), 4)\n"
        "print(stream.batch().source.tolist(), [int(split_of_words((str(n),))) for n in range(50)])"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1
