"""Local attention with monotonic alignment: a window that moves with the step."""

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from attnbench.registry import scope
from attnbench.scopes.masking import masked_softmax


@scope("local-m")
class LocalMonotonic(nn.Module):
    """Looks only at a window around the position that has the number of the step.

    Formula: α_t = softmax(e_t) over |i − p_t| ≤ W, with p_t = min(t, L_b − 1)
    Source: Luong, Pham & Manning 2015, §3.2, "local-m" (arXiv 1508.04025)

    `window` is W. Positions outside the sentence are left out of the softmax, they take no mass.
    """

    def __init__(self, window: PositiveInt = 10) -> None:
        super().__init__()
        self.window = window

    def forward(self, logits: Tensor, mask: Tensor | None, query: Tensor, lengths: Tensor, step: int) -> Tensor:
        """Weights (B,T,S)."""
        del query
        steps = torch.arange(step, step + logits.shape[-2], device=logits.device)
        centre = torch.minimum(steps, lengths.unsqueeze(-1) - 1).unsqueeze(-1)  # (B,T,1)
        positions = torch.arange(logits.shape[-1], device=logits.device)
        near = (positions - centre).abs() <= self.window
        return masked_softmax(logits, near if mask is None else near & mask)
