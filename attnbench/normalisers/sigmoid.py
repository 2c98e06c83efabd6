"""The sigmoid."""

from torch import Tensor, nn

from attnbench.normalisers.positions import number_of, precise, used
from attnbench.registry import normaliser


@normaliser("sigmoid")
class Sigmoid(nn.Module):
    """Each weight depends on its own logit and on the number of positions alone; a row may have any sum.

    Formula: α_i = σ(z_i − ln n)
    Source: Ramapuram et al. 2024 (arXiv 2409.04431)

    n is the number of positions that the query may use: for logits of 0, a row sums to about 1.
    """

    def forward(self, logits: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns the weights (B,T,S); exactly 0 outside the mask, and in a row without valid positions."""
        allowed, given = used(logits, mask), precise(logits)
        weights = (given - number_of(allowed).to(given.dtype).log()).sigmoid()
        return weights.masked_fill(~allowed, 0).to(logits.dtype)
