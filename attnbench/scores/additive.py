"""The additive score: a small network with one hidden layer."""

from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from attnbench.registry import score
from attnbench.scores.base import Score

# Numbers in a hidden layer (B,T,S,A) of one replica that are kept for the gradient, 4 MB; larger ones are made twice.
KEPT = 2**20
# Numbers of it that stand in memory at a time, where it is made twice.
AT_ONCE = 2**22


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
        queries = self.query_proj(query)
        if queries[..., 0].numel() * prepared.shape[-2] * prepared.shape[-1] <= KEPT:
            return self.v(_hidden(queries, prepared)).squeeze(-1)
        return _Compared.apply(queries, prepared, self.v.weight[0])


def _hidden(queries: Tensor, keys: Tensor) -> Tensor:
    """tanh(W_q s + W_k h), (B,T,S,A), of W_q s (B,T,A) and W_k h (B,S,A)."""
    return (queries.unsqueeze(-2) + keys.unsqueeze(-3)).tanh()


class _Compared(torch.autograd.Function):
    """vᵀ tanh(q + k) in chunks of queries; the gradient makes each hidden layer again instead of keeping them all."""

    generate_vmap_rule = True

    @staticmethod
    def forward(queries: Tensor, keys: Tensor, v: Tensor) -> Tensor:
        return torch.cat([_hidden(part, keys) @ v for part in queries.split(_rows(queries, keys), dim=-2)], dim=-2)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        del output
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        queries, keys, v = ctx.saved_tensors
        rows, of_queries = _rows(queries, keys), []
        of_keys, of_v = torch.zeros_like(keys), torch.zeros_like(v)
        for part, above in zip(queries.split(rows, dim=-2), gradient.split(rows, dim=-2), strict=True):
            hidden = _hidden(part, keys)
            of_v = of_v + (above.unsqueeze(-1) * hidden).flatten(0, -2).sum(0)
            inside = above.unsqueeze(-1) * v * (1 - hidden * hidden)
            of_queries.append(inside.sum(-2))
            of_keys = of_keys + inside.sum(-3)
        return torch.cat(of_queries, dim=-2), of_keys, of_v


def _rows(queries: Tensor, keys: Tensor) -> int:
    """The queries of a sentence that are compared at a time."""
    return max(1, AT_ONCE // (queries[..., 0, :].numel() * keys.shape[-2]))
