"""The additive score: a feed-forward network with one hidden layer."""

from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from attnbench.registry import score
from attnbench.scores.base import Score

# Number of elements of the hidden layer (B,T,S,A) of one replica that are computed at a time. A chunk has 1 MB and
# stays in the cache of a core between the operations on it. With sources of 100 words this reduces the time and the
# memory of a Transformer's training step to a third.
AT_ONCE = 2**18
# Maximum number of elements (256 MB) of the hidden layers that are kept for the backward pass when queries come one at
# a time. Each of these layers is small, but autograd keeps those of all steps. The limit is reached at 180 words,
# 64 units and batch size 32. Beyond it the layers are recomputed, which needs less memory but more time.
KEPT = 2**26


@score("additive")
class Additive(Score):
    """Feed-forward network with one hidden layer of `hidden` units (default: D).

    Formula: score(s, h) = vᵀ tanh(W_q s + W_k h) = vᵀ tanh(W_a [s; h])
    Source: Bahdanau, Cho & Bengio 2015, appendix A.1.2 (arXiv 1409.0473)

    Parameters: `query_proj.weight` W_q (A,D), `key_proj.weight` W_k (A,D) and `v.weight` (1,A), with A hidden units.

    The implementation computes 2 vᵀσ(2 W_q s + 2 W_k h) − Σv, which is the same because tanh x = 2 σ(2x) − 1. torch's
    sigmoid takes a sixth of the time of its tanh.
    """

    def __init__(self, width: int, hidden: PositiveInt | None = None) -> None:
        super().__init__()
        hidden = hidden or width
        # No biases: the papers have none (semantics.md §2).
        self.query_proj = nn.Linear(width, hidden, bias=False)
        self.key_proj = nn.Linear(width, hidden, bias=False)
        self.v = nn.Linear(hidden, 1, bias=False)

    def prepare(self, keys: Tensor) -> Tensor:
        return 2 * self.key_proj(keys)

    def compare(self, query: Tensor, prepared: Tensor) -> Tensor:
        queries = self.query_proj(query)
        v = self.v.weight[0]
        if _keeps_hidden_layer(prepared, query.shape[-2]):
            weighted_sum = (_inside(queries, prepared).sigmoid() * v).sum(-1)
        else:
            weighted_sum = _ChunkedSum.apply(queries, prepared, v)
        return torch.add(-v.sum(), weighted_sum, alpha=2)


def _keeps_hidden_layer(keys: Tensor, queries: int) -> bool:
    """Returns whether the hidden layer of this number of queries is kept for the backward pass."""
    # A single query is a step of a decoder, which is assumed to take about as many steps as there are keys.
    if queries == 1:
        return keys.numel() * keys.shape[-2] <= KEPT
    return keys.numel() * queries <= AT_ONCE


def _inside(queries: Tensor, keys: Tensor) -> Tensor:
    """Returns 2 W_q s + 2 W_k h (B,T,S,A) from W_q s (B,T,A) and 2 W_k h (B,S,A)."""
    return torch.add(keys.unsqueeze(-3), queries.unsqueeze(-2), alpha=2)


class _ChunkedSum(torch.autograd.Function):
    """vᵀσ(2q + k) (B,T,S), computed in chunks of queries.

    The backward pass recomputes the hidden layer of each chunk, so none is kept in memory.
    """

    # The stack of replicas runs under torch.func.vmap. This flag, and setup_context separate from forward, are what
    # torch requires of a custom function there.
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
            # The gradient with respect to 2q + k, by σ' = σ − σ². In place, because the single-query chunk of a long
            # source may be much larger than AT_ONCE, and several copies of it might not fit into memory.
            layer = layer.sub_(layer * layer).mul_(above.unsqueeze(-1)).mul_(v)
            of_queries.append(2 * layer.sum(-2))
            of_keys = of_keys + layer.sum(-3)
        return torch.cat(of_queries, dim=-2), of_keys, of_v


def _rows(queries: Tensor, keys: Tensor) -> int:
    """Returns the number of queries per chunk, at least 1."""
    return max(1, AT_ONCE // (queries[..., 0, :].numel() * keys.shape[-2]))
