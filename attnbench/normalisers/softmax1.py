"""The softmax with a sink."""

from typing import Literal

import torch
from torch import Tensor, nn

from attnbench.normalisers.positions import precise, used
from attnbench.registry import normaliser


@normaliser("softmax1")
class Softmax1(nn.Module):
    """Softmax with an additional position that has no value, the sink: a query may attend to nothing.

    Formula: α_i = exp(z_i) / (exp(b) + Σ_j exp(z_j))
    Source: Miller 2023, "Attention is off by one"; a learned b: OpenAI 2025, gpt-oss model card (arXiv 2508.10925)

    The logit b of the sink is 0 with `sink: zero`, and a parameter `sink_logit` (), initially 0, with `sink: learned`.
    """

    def __init__(self, sink: Literal["zero", "learned"] = "zero") -> None:
        super().__init__()
        self.sink_logit = nn.Parameter(torch.zeros(())) if sink == "learned" else None

    def forward(self, logits: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns the weights (B,T,S); exactly 0 outside the mask, and in a row without valid positions."""
        allowed, given = used(logits, mask), precise(logits)
        sink = torch.zeros_like(given[..., :1])
        if self.sink_logit is not None:
            sink = sink + self.sink_logit
        weights = torch.cat([given.masked_fill(~allowed, -torch.inf), sink], dim=-1).softmax(-1)[..., :-1]
        return weights.masked_fill(~allowed, 0).to(logits.dtype)
