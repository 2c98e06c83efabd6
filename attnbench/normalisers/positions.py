"""Which positions a normaliser weighs, how many they are, and the precision that it computes in."""

import torch
from torch import Tensor


def used(logits: Tensor, mask: Tensor | None) -> Tensor:
    """Returns the positions (B,T,S) that a query may use: those in the mask whose logit is not −∞."""
    finite = logits != -torch.inf
    return finite if mask is None else finite & mask


def number_of(positions: Tensor) -> Tensor:
    """Returns n (B,T,1), the number of positions (B,T,S) that a query may use, in float32; at least 1."""
    return positions.sum(-1, keepdim=True).clamp(min=1).float()


def precise(logits: Tensor) -> Tensor:
    """Returns the logits in float32 if they are less precise, as the softmax of torch computes internally."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
