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


def below_largest(logits: Tensor, allowed: Tensor) -> Tensor:
    """Returns the logits minus the largest allowed one of their row, for weights that depend on differences alone.

    The differences of logits that are near each other are exact, however large the logits are: what is multiplied
    afterwards is not rounded at the size of the logits. No gradient passes through the largest logit.

    Args:
        logits: (B,T,S).
        allowed: (B,T,S), True at the positions that a query may use.

    Returns:
        (B,T,S) in the precision of `precise`, at most 0; finite and very small outside `allowed`, and 0 in a row
        without allowed positions.
    """
    given = precise(logits)
    # The smallest number and not −∞: a row without allowed positions would be NaN.
    given = given.masked_fill(~allowed, torch.finfo(given.dtype).min)
    return given - given.amax(-1, keepdim=True).detach()
