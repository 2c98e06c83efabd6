"""The additive score: a small network with one hidden layer."""

from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from attnbench.registry import score
from attnbench.scores.base import Score

# Numbers of the hidden layer (B,T,S,A) of one replica that are computed at a time: 1 MB, so that a core's cache holds
# what is read again at once. On 100 words a Transformer's step takes a third of the time and of the memory so.
AT_ONCE = 2**18
# Queries that come one by one are small each, but their layers wait for the gradient together. So many numbers may
# wait (256 MB), as of 180 words of 64 units at batch 32; from there on layers are made twice, which takes longer.
KEPT = 2**26


@score("additive")
class Additive(Score):
    """Compares by a network with one hidden layer of `hidden` units (the width D unless set).

    Formula: score(s, h) = vᵀ tanh(W_q s + W_k h), which is vᵀ tanh(W_a [s; h])
    Source: Bahdanau, Cho & Bengio 2015, appendix A.1.2 (arXiv 1409.0473)

    Computed as 2 vᵀσ(2 W_q s + 2 W_k h) − Σv, for tanh x = 2 σ(2x) − 1, and torch's σ takes a sixth of its tanh's time.
    """

    def __init__(self, width: int, hidden: PositiveInt | None = None) -> None:
        super().__init__()
        hidden = hidden or width
        self.query_proj = nn.Linear(width, hidden, bias=False)
        self.key_proj = nn.Linear(width, hidden, bias=False)
        self.v = nn.Linear(hidden, 1, bias=False)

    def prepare(self, keys: Tensor) -> Tensor:
        return 2 * self.key_proj(keys)

    def compare(self, query: Tensor, prepared: Tensor) -> Tensor:
        queries = self.query_proj(query)
        v = self.v.weight[0]
        if _may_wait(prepared, query.shape[-2]):
            weighed = (_inside(queries, prepared).sigmoid() * v).sum(-1)
        else:
            weighed = _Weighed.apply(queries, prepared, v)
        return torch.add(-v.sum(), weighed, alpha=2)


def _may_wait(keys: Tensor, queries: int) -> bool:
    """Whether the hidden layer of so many queries is kept for the gradient."""
    if queries == 1:  # one of about as many as there are keys
        return keys.numel() * keys.shape[-2] <= KEPT
    return keys.numel() * queries <= AT_ONCE


def _inside(queries: Tensor, keys: Tensor) -> Tensor:
    """2 W_q s + 2 W_k h, (B,T,S,A), of W_q s (B,T,A) and 2 W_k h (B,S,A)."""
    return torch.add(keys.unsqueeze(-3), queries.unsqueeze(-2), alpha=2)


class _Weighed(torch.autograd.Function):
    """vᵀσ(2q + k), (B,T,S), in chunks of queries; the gradient makes each hidden layer again, none is kept."""

    generate_vmap_rule = True

    @staticmethod
    def forward(queries: Tensor, keys: Tensor, v: Tensor) -> Tensor:
        parts = queries.split(_rows(queries, keys), dim=-2)
        return torch.cat([_inside(part, keys).sigmoid_().mul_(v).sum(-1) for part in parts], dim=-2)

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
            layer = _inside(part, keys).sigmoid_()
            of_v = of_v + above.flatten() @ layer.flatten(0, -2)
            # In place: a long source has no room for several of these.
            layer = layer.sub_(layer * layer).mul_(above.unsqueeze(-1)).mul_(v)  # of 2q + k
            of_queries.append(2 * layer.sum(-2))
            of_keys = of_keys + layer.sum(-3)
        return torch.cat(of_queries, dim=-2), of_keys, of_v


def _rows(queries: Tensor, keys: Tensor) -> int:
    """The queries of a sentence that are compared at a time."""
    return max(1, AT_ONCE // (queries[..., 0, :].numel() * keys.shape[-2]))
