"""The softpick: a rectified softmax."""

import torch
from torch import Tensor, nn

from attnbench.normalisers.positions import precise, used
from attnbench.registry import normaliser

EPSILON = 1e-6


@normaliser("softpick")
class Softpick(nn.Module):
    """Rectified softmax: a position with a logit of 0 or below has no weight, and a query may attend to nothing.

    Formula: α_i = relu(exp(z_i) − 1) / (Σ_j |exp(z_j) − 1| + ε), with ε = 1e-6
    Source: Zuhri, Fuadi & Aji 2025 (arXiv 2504.20966)
    """

    def forward(self, logits: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns the weights (B,T,S); exactly 0 outside the mask, and in a row without valid positions."""
        allowed, given = used(logits, mask), precise(logits)
        given = given.masked_fill(~allowed, 0)  # exp(0) − 1 = 0 adds nothing to the sum
        # Numerator and denominator are multiplied by exp(−m), m = max(z, 0), so that no exponential overflows.
        largest = given.amax(-1, keepdim=True).clamp(min=0).detach()
        # |exp(z) − 1| = exp(max(z, 0)) (1 − exp(−|z|)): a difference of exponentials would round small logits.
        size = (given.clamp(min=0) - largest).exp() * -torch.expm1(-given.abs())
        weights = size / (size.sum(-1, keepdim=True) + EPSILON * (-largest).exp())
        return weights.masked_fill(~allowed | (given <= 0), 0).to(logits.dtype)
