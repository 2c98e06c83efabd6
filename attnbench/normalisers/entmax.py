"""The α-entmax."""

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from attnbench.normalisers.simplex import simplex_weights
from attnbench.registry import normaliser


@normaliser("entmax")
class Entmax(nn.Module):
    """Weights between the softmax (α → 1) and the sparsemax (α = 2): sparse, with α = `alpha` above 1 and at most 4.

    Formula: α_i = [(α − 1) z_i − τ]₊^{1/(α−1)}, with the τ for which Σ_i α_i = 1
    Source: Peters, Niculae & Martins 2019 (arXiv 1905.05702)

    The threshold τ is computed by sorting for 1.5 and 2, and by bisection for any other `alpha`, which takes longer.
    """

    sums_to_one = True

    def __init__(self, alpha: Annotated[float, Field(gt=1, le=4)] = 1.5) -> None:
        super().__init__()
        self.alpha = float(alpha)

    def forward(self, logits: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns the weights (B,T,S); exactly 0 outside the mask, and in a row without valid positions."""
        return simplex_weights(logits, mask, self.alpha)
