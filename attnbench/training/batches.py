"""Batches: examples as tensors, with EOS and BOS added."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from attnbench.tasks.base import BOS, EOS, PAD, Examples, Task
from attnbench.tasks.pairs import UNKNOWN_ID


class Batch(NamedTuple):
    """Sentences of the same source length, with EOS, or images. In training each tensor has a leading axis K.

    Attributes:
        source: (…,B,S) ids, or images (…,B,H,W).
        previous: (…,B,T), the word before each target word, BOS first.
        target: (…,B,T), PAD after EOS.
    """

    source: Tensor
    previous: Tensor
    target: Tensor


class PaddedBatch(NamedTuple):
    """Sentences of different source lengths, padded with PAD.

    Attributes:
        source: (B,S) ids, PAD after EOS.
        previous: (B,T), the word before each target word, BOS first.
        target: (B,T), PAD after EOS.
        lengths: (B,), the lengths of the sources, EOS included.
    """

    source: Tensor
    previous: Tensor
    target: Tensor
    lengths: Tensor


def to_padded_batch(groups: Sequence[Examples], device: torch.device) -> Batch | PaddedBatch:
    """Returns the examples of several groups as one batch, which is padded if their source lengths differ."""
    if groups[0].images:
        return to_batch(Examples(np.concatenate([g.source for g in groups]), joined_targets(groups), None), device)
    longest = max(group.source.shape[1] for group in groups)
    filled = [np.pad(group.source, ((0, 0), (0, longest - group.source.shape[1]))) for group in groups]
    lengths = np.concatenate([np.full(len(group), group.source.shape[1]) for group in groups])
    batch = to_batch(Examples(np.concatenate(filled), joined_targets(groups), None), device)
    if (lengths == longest).all():
        return batch
    ends = torch.as_tensor(lengths, dtype=torch.long, device=device).unsqueeze(1)
    # to_batch has put EOS after the padding of every source; it is moved to the end of the words.
    source = batch.source.scatter(1, torch.full_like(ends, longest), PAD).scatter(1, ends, EOS)
    return PaddedBatch(source, batch.previous, batch.target, ends.squeeze(1) + 1)


def joined_targets(groups: Sequence[Examples]) -> np.ndarray:
    """Returns the targets of several groups (N,T), padded with PAD to the longest; unknown words keep their ids."""
    longest = max(group.target.shape[1] for group in groups)
    return np.concatenate([np.pad(g.target, ((0, 0), (0, longest - g.target.shape[1]))) for g in groups])


def joined_links(groups: Sequence[Examples], possible: bool = False) -> np.ndarray | None:
    """Returns the sure links of several groups (N,T,S), padded with False; None if any group has no links.

    With `possible` they are the links that are not wrong, which include the sure ones.
    """
    links = [found for g in groups if (found := g.any_links() if possible else g.links) is not None]
    if len(links) < len(groups):
        return None
    rows, columns = (max(each.shape[axis] for each in links) for axis in (1, 2))
    return np.concatenate([np.pad(a, ((0, 0), (0, rows - a.shape[1]), (0, columns - a.shape[2]))) for a in links])


def joined_references(groups: Sequence[Examples], references: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Returns all right targets of several groups (N,R,T), padded with PAD; `references` is that of the task."""
    found = [references(group.source) for group in groups]
    several, longest = (max(each.shape[axis] for each in found) for axis in (1, 2))
    return np.concatenate([np.pad(a, ((0, 0), (0, several - a.shape[1]), (0, longest - a.shape[2]))) for a in found])


def words_of(ids: np.ndarray, task: Task) -> list[str]:
    """Returns the words of a target (T,), without PAD; unknown words (negative ids) are the original ones."""
    unknown: list[str] = getattr(task, "unknown_words", [])
    return [task.target_words[i] if i >= 0 else unknown[-1 - i] for i in ids.tolist() if i != PAD]


def to_batch(examples: Examples, device: torch.device) -> Batch:
    """Returns the examples as a batch, on any number of leading axes. Images stay as they are.

    Target words outside the vocabulary (negative ids, see `Pairs`) become `<unk>`.
    """
    source, edge = examples.source, [(0, 0)] * (examples.target.ndim - 1)
    if not examples.images:
        source = np.pad(source, [*edge, (0, 1)], constant_values=EOS)
    known = np.where(examples.target < 0, UNKNOWN_ID, examples.target)
    target = np.pad(known, [*edge, (0, 1)], constant_values=PAD)
    # EOS follows the last word of each target, which may be before the end of the row.
    ends = (target != PAD).sum(-1, keepdims=True)
    np.put_along_axis(target, ends, EOS, axis=-1)
    previous = np.pad(target[..., :-1], [*edge, (1, 0)], constant_values=BOS)
    return Batch(*(_moved(array, device) for array in (source, previous, target)))


def _moved(array: np.ndarray, device: torch.device) -> Tensor:
    tensor = torch.as_tensor(array, dtype=torch.float32 if array.dtype.kind == "f" else torch.long)
    # From pinned memory, the copy does not wait for what the GPU has been given to compute.
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor
