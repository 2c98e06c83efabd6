"""The two products of attention, over one query at a time or over many.

With a single query a matrix product has a dimension of 1. A batch of small ones takes longer than elementwise work,
its gradients most of all; beside many keys it is the other way round.
"""

from torch import Tensor

SMALL = 2**16  # numbers in the keys of one replica


def dot_products(query: Tensor, keys: Tensor) -> Tensor:
    """sᵀ h, (B,T,S), of queries (B,T,D) and keys (B,S,D)."""
    if query.shape[-2] == 1 and keys.numel() <= SMALL:
        return (query * keys).sum(-1).unsqueeze(-2)
    return query @ keys.mT


def weighted_sums(weights: Tensor, values: Tensor) -> Tensor:
    """Σ_i α_i v_i, (B,T,D), of weights (B,T,S) and values (B,S,D)."""
    if weights.shape[-2] == 1 and values.numel() <= SMALL:
        return (weights.mT * values).sum(-2, keepdim=True)
    return weights @ values
