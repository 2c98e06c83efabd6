"""The alignments that are kept for pictures: of a few test sentences, and of one while training forms it."""

from typing import NamedTuple

import numpy as np
import torch

from attnbench.outcome import Alignments
from attnbench.tasks.base import EOS, PAD, Examples, Task
from attnbench.training.batches import to_batch
from attnbench.training.stack import Stack

EXAMPLES = 8  # test sentences whose alignment is kept


class Sentences(NamedTuple):
    """Words of N sentences, weights (K,N,T,S) of all replicas and (K,N,H,T,S) of each head, gold links (N,T,S)."""

    source: list[list[str]]
    target: list[list[str]]
    weights: np.ndarray
    heads: np.ndarray
    links: np.ndarray


class Formation:
    """How the alignment of one validation sentence forms: untrained, at validations 1, 2, 4, 8, … and the last."""

    def __init__(self, validation: list[Examples], task: Task) -> None:
        self._example = validation[-1][:1]
        self._task = task
        self._validations = -1  # the first note is of the untrained model
        self._steps: list[int] = []
        self._kept: list[Sentences] = []

    def note(self, step: int, stack: Stack, device: torch.device) -> None:
        """Notes the weights after `step` steps. The latest stands until a later one comes that is kept for good."""
        if self._validations > 0 and not _power_of_two(self._validations):
            self._steps.pop()
            self._kept.pop()
        self._steps.append(step)
        self._kept.append(read(stack, self._example, self._task, device))
        self._validations += 1

    def join(self, tested: Sentences, replica: int) -> Alignments:
        """The alignments of one replica, with those of the tested sentences."""
        last = self._kept[-1]
        return Alignments(
            source=tested.source,
            target=tested.target,
            weights=tested.weights[replica],
            links=tested.links,
            forming_source=last.source[0],
            forming_target=last.target[0],
            forming_links=last.links[0] if len(last.links) else last.links,
            forming=np.stack([kept.weights[replica, 0] for kept in self._kept]),
            steps=np.array(self._steps),
            heads=tested.heads[replica],
            forming_heads=np.stack([kept.heads[replica, 0] for kept in self._kept]),
        )


def _power_of_two(number: int) -> bool:
    return number & (number - 1) == 0


def test_alignments(stack: Stack, groups: list[Examples], task: Task, device: torch.device) -> Sentences:
    """The alignments of some sentences of a test set: of each length one, the longest first, then the next."""
    rounds = [group[n : n + 1] for n in range(EXAMPLES) for group in reversed(groups) if len(group) > n]
    found = [read(stack, example, task, device) for example in rounds[:EXAMPLES]]
    height = max(f.weights.shape[2] for f in found)
    width = max(f.weights.shape[3] for f in found)
    with_gold = all(len(f.links) for f in found)
    return Sentences(
        [words for f in found for words in f.source],
        [words for f in found for words in f.target],
        np.concatenate([_fill(f.weights, height, width) for f in found], axis=1),
        np.concatenate([_fill(f.heads, height, width) for f in found], axis=1),
        np.concatenate([_fill(f.links, height, width) for f in found]) if with_gold else np.zeros((0, 0, 0), bool),
    )


def read(stack: Stack, example: Examples, task: Task, device: torch.device) -> Sentences:
    """The alignment of one sentence (N=1) under forced decoding, EOS included; its links are empty without gold."""
    batch = to_batch(example, device)
    weights = stack.forced(batch)[1].numpy(force=True)
    heads = stack.each_head(batch).numpy(force=True)
    source = [task.source_words[i] for i in batch.source[0].tolist()]
    target = [task.target_words[i] for i in batch.target[0].tolist() if i != PAD]
    links = np.zeros((0, 0, 0), bool) if example.links is None else np.pad(example.links, ((0, 0), (0, 1), (0, 1)))
    assert source[-1] == task.source_words[EOS]
    rows = len(target)
    return Sentences([source], [target], weights[:, :, :rows], heads[:, :, :, :rows], links[:, :rows])


def _fill(array: np.ndarray, height: int, width: int) -> np.ndarray:
    edge = [(0, 0)] * (array.ndim - 2)
    return np.pad(array, [*edge, (0, height - array.shape[-2]), (0, width - array.shape[-1])])
