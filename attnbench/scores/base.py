"""What the built-in scores share: the part that depends on the keys alone is computed once per source."""

from torch import Tensor, nn

from attnbench.products import dot_products


class Score(nn.Module):
    """A score in two halves, so that decoding step by step does not repeat the products with the keys.

    A score of your own need not follow this: a plain module with `forward(query, keys)` will do.
    """

    def prepare(self, keys: Tensor) -> Tensor:
        """What the keys (B,S,D) contribute, whatever the query: (B,S,…), each position by itself."""
        return keys

    def compare(self, query: Tensor, prepared: Tensor) -> Tensor:
        """The logits (B,T,S) of queries (B,T,D) against prepared keys; a dot product unless a score says otherwise."""
        return dot_products(query, prepared)

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Logits (B,T,S) of queries (B,T,D) against keys (B,S,D)."""
        return self.compare(query, self.prepare(keys))
