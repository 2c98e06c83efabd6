"""The softmax."""

from torch import Tensor, nn

from attnbench.masking import masked_log_softmax, masked_softmax
from attnbench.registry import normaliser


@normaliser("softmax")
class Softmax(nn.Module):
    """Weights in proportion to the exponentials of the logits.

    Formula: α_i = exp(z_i) / Σ_j exp(z_j)
    Source: Bahdanau, Cho & Bengio 2015, eq. 6 (arXiv 1409.0473)
    """

    sums_to_one = True
    positive = True

    def forward(self, logits: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns the weights (B,T,S); exactly 0 outside the mask, and in a row without valid positions."""
        return masked_softmax(logits, mask)

    def log_weights(self, logits: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns log α (B,T,S), computed from the logits; −∞ at excluded positions."""
        return masked_log_softmax(logits, mask)
