"""The additive score with coverage: the sum of the weights of all earlier steps."""

import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn

from attnbench.registry import score
from attnbench.scores.base import StatefulScore, lengthened
from attnbench.scores.hidden_layer import hidden_layer_logits


@score("coverage")
class Coverage(StatefulScore):
    """Additive score with the summed weights of each position as an input, and a loss that discourages attending again.

    Formula: score(s, h_i) = vᵀ tanh(W s + V h_i + w c_i), with c = Σ_{t'<t} α_{t'}; loss: λ Σ_i min(α_i, c_i)
    Source: See, Liu & Manning 2017 (arXiv 1704.04368)

    λ is the option `weight`. The loss is a mean over the target words; `loss` in tables does not include it.

    Parameters: `query_proj.weight` W (D,D), `key_proj.weight` V (D,D), `coverage_proj.weight` w (D,1) and `v.weight`
    (1,D).
    """

    def __init__(self, width: int, weight: NonNegativeFloat = 1.0) -> None:
        super().__init__()
        self.weight = weight
        self.query_proj = nn.Linear(width, width, bias=False)
        self.key_proj = nn.Linear(width, width, bias=False)
        self.coverage_proj = nn.Linear(1, width, bias=False)
        self.v = nn.Linear(width, 1, bias=False)

    def prepare(self, keys: Tensor) -> Tensor:
        """Returns 2 V h (B,S,D), which `hidden_layer_logits` needs."""
        return 2 * self.key_proj(keys)

    def start(self, prepared: Tensor) -> Tensor:
        """Returns the coverage before the first step, 0 (B,S)."""
        return prepared.new_zeros(prepared.shape[:2])

    def compare(self, query: Tensor, prepared: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        state = lengthened(state, prepared.shape[-2])
        queries = self.query_proj(query)
        return hidden_layer_logits(
            queries, prepared, self.v.weight[0], state.unsqueeze(-1), self.coverage_proj.weight
        ), state

    def update(self, state: Tensor, weights: Tensor) -> Tensor:
        """Returns the coverage (B,S) after a step with weights (B,1,S)."""
        return state + weights.squeeze(-2)

    def penalty(self, weights: Tensor) -> Tensor:
        """Returns λ Σ_i min(α_{t,i}, c_{t,i}) (B,T) of the weights (B,T,S) of all steps."""
        earlier = weights.cumsum(-2) - weights
        return self.weight * torch.minimum(weights, earlier).sum(-1)
