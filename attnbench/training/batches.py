"""Examples as tensors: EOS and BOS are added here."""

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


def to_batch(examples: Examples, device: torch.device) -> Batch:
    """The batch of the examples; any leading axes are kept."""
    edge = [(0, 0)] * (examples.source.ndim - 1)
    source = np.pad(examples.source, [*edge, (0, 1)], constant_values=EOS)
    target = np.pad(examples.target, [*edge, (0, 1)], constant_values=PAD)
    ends = (target != PAD).sum(-1, keepdims=True)
    np.put_along_axis(target, ends, EOS, axis=-1)
    previous = np.pad(target[..., :-1], [*edge, (1, 0)], constant_values=BOS)
    return Batch(*(torch.as_tensor(a, dtype=torch.long, device=device) for a in (source, previous, target)))
