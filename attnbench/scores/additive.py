"""The additive score: a small network with one hidden layer."""

from pydantic import PositiveInt
from torch import Tensor, nn

from attnbench.registry import score
from attnbench.scores.base import Score


@score("additive")
class Additive(Score):
    """Compares by a network with one hidden layer of `hidden` units (the width D unless set).

    Formula: score(s, h) = vᵀ tanh(W_q s + W_k h), which is vᵀ tanh(W_a [s; h])
    Source: Bahdanau, Cho & Bengio 2015, appendix A.1.2 (arXiv 1409.0473)
    """

    def __init__(self, width: int, hidden: PositiveInt | None = None) -> None:
        super().__init__()
        hidden = hidden or width
        self.query_proj = nn.Linear(width, hidden, bias=False)
        self.key_proj = nn.Linear(width, hidden, bias=False)
        self.v = nn.Linear(hidden, 1, bias=False)

    def prepare(self, keys: Tensor) -> Tensor:
        return self.key_proj(keys)

    def compare(self, query: Tensor, prepared: Tensor) -> Tensor:
        hidden = self.query_proj(query).unsqueeze(-2) + prepared.unsqueeze(-3)  # (B,T,S,A)
        return self.v(hidden.tanh()).squeeze(-1)
