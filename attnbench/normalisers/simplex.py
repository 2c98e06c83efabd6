"""The α-entmax for any α above 1, of which the sparsemax is the case α = 2."""

from typing import Any

import torch
from torch import Tensor

from attnbench.normalisers.positions import below_largest, used

# A bisection halves the interval of the threshold, which is at most 1 long, this many times.
HALVINGS = {torch.float32: 30, torch.float64: 60}


def simplex_weights(logits: Tensor, mask: Tensor | None, alpha: float) -> Tensor:
    """Returns the weights [(α − 1) z_i − τ]₊^{1/(α−1)}, with the τ for which they sum to 1.

    Args:
        logits: z (B,T,S).
        mask: broadcasts to (B,T,S), True where a position may be used; None if all positions may be used.
        alpha: α above 1; 2 gives the sparsemax.

    Returns:
        (B,T,S), exactly 0 outside the mask; a row without any position to use is all 0. First and second derivatives
        with respect to the logits are supported.
    """
    allowed = used(logits, mask)
    scaled = (alpha - 1) * below_largest(logits, allowed)
    return _Entmax.apply(scaled, alpha).masked_fill(~allowed, 0).to(logits.dtype)


class _Entmax(torch.autograd.Function):
    """The weights (…,S) of scaled logits x = (α − 1) z (…,S), the largest of which is 0.

    The gradient is that of the implicit function: with g_i = p_i^{2−α} on the support and 0 elsewhere,
    ∂p/∂z = diag(g) − g gᵀ / Σg (Peters, Niculae & Martins 2019, arXiv 1905.05702).
    """

    # The stack of replicas runs under torch.func.vmap. This flag, and setup_context separate from forward, are what
    # torch requires of a custom function there.
    generate_vmap_rule = True

    @staticmethod
    def forward(scaled: Tensor, alpha: float) -> Tensor:
        # The threshold is at least −1, so that a position below −1 has no weight, however small it is.
        scaled = scaled.clamp(min=-2)
        exact = {1.5: _threshold_entmax15, 2.0: _threshold_sparsemax}.get(alpha)
        threshold = _threshold_by_bisection(scaled, alpha) if exact is None else exact(scaled)
        weights = _power(scaled - threshold, 1 / (alpha - 1))
        return weights / weights.sum(-1, keepdim=True)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: Tensor) -> None:
        ctx.alpha = inputs[1]
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (weights,) = ctx.saved_tensors
        slope = _power(weights, 2 - ctx.alpha)
        scaled = gradient * slope
        scaled = scaled - slope * (scaled.sum(-1, keepdim=True) / slope.sum(-1, keepdim=True))
        return scaled / (ctx.alpha - 1), None


def _power(base: Tensor, exponent: float) -> Tensor:
    """Returns base^exponent where the base is positive, and 0 elsewhere, also for exponents of 0 or below."""
    positive = base > 0
    return torch.where(positive, torch.where(positive, base, 1) ** exponent, 0)


def _threshold_sparsemax(scaled: Tensor) -> Tensor:
    """Returns τ (…,1) for α = 2 by sorting (Martins & Astudillo 2016)."""
    largest = scaled.sort(-1, descending=True).values
    counts = torch.arange(1, scaled.shape[-1] + 1, device=scaled.device, dtype=scaled.dtype)
    thresholds = (largest.cumsum(-1) - 1) / counts  # if the support were the k largest
    return _at_support(thresholds, largest > thresholds)


def _threshold_entmax15(scaled: Tensor) -> Tensor:
    """Returns τ (…,1) for α = 1.5 by sorting (Peters, Niculae & Martins 2019)."""
    largest = scaled.sort(-1, descending=True).values
    counts = torch.arange(1, scaled.shape[-1] + 1, device=scaled.device, dtype=scaled.dtype)
    mean = largest.cumsum(-1) / counts
    variance = (largest * largest).cumsum(-1) / counts - mean * mean
    thresholds = mean - (1 / counts - variance).clamp(min=0).sqrt()  # if the support were the k largest
    return _at_support(thresholds, largest >= thresholds)


def _at_support(thresholds: Tensor, above: Tensor) -> Tensor:
    """Returns the threshold (…,1) of the largest support whose positions are all above it."""
    # A NaN is above nothing. The index stays valid, so that a diverged model has weights of NaN and not an error.
    return thresholds.gather(-1, (above.sum(-1, keepdim=True) - 1).clamp(min=0))


def _threshold_by_bisection(scaled: Tensor, alpha: float) -> Tensor:
    """Returns τ (…,1) for any α by bisection (Blondel, Martins & Niculae 2019, arXiv 1805.09717)."""
    # With the largest of n logits at 0, the weights sum to at least 1 for τ = −1 and to at most 1 for τ = −n^{1−α}.
    low = torch.full_like(scaled[..., :1], -1)
    high = torch.full_like(low, -(scaled.shape[-1] ** (1 - alpha)))
    for _ in range(HALVINGS[scaled.dtype]):
        middle = (low + high) / 2
        enough = _power(scaled - middle, 1 / (alpha - 1)).sum(-1, keepdim=True) >= 1
        low, high = torch.where(enough, middle, low), torch.where(enough, high, middle)
    return low
