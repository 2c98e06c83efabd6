"""The additive score with location features: a convolution over the weights of the previous step."""

from typing import Literal

from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from attnbench.option_types import OddInt
from attnbench.registry import score
from attnbench.scores.base import StatefulScore, lengthened
from attnbench.scores.hidden_layer import hidden_layer_logits


@score("location_conv")
class LocationConv(StatefulScore):
    """Additive score with the weights of the previous step around each position as an input.

    Formula: score(s, h_i) = vᵀ tanh(W s + V h_i + U f_i + b), with f = F * α_{t−1}, a convolution
    Source: Chorowski et al. 2015, eq. 8–9 (arXiv 1506.07503)

    F has `filters` filters over `kernel` positions, an odd number. With `over: sum` it is applied to the sum of the
    weights of all earlier steps instead of α_{t−1} (`over: last`). At the first step the weights are 0.

    Parameters: `query_proj.weight` W (D,D), `key_proj.weight` V (D,D), `filter.weight` F (filters, kernel),
    `feature_proj.weight` U (D, filters) and `feature_proj.bias` b (D), and `v.weight` (1,D).
    """

    def __init__(
        self,
        width: int,
        filters: PositiveInt = 8,
        kernel: OddInt = 5,
        over: Literal["last", "sum"] = "last",
    ) -> None:
        super().__init__()
        self.kernel, self.over = kernel, over
        self.query_proj = nn.Linear(width, width, bias=False)
        self.key_proj = nn.Linear(width, width, bias=False)
        self.filter = nn.Linear(kernel, filters, bias=False)
        self.feature_proj = nn.Linear(filters, width)
        self.v = nn.Linear(width, 1, bias=False)

    def prepare(self, keys: Tensor) -> Tensor:
        """Returns 2 V h (B,S,D), which `hidden_layer_logits` needs."""
        return 2 * self.key_proj(keys)

    def start(self, prepared: Tensor) -> Tensor:
        """Returns the weights before the first step, 0 (B,S)."""
        return prepared.new_zeros(prepared.shape[:2])

    def compare(self, query: Tensor, prepared: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        state = lengthened(state, prepared.shape[-2])
        # Padded positions have weight 0, as have those beyond the ends: padding has no influence.
        around = functional.pad(state, (self.kernel // 2, self.kernel // 2)).unfold(-1, self.kernel, 1)  # (B,S,kernel)
        queries = self.query_proj(query) + self.feature_proj.bias
        # (U F) α in place of U (F α): the features of all positions and steps are then not kept in memory.
        matrix = self.feature_proj.weight @ self.filter.weight
        return hidden_layer_logits(queries, prepared, self.v.weight[0], around, matrix), state

    def update(self, state: Tensor, weights: Tensor) -> Tensor:
        """Returns α_t, or the sum of the weights so far (B,S)."""
        last = weights.squeeze(-2)
        return last if self.over == "last" else state + last
