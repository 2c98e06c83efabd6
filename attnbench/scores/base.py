"""Base class of the built-in scores."""

from torch import Tensor, nn

from attnbench.products import dot_products


class Score(nn.Module):
    """A score split into `prepare`, which sees the keys only, and `compare`, which also sees the query.

    `prepare` runs once per source and `compare` once per step, so step-by-step decoding does not repeat the products
    with the keys. A custom score need not derive from this class: a plain module with `forward(query, keys)` works. So
    does a subclass that overrides `forward`: its `prepare` and `compare` are then not called, unless it overrides
    `compare` as well.
    """

    def prepare(self, keys: Tensor) -> Tensor:
        """Returns the part of the score that depends on the keys (B,S,D) alone, as (B,S,…).

        Each position must be computed independently of the others: the LSTMN and the Transformer's decoder append
        prepared keys step by step.
        """
        return keys

    def compare(self, query: Tensor, prepared: Tensor) -> Tensor:
        """Returns the logits (B,T,S) of queries (B,T,D) and prepared keys; by default their dot products."""
        return dot_products(query, prepared)

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Returns the logits (B,T,S) of queries (B,T,D) and keys (B,S,D)."""
        return self.compare(query, self.prepare(keys))
