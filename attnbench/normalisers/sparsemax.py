"""The sparsemax."""

from torch import Tensor, nn

from attnbench.normalisers.simplex import simplex_weights
from attnbench.registry import normaliser


@normaliser("sparsemax")
class Sparsemax(nn.Module):
    """The nearest point of the probability simplex: most weights are exactly 0.

    Formula: α = argmin_p ‖p − z‖² over p ≥ 0, Σ_i p_i = 1, which is α_i = [z_i − τ]₊
    Source: Martins & Astudillo 2016 (arXiv 1602.02068)
    """

    sums_to_one = True

    def forward(self, logits: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns the weights (B,T,S); exactly 0 outside the mask, and in a row without valid positions."""
        return simplex_weights(logits, mask, 2.0)
