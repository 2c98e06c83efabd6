"""The scalable softmax."""

import math

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from attnbench.masking import masked_log_softmax, masked_softmax
from attnbench.normalisers.positions import below_largest, number_of, used
from attnbench.registry import normaliser


@normaliser("ssmax")
class ScalableSoftmax(nn.Module):
    """Softmax of logits that grow with the number of positions, so that long sources do not flatten the weights.

    Formula: α = softmax(s · ln n · z)
    Source: Nakanishi 2025 (arXiv 2501.19399)

    n is the number of positions that the query may use. The parameter is `scale` = s (), one per attention head. It is
    initially 1/ln(`max_source_length`), so that for a source of that length the weights are those of the softmax.
    """

    sums_to_one = True
    positive = True

    def __init__(self, max_source_length: PositiveInt) -> None:
        super().__init__()
        # A source of one position has one weight, 1, whatever the scale.
        self.scale = nn.Parameter(torch.tensor(1 / math.log(max(max_source_length, 2))))

    def forward(self, logits: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns the weights (B,T,S); exactly 0 outside the mask, and in a row without valid positions."""
        return masked_softmax(*self._scaled(logits, mask)).to(logits.dtype)

    def log_weights(self, logits: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns log α (B,T,S), computed from the logits; −∞ at excluded positions."""
        return masked_log_softmax(*self._scaled(logits, mask)).to(logits.dtype)

    def _scaled(self, logits: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Returns the scaled logits and the mask of the positions to use."""
        allowed = used(logits, mask)
        below = below_largest(logits, allowed)
        return self.scale * number_of(allowed).to(below.dtype).log() * below, allowed
