"""Examples as tensors: where EOS, BOS and PAD stand."""

import numpy as np
import torch
from small_packs import CPU

from attnbench.tasks.base import Examples
from attnbench.training.batches import Batch, PaddedBatch, joined_links, to_batch, to_padded_batch

SOURCE = np.array([[5, 3, 4], [6, 6, 7]])
TARGET = np.array([[8, 9, 0, 0], [3, 4, 5, 6]])


def test_eos_ends_source_and_target_and_bos_begins_what_is_fed():
    batch = to_batch(Examples(SOURCE, TARGET, None), CPU)
    assert batch.source.tolist() == [[5, 3, 4, 2], [6, 6, 7, 2]]
    assert batch.target.tolist() == [[8, 9, 2, 0, 0], [3, 4, 5, 6, 2]]
    # The word before each target word; what stands beyond the end is never scored.
    assert batch.previous[0, :3].tolist() == [1, 8, 9]
    assert batch.previous[1].tolist() == [1, 3, 4, 5, 6]
    assert {each.dtype for each in batch} == {torch.long}


def test_an_empty_target_is_eos_alone():
    batch = to_batch(Examples(SOURCE, np.zeros((2, 2), int), None), CPU)
    assert batch.target.tolist() == [[2, 0, 0], [2, 0, 0]]
    assert batch.previous[:, 0].tolist() == [1, 1]


def test_a_replica_axis_is_kept():
    """Each replica's batch is what it is by itself."""
    stacked = to_batch(Examples(np.stack([SOURCE, SOURCE + 1]), np.stack([TARGET, TARGET[::-1]]), None), CPU)
    singles = [to_batch(Examples(s, t, None), CPU) for s, t in ((SOURCE, TARGET), (SOURCE + 1, TARGET[::-1]))]
    for k, single in enumerate(singles):
        for found, expected in zip(stacked, single, strict=True):
            assert torch.equal(found[k], expected)


def test_the_examples_are_left_as_they_were():
    source, target = SOURCE.copy(), TARGET.copy()
    to_batch(Examples(source, target, None), CPU)
    assert (source == SOURCE).all()
    assert (target == TARGET).all()


SHORT = Examples(np.array([[9]]), np.array([[7, 8, 6]]), np.ones((1, 3, 1), bool))
LONG = Examples(SOURCE, TARGET, np.ones((2, 4, 3), bool))


def test_sentences_of_several_lengths_are_padded_each_behind_its_own_end():
    batch = to_padded_batch([SHORT, LONG], CPU)
    assert isinstance(batch, PaddedBatch)
    assert batch.source.tolist() == [[9, 2, 0, 0], [5, 3, 4, 2], [6, 6, 7, 2]]
    assert batch.lengths.tolist() == [2, 4, 4]
    assert batch.target.tolist() == [[7, 8, 6, 2, 0], [8, 9, 2, 0, 0], [3, 4, 5, 6, 2]]
    assert batch.previous[:, 0].tolist() == [1, 1, 1]


def test_sentences_of_one_length_are_not_padded():
    batch = to_padded_batch([LONG, LONG], CPU)
    assert isinstance(batch, Batch)
    assert batch.source.tolist() == 2 * [[5, 3, 4, 2], [6, 6, 7, 2]]


def test_links_are_joined_and_are_nothing_beyond_a_sentence():
    links = joined_links([SHORT, LONG])
    assert links.shape == (3, 4, 3)
    assert links[0].tolist() == [[True, False, False]] * 3 + [[False] * 3]
    assert links[1:].all()
    assert joined_links([SHORT, Examples(SOURCE, TARGET, None)]) is None
