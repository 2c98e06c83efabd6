"""The feed-forward network with one hidden layer that the scores `additive`, `coverage` and `location_conv` share.

The hidden layer of a query and all positions has B·S·A elements. Kept for the backward pass of all steps, it takes most
of the memory of a training on long sources.
"""

from typing import Any

import torch
from torch import Tensor

# Number of elements of the hidden layer (B,T,S,A) of one replica that are computed at a time. A chunk has 1 MB and
# stays in the cache of a core between the operations on it. With sources of 100 words this reduces the time and the
# memory of a Transformer's training step to a third.
AT_ONCE = 2**18
# Maximum number of elements (256 MB in each replica) of the hidden layers that are kept for the backward pass when
# queries come one at a time. Each of these layers is small, but autograd keeps those of all steps. The limit is reached
# at 180 words, 64 units and batch size 32. Beyond it the layers are recomputed, which needs less memory but more time.
KEPT = 2**26


def hidden_layer_logits(
    queries: Tensor, keys: Tensor, v: Tensor, features: Tensor | None = None, matrix: Tensor | None = None
) -> Tensor:
    """Returns the logits vᵀ tanh(q + k_i + M f_i) (B,T,S).

    It computes 2 vᵀσ(2q + 2k + 2Mf) − Σv, which is the same because tanh x = 2 σ(2x) − 1. torch's sigmoid takes a sixth
    of the time of its tanh. In float32, the error is ten times that of the tanh: 4e-5 at 1024 hidden units and logits
    up to 6. In half precision (bfloat16, float16) it computes the tanh: the difference of two large sums would lose
    most of its digits (error .5 at 256 hidden units).

    First and second derivatives are supported for any number of queries and keys.

    Args:
        queries: q (B,T,A), where A is the number of hidden units.
        keys: 2k (B,S,A), doubled: this is done once per source.
        v: (A,).
        features: f (B,S,F), further inputs of each position; None for none.
        matrix: M (A,F), with `features`.
    """
    # Under autocast, a query that a float32 bias was added to is float32, unlike the keys.
    queries = queries.to(keys.dtype)
    if features is None or matrix is None:
        features, matrix = keys[..., :0], v.new_zeros(len(v), 0)
    if _keeps_hidden_layer(keys, queries.shape[-2]):
        logits = (_hidden_layer(queries, keys, features, matrix) * v).sum(-1)
    else:
        inputs = (queries, keys, features, matrix, v)
        logits = _ChunkedSum.apply(*(one.unsqueeze(0) for one in inputs)).squeeze(0)
    return logits if _uses_tanh(keys) else torch.add(-v.sum(), logits, alpha=2)


def _keeps_hidden_layer(keys: Tensor, queries: int) -> bool:
    """Returns whether the hidden layer of this number of queries is kept for the backward pass."""
    # A single query is a step of a decoder, which is assumed to take about as many steps as there are keys.
    if queries == 1:
        return keys.numel() * keys.shape[-2] <= KEPT
    return keys.numel() * queries <= AT_ONCE


def _uses_tanh(keys: Tensor) -> bool:
    """Returns whether the hidden layer is computed with tanh, and not with the sigmoid."""
    return keys.dtype in (torch.bfloat16, torch.float16)


def _hidden_layer(queries: Tensor, keys: Tensor, features: Tensor, matrix: Tensor) -> Tensor:
    """Returns σ(2q + 2k + 2Mf) (B,T,S,A), or tanh(q + k + Mf) in half precision."""
    if features.shape[-1]:
        # Under autocast, features and matrix may have another dtype than the keys.
        keys = torch.add(keys, features.to(keys.dtype) @ matrix.to(keys.dtype).mT, alpha=2)
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
    def forward(*inputs: Tensor) -> Tensor:
        """Returns the sums of queries, keys, features, matrix and v, as `hidden_layer_logits` has them, with an axis R.

        The axis of the replicas comes first.
        """
        return torch.stack([_chunked_logits(*replica) for replica in zip(*inputs, strict=True)])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        del output
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        """Returns the gradients of the five inputs of `forward`."""
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


def _chunked_logits(queries: Tensor, keys: Tensor, features: Tensor, matrix: Tensor, v: Tensor) -> Tensor:
    """Returns Σ_a v_a · hidden layer (B,T,S) of one replica."""
    rows, columns = _chunk(queries, keys)
    parts = list(zip(keys.split(columns, dim=-2), features.split(columns, dim=-2), strict=True))
    return torch.cat(
        [
            torch.cat([_hidden_layer(each, *part, matrix).mul_(v).sum(-1) for part in parts], dim=-1)
            for each in queries.split(rows, dim=-2)
        ],
        dim=-2,
    )


def _chunked_gradients(
    queries: Tensor, keys: Tensor, features: Tensor, matrix: Tensor, v: Tensor, gradient: Tensor
) -> tuple[Tensor, ...]:
    """Returns the gradients of the inputs of one replica; `gradient` (B,T,S) is that of the logits."""
    rows, columns = _chunk(queries, keys)
    of_queries, of_v = [], torch.zeros_like(v)
    parts = list(zip(keys.split(columns, -2), features.split(columns, -2), strict=True))
    of_parts = [torch.zeros_like(part) for part, _ in parts]
    for each, above in zip(queries.split(rows, dim=-2), gradient.split(rows, dim=-2), strict=True):
        of_each = torch.zeros_like(each)
        for index, (part, one) in enumerate(zip(parts, above.split(columns, -1), strict=True)):
            layer = _hidden_layer(each, *part, matrix)
            # Under autocast the sum of the forward pass, and so its gradient, may have another dtype than the layer.
            one = one.to(layer.dtype)
            of_v = of_v + one.flatten() @ layer.flatten(0, -2)
            slope = _slope(layer, one.unsqueeze(-1), v.to(layer.dtype))
            of_each = of_each + 2 * slope.sum(-2)
            of_parts[index] = of_parts[index] + slope.sum(-3)
        of_queries.append(of_each)
    of_keys = torch.cat(of_parts, dim=-2)
    of_features, of_matrix = torch.zeros_like(features), torch.zeros_like(matrix)
    if features.shape[-1]:
        of_products = 2 * of_keys.to(features.dtype)
        of_features = of_products @ matrix.to(features.dtype)
        of_matrix = of_products.flatten(0, -2).mT @ features.flatten(0, -2)
    return torch.cat(of_queries, dim=-2), of_keys, of_features, of_matrix, of_v


def _slope(layer: Tensor, above: Tensor, v: Tensor) -> Tensor:
    """Returns the gradient (B,T,S,A) with respect to 2q + 2k + 2Mf; without second derivatives it overwrites `layer`.

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
