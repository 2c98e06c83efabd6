"""The two products of attention, over one query at a time or over many.

With a single query a matrix product has a dimension of 1, and a batch of such products takes longer than elementwise
work does, its gradients most of all.
"""

from torch import Tensor


def dot_products(query: Tensor, keys: Tensor) -> Tensor:
    """sᵀ h, (B,T,S), of queries (B,T,D) and keys (B,S,D)."""
    if query.shape[-2] == 1:
        return (query * keys).sum(-1).unsqueeze(-2)
    return query @ keys.mT


def weighted_sums(weights: Tensor, values: Tensor) -> Tensor:
    """Σ_i α_i v_i, (B,T,D), of weights (B,T,S) and values (B,S,D)."""
    if weights.shape[-2] == 1:
        return (weights.mT * values).sum(-2, keepdim=True)
    return weights @ values
