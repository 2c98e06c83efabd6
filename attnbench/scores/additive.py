"""The additive score: a feed-forward network with one hidden layer."""

from pydantic import PositiveInt
from torch import Tensor, nn

from attnbench.registry import score
from attnbench.scores.base import Score
from attnbench.scores.hidden_layer import hidden_layer_logits


@score("additive")
class Additive(Score):
    """Feed-forward network with one hidden layer of `hidden` units (default: D).

    Formula: score(s, h) = vᵀ tanh(W_q s + W_k h) = vᵀ tanh(W_a [s; h])
    Source: Bahdanau, Cho & Bengio 2015, appendix A.1.2 (arXiv 1409.0473)

    Parameters: `query_proj.weight` W_q (A,D), `key_proj.weight` W_k (A,D) and `v.weight` (1,A), with A hidden units.
    """

    def __init__(self, width: int, hidden: PositiveInt | None = None) -> None:
        super().__init__()
        hidden = hidden or width
        # No biases: the papers have none (semantics.md §2).
        self.query_proj = nn.Linear(width, hidden, bias=False)
        self.key_proj = nn.Linear(width, hidden, bias=False)
        self.v = nn.Linear(hidden, 1, bias=False)

    def prepare(self, keys: Tensor) -> Tensor:
        """Returns 2 W_k h (B,S,A), which `hidden_layer_logits` needs."""
        return 2 * self.key_proj(keys)

    def compare(self, query: Tensor, prepared: Tensor) -> Tensor:
        queries = self.query_proj(query)
        return hidden_layer_logits(queries, prepared, self.v.weight[0])
