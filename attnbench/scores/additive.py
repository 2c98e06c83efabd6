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
    sigmoid takes a sixth of the time of its tanh. In half precision (bfloat16, float16) it computes the tanh: the
    difference of two large sums would lose most of its digits (error .5 at 256 hidden units).

    First and second derivatives are supported for any number of queries and keys.
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
            logits = (_hidden_layer(queries, prepared) * v).sum(-1)
        else:
            logits = _ChunkedSum.apply(*(one.unsqueeze(0) for one in (queries, prepared, v))).squeeze(0)
        return logits if _uses_tanh(prepared) else torch.add(-v.sum(), logits, alpha=2)


def _keeps_hidden_layer(keys: Tensor, queries: int) -> bool:
    """Returns whether the hidden layer of this number of queries is kept for the backward pass."""
    # A single query is a step of a decoder, which is assumed to take about as many steps as there are keys.
    if queries == 1:
        return keys.numel() * keys.shape[-2] <= KEPT
    return keys.numel() * queries <= AT_ONCE


def _uses_tanh(keys: Tensor) -> bool:
    """Returns whether the hidden layer is computed with tanh, and not with the sigmoid."""
    return keys.dtype in (torch.bfloat16, torch.float16)


def _hidden_layer(queries: Tensor, keys: Tensor) -> Tensor:
    """Returns σ(2q + 2k) (B,T,S,A), or tanh(q + k) in half precision.

    Args:
        queries: q = W_q s (B,T,A).
        keys: 2k = 2 W_k h (B,S,A).
    """
    inputs = torch.add(keys.unsqueeze(-3), queries.unsqueeze(-2), alpha=2)
    return inputs.mul_(0.5).tanh_() if _uses_tanh(keys) else inputs.sigmoid_()


class _ChunkedSum(torch.autograd.Function):
    """Σ_a v_a · hidden layer (R,B,T,S), computed in chunks, for R replicas one after the other.

    The backward pass recomputes the hidden layer of each chunk, so none is kept in memory. If second derivatives are
    requested (`create_graph=True`), the backward pass is differentiable and autograd keeps all chunks.

    A chunk is no larger than AT_ONCE also because of the allocator: between two steps of a decoder, small tensors that
    are kept take places in the memory that a chunk has left, and the next chunk no longer fits there. With chunks of
    all replicas and positions, training on 200 words took three times the memory.
    """

    @staticmethod
    def forward(queries: Tensor, keys: Tensor, v: Tensor) -> Tensor:
        replicas = zip(queries, keys, v, strict=True)
        return torch.stack([_chunked_logits(*replica) for replica in replicas])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        del output
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        """Returns the gradients of `queries`, `keys` and `v`."""
        replicas = zip(*ctx.saved_tensors, gradient, strict=True)
        return tuple(map(torch.stack, zip(*(_chunked_gradients(*replica) for replica in replicas), strict=True)))

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Tensor) -> tuple[Tensor, int]:
        """Computes a stack of replicas; torch.func.vmap calls it with the axis of each input, None for none."""
        moved = [
            one.expand(info.batch_size, *one.shape) if axis is None else one.movedim(axis, 0)
            for one, axis in zip(inputs, in_dims, strict=True)
        ]
        found = _ChunkedSum.apply(*(one.flatten(0, 1) for one in moved))
        return found.unflatten(0, (info.batch_size, -1)), 0


def _chunked_logits(queries: Tensor, keys: Tensor, v: Tensor) -> Tensor:
    """Returns Σ_a v_a · hidden layer (B,T,S) of one replica, for queries (B,T,A), keys (B,S,A) and v (A,)."""
    rows, columns = _chunk(queries, keys)
    parts = keys.split(columns, dim=-2)
    return torch.cat(
        [
            torch.cat([_hidden_layer(each, part).mul_(v).sum(-1) for part in parts], dim=-1)
            for each in queries.split(rows, dim=-2)
        ],
        dim=-2,
    )


def _chunked_gradients(queries: Tensor, keys: Tensor, v: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the gradients of `queries`, `keys` and `v` of one replica; `gradient` (B,T,S) is that of the logits."""
    rows, columns = _chunk(queries, keys)
    of_queries, of_v = [], torch.zeros_like(v)
    of_keys = [torch.zeros_like(part) for part in keys.split(columns, dim=-2)]
    for each, above in zip(queries.split(rows, dim=-2), gradient.split(rows, dim=-2), strict=True):
        of_each = torch.zeros_like(each)
        for index, (part, one) in enumerate(zip(keys.split(columns, -2), above.split(columns, -1), strict=True)):
            layer = _hidden_layer(each, part)
            # Under autocast the sum of the forward pass, and so its gradient, may have another dtype than the layer.
            one = one.to(layer.dtype)
            of_v = of_v + one.flatten() @ layer.flatten(0, -2)
            slope = _slope(layer, one.unsqueeze(-1), v.to(layer.dtype))
            of_each = of_each + 2 * slope.sum(-2)
            of_keys[index] = of_keys[index] + slope.sum(-3)
        of_queries.append(of_each)
    return torch.cat(of_queries, dim=-2), torch.cat(of_keys, dim=-2), of_v


def _slope(layer: Tensor, above: Tensor, v: Tensor) -> Tensor:
    """Returns the gradient (B,T,S,A) with respect to 2q + 2k; without second derivatives it overwrites `layer`.

    Args:
        layer: the hidden layer (B,T,S,A).
        above: the gradient (B,T,S,1) of the logits.
        v: (A,).
    """
    tanh = _uses_tanh(layer)
    # The derivatives by 2x: σ − σ² of σ(2x), and (1 − tanh²)/2 of tanh x.
    if torch.is_grad_enabled():
        return ((1 - layer * layer) * 0.5 if tanh else layer - layer * layer) * above * v
    slope = layer.mul_(layer).neg_().add_(1).mul_(0.5) if tanh else layer.sub_(layer * layer)
    return slope.mul_(above).mul_(v)


def _chunk(queries: Tensor, keys: Tensor) -> tuple[int, int]:
    """Returns the numbers of queries and of keys per chunk, at least 1 each."""
    pairs = max(1, AT_ONCE // queries[..., 0, :].numel())
    columns = min(keys.shape[-2], pairs)
    return max(1, pairs // columns), columns
