"""What every task promises: shapes, links, words, separate splits, and the same examples from the same seed."""

import numpy as np

from attnbench import registry
from attnbench.cell import Component, Data
from attnbench.tasks.base import PAD, SPECIAL, image_size, patches
from attnbench.tasks.build import build_task
from attnbench.tasks.check import check_data
from attnbench.tasks.fixed_sets import test_set, validation_set
from attnbench.tasks.streams import training_stream

test_set.__test__ = False  # its name begins like a test's

DATA = Data(vocabulary=8, min_length=3, max_length=6, test_lengths=(6, 9), validation_examples=50, test_examples=80)
LENGTHS = (3, 6, 9)


def check_contract(name: str) -> None:
    """Raises an AssertionError for the first promise that the registered task does not keep."""
    component = Component(name=name, options=registry.task.entry(name).resolve(_options(name)))
    assert registry.task.entry(name).doc
    check_data(component, DATA)
    task = build_task(component, DATA)
    assert tuple(task.source_words[:3]) == tuple(task.target_words[:3]) == SPECIAL
    for length in LENGTHS:
        assert task.check(length) is None
        _check_examples(task, length)
    sides = {side: _sources(sets(task, component, DATA)) for side, sets in _sides().items()}
    stream = training_stream(task, component, DATA, seeds=(0, 1), batch_size=50)
    batches = [stream.batch() for _ in range(40)]
    sides["training"] = {source.tobytes() for batch in batches for replica in batch.source for source in replica}
    assert all(sides.values())
    assert not sides["training"] & sides["validation"]
    assert not sides["training"] & sides["test"]
    assert not sides["validation"] & sides["test"]


def _options(name: str) -> dict:
    return {"distinct": False} if registry.task.entry(name).takes("distinct") else {}


def _sides() -> dict:
    return {"validation": validation_set, "test": test_set}


def _sources(parts) -> set:
    return {source.tobytes() for part in parts for source in part.source}


def _check_examples(task, length: int) -> None:
    first, again, other = (task.generate(np.random.default_rng(seed), length, 40) for seed in (3, 3, 4))
    for examples, same in ((again, True), (other, False)):
        assert np.array_equal(first.source, examples.source) is same
    assert np.array_equal(first.target, again.target)
    assert np.array_equal(first.links, again.links)
    source, target, links = first.source, first.target, first.links
    size = image_size(task)
    assert source.shape == ((40, length) if size is None else (40, *size))
    assert target.shape[0] == 40
    words = [(target, task.target_words)] + ([] if size else [(source, task.source_words)])
    for ids, names in words:
        assert ids.dtype == np.int64
        assert ids.max() < len(names)
    if size:
        assert source.dtype == np.float32
        assert source.min() >= 0
        assert source.max() <= 1
    else:
        assert (source >= len(SPECIAL)).all()
    assert ((target >= len(SPECIAL)) | (target == PAD)).all()
    # As torch needs them.
    for array in (source, target, links, first.possible):
        assert array is None or (array.flags.writeable and all(stride > 0 for stride in array.strides))
    if links is not None:
        assert (links.shape, links.dtype) == ((*target.shape, patches(size) if size else length), np.bool_)
        assert (links.any(axis=-1) | (target == PAD)).all(), "a target word without a link"
        assert not links[target == PAD].any(), "a link of padding"
    if first.possible is not None:
        assert (first.possible.shape, first.possible.dtype) == (links.shape, np.bool_)
        assert not (links & ~first.possible).any(), "a sure link that is not possible"
        assert not first.possible[target == PAD].any(), "a possible link of padding"
