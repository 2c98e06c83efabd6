"""Local attention with predictive alignment: the query says where its window is."""

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from attnbench.registry import scope
from attnbench.scopes.masking import masked_softmax


@scope("local-p")
class LocalPredictive(nn.Module):
    """Looks at a window around a position that the query predicts, favouring its centre.

    Formula: α_t = softmax(e_t) over |i − ⌊p_t⌋| ≤ W, times exp(−(i−p_t)²/(2σ²)), σ = W/2,
        with p_t = (L_b − 1) · sigmoid(v_pᵀ tanh(W_p s))
    Source: Luong, Pham & Manning 2015, eq. 9–10 (arXiv 1508.04025)

    `window` is W. The weights are not renormalised after the Gaussian, so a row sums to at most 1. The gradient
    reaches p_t through the Gaussian alone: the window's edge is a step.
    """

    def __init__(self, width: int, window: PositiveInt = 10) -> None:
        super().__init__()
        self.window = window
        self.deviation = window / 2
        self.centre_proj = nn.Linear(width, width, bias=False)
        self.centre_v = nn.Linear(width, 1, bias=False)

    def forward(self, logits: Tensor, mask: Tensor | None, query: Tensor, lengths: Tensor, step: int) -> Tensor:
        """Weights (B,T,S)."""
        del step
        last = (lengths - 1).view(-1, 1, 1)
        share = self.centre_v(self.centre_proj(query).tanh()).sigmoid()
        # bfloat16 has no whole numbers of its own above 256: positions need more.
        centre = last * share.to(torch.promote_types(share.dtype, torch.float32))  # (B,T,1)
        positions = torch.arange(logits.shape[-1], device=logits.device)
        near = (positions - centre.floor()).abs() <= self.window
        weights = masked_softmax(logits, near if mask is None else near & mask)
        gaussian = torch.exp(-((positions - centre) ** 2) / (2 * self.deviation**2))
        return weights * gaussian.to(weights.dtype)
