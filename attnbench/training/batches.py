"""Examples as tensors: EOS and BOS are added here."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from attnbench.tasks.base import BOS, EOS, PAD, Examples


class Batch(NamedTuple):
    """Sentences of one source length, with EOS. During training each tensor has a leading axis K.

    Shapes: source (…,B,S); previous, the word before each target word, (…,B,T); target (…,B,T), PAD beyond its EOS.
    """

    source: Tensor
    previous: Tensor
    target: Tensor


class PaddedBatch(NamedTuple):
    """Sentences of several source lengths, filled up with PAD.

    Shapes: as a Batch's; lengths (B,) of the sources, EOS included.
    """

    source: Tensor
    previous: Tensor
    target: Tensor
    lengths: Tensor


def to_padded_batch(groups: Sequence[Examples], device: torch.device) -> Batch | PaddedBatch:
    """The examples of several groups as one batch, padded where their source lengths differ."""
    longest = max(group.source.shape[1] for group in groups)
    filled = [np.pad(group.source, ((0, 0), (0, longest - group.source.shape[1]))) for group in groups]
    lengths = np.concatenate([np.full(len(group), group.source.shape[1]) for group in groups])
    batch = to_batch(Examples(np.concatenate(filled), joined_targets(groups), None), device)
    if (lengths == longest).all():
        return batch
    ends = torch.as_tensor(lengths, dtype=torch.long, device=device).unsqueeze(1)
    # Every source ended in EOS behind the padding; the shorter ones end behind their own words.
    source = batch.source.scatter(1, torch.full_like(ends, longest), PAD).scatter(1, ends, EOS)
    return PaddedBatch(source, batch.previous, batch.target, ends.squeeze(1) + 1)


def joined_targets(groups: Sequence[Examples]) -> np.ndarray:
    """The targets of several groups (N,T), filled up with PAD to the longest."""
    longest = max(group.target.shape[1] for group in groups)
    return np.concatenate([np.pad(g.target, ((0, 0), (0, longest - g.target.shape[1]))) for g in groups])


def joined_links(groups: Sequence[Examples]) -> np.ndarray | None:
    """The gold links of several groups (N,T,S), False where there is nothing; None where a group has none."""
    rows, columns = (max(getattr(g, name).shape[1] for g in groups) for name in ("target", "source"))
    links = [g.links for g in groups if g.links is not None]
    if len(links) < len(groups):
        return None
    return np.concatenate([np.pad(a, ((0, 0), (0, rows - a.shape[1]), (0, columns - a.shape[2]))) for a in links])


def to_batch(examples: Examples, device: torch.device) -> Batch:
    """The batch of the examples; any leading axes are kept."""
    edge = [(0, 0)] * (examples.source.ndim - 1)
    source = np.pad(examples.source, [*edge, (0, 1)], constant_values=EOS)
    target = np.pad(examples.target, [*edge, (0, 1)], constant_values=PAD)
    ends = (target != PAD).sum(-1, keepdims=True)
    np.put_along_axis(target, ends, EOS, axis=-1)
    previous = np.pad(target[..., :-1], [*edge, (1, 0)], constant_values=BOS)
    return Batch(*(torch.as_tensor(a, dtype=torch.long, device=device) for a in (source, previous, target)))
