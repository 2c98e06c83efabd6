"""The Gaussian mixture score: windows over positions that move forward."""

import math

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from attnbench.registry import score
from attnbench.scores.base import StatefulScore

# Least standard deviation, in positions: a narrower window would fall between two positions.
NARROWEST = 0.1


@score("gmm")
class GaussianMixture(StatefulScore):
    """Mixture of Gaussian windows over positions whose centres move forward at each step; the keys are not used.

    Formula: score(s, i) = log Σ_k w_k N(i; κ_k, σ_k²), with κ_t = κ_{t−1} + softplus(κ̂), w = softmax(ŵ),
        σ = softplus(σ̂) + 0.1 and [ŵ; κ̂; σ̂] = W_o tanh(W_h s + b_h) + b_o
    Source: Graves 2013 (arXiv 1308.0850), in the version of Battenberg et al. 2019 (arXiv 1910.10288)

    The mixture has `components` windows, which begin at κ_{−1} = 0. N is the density of the normal distribution.

    Parameters: `hidden_proj` W_h (D,D) and b_h, `window_proj` W_o (3K,D) and b_o, with K components.
    """

    def __init__(self, width: int, components: PositiveInt = 5) -> None:
        super().__init__()
        self.components = components
        self.hidden_proj = nn.Linear(width, width)
        self.window_proj = nn.Linear(width, 3 * components)

    def start(self, prepared: Tensor) -> Tensor:
        """Returns κ_{−1} = 0 (B,K)."""
        return prepared.new_zeros(len(prepared), self.components)

    def compare(self, query: Tensor, prepared: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        windows = self.window_proj(self.hidden_proj(query).tanh()).squeeze(-2)
        # In half precision, centres of a few hundred positions would be rounded to whole positions.
        windows = windows.to(torch.promote_types(windows.dtype, torch.float32))
        shares, moves, deviations = windows.chunk(3, dim=-1)  # (B,K) each
        centres = state + functional.softplus(moves)
        deviations = functional.softplus(deviations) + NARROWEST
        positions = torch.arange(prepared.shape[-2], device=prepared.device)
        distances = (positions - centres.unsqueeze(-1)) / deviations.unsqueeze(-1)  # (B,K,S)
        heights = shares.log_softmax(-1) - deviations.log() - math.log(2 * math.pi) / 2
        logits = (heights.unsqueeze(-1) - distances**2 / 2).logsumexp(-2, keepdim=True)
        return logits.to(query.dtype), centres
