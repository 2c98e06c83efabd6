"""The mask of valid positions, the masked softmax, and the logarithms of weights."""

import torch
from torch import Tensor, nn


def masked_softmax(logits: Tensor, mask: Tensor | None) -> Tensor:
    """Returns the softmax over the last axis, with exactly zero weight outside the mask.

    Args:
        logits: (B,T,S); a logit of −∞ also excludes its position.
        mask: bool, broadcasts to (B,T,S), True where a position may be used; None if all positions may be used.

    Returns:
        (B,T,S). Every row sums to 1, except rows without any allowed position, which are all 0.
    """
    if mask is None:
        return logits.softmax(-1)
    # Masking after the softmax and dividing by the sum would be 0/0 if all valid logits are far below the masked ones.
    # A logit of NaN stays allowed, so that the NaN of a diverged model is not hidden.
    allowed = mask & (logits != -torch.inf)
    # The softmax of a row of −∞ only is NaN. The second fill sets its weights to 0, the first one its gradient.
    return logits.masked_fill(~allowed, -torch.inf).softmax(-1).masked_fill(~allowed, 0)


def masked_log_softmax(logits: Tensor, mask: Tensor | None) -> Tensor:
    """Returns the logarithm of `masked_softmax` (B,T,S), computed from the logits.

    It is exact, with the right gradient, also where the weight underflows to 0 (in float32, 104 below the largest
    logit). At excluded positions it is −∞, with a gradient of 0; a row without allowed positions is all −∞.
    """
    if mask is None:
        return logits.log_softmax(-1)
    allowed = mask & (logits != -torch.inf)
    return logits.masked_fill(~allowed, -torch.inf).log_softmax(-1).masked_fill(~allowed, -torch.inf)


def log_weights_of(normaliser: nn.Module, logits: Tensor, mask: Tensor | None) -> Tensor:
    """Returns the logarithms (B,T,S) of the weights of a normaliser, −∞ where a weight is 0.

    They are those of its method `log_weights`, if it has one, which should compute them from the logits. Otherwise a
    position whose weight underflows to 0 has no gradient.
    """
    own = getattr(normaliser, "log_weights", None)
    if own is not None:
        return own(logits, mask)
    weights = normaliser(logits, mask)
    # log 1 instead of log 0, whose gradient is infinite.
    return torch.where(weights > 0, weights, 1).log().masked_fill(weights == 0, -torch.inf)


def valid_positions(lengths: Tensor | None, source_length: int) -> Tensor | None:
    """Returns the mask (B,S) that is True at positions below `lengths` (B,); None if `lengths` is None."""
    return None if lengths is None else torch.arange(source_length, device=lengths.device) < lengths.unsqueeze(-1)
