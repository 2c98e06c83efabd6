"""Which positions are valid, and the one softmax that every scope uses."""

import torch
from torch import Tensor


def masked_softmax(logits: Tensor, mask: Tensor | None) -> Tensor:
    """Softmax over the last axis, with exactly zero weight outside the mask.

    Args:
        logits: (B,T,S); −∞ excludes a position too.
        mask: bool, broadcasts to (B,T,S), True where a position may be used; None where all may be.

    Returns:
        (B,T,S). Every row sums to 1, but for a row without any allowed position: that is all zero.
    """
    if mask is None:
        return logits.softmax(-1)
    # NaN is not −∞: it stays allowed and shows as NaN, so that a diverged model is seen.
    allowed = mask & (logits != -torch.inf)
    # A row of −∞ alone comes out of the softmax as NaN: the second filling makes it 0, the first its gradient.
    return logits.masked_fill(~allowed, -torch.inf).softmax(-1).masked_fill(~allowed, 0)


def valid_positions(lengths: Tensor | None, source_length: int) -> Tensor | None:
    """(B,S), True on the positions of each sentence of the given lengths (B,); None where every sentence has S."""
    return None if lengths is None else torch.arange(source_length, device=lengths.device) < lengths.unsqueeze(-1)
