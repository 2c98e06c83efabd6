"""The two products of attention, for a single query or for many.

With a single query, one dimension of the matrix product is 1. For few keys, a batch of such products is slower than an
elementwise product and a sum, especially in the backward pass. For many keys the matrix product is faster.
"""

from torch import Tensor

# Largest number of elements (B·S·D of one replica) for which the elementwise form is used.
SMALL = 2**16


def dot_products(query: Tensor, keys: Tensor) -> Tensor:
    """Returns the dot products sᵀ h (B,T,S) of queries (B,T,D) and keys (B,S,D)."""
    if query.shape[-2] == 1 and keys.numel() <= SMALL:
        return (query * keys).sum(-1).unsqueeze(-2)
    return query @ keys.mT


def weighted_sums(weights: Tensor, values: Tensor) -> Tensor:
    """Returns the sums Σ_i α_i v_i (B,T,D) of values (B,S,D) with weights (B,T,S)."""
    if weights.shape[-2] == 1 and values.numel() <= SMALL:
        return (weights.mT * values).sum(-2, keepdim=True)
    return weights @ values
