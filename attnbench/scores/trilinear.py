"""The trilinear score: a linear function of query, key and their elementwise product."""

import torch
from torch import Tensor, nn

from attnbench.products import dot_products
from attnbench.registry import score
from attnbench.scores.base import Score


@score("trilinear")
class Trilinear(Score):
    """Linear function of the query, the key and their elementwise product.

    Formula: score(s, h) = w · [s; h; s ⊙ h]
    Source: Seo et al. 2017 (arXiv 1611.01603)

    The parameter w is in three parts: `query_proj.weight`, `key_proj.weight` and `product_proj.weight`, each (1,D).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query_proj = nn.Linear(width, 1, bias=False)
        self.key_proj = nn.Linear(width, 1, bias=False)
        self.product_proj = nn.Linear(width, 1, bias=False)

    def prepare(self, keys: Tensor) -> Tensor:
        """Returns the keys times their weights, and their own part of the logit (B,S,D+1)."""
        return torch.cat([keys * self.product_proj.weight[0], self.key_proj(keys)], dim=-1)

    def compare(self, query: Tensor, prepared: Tensor) -> Tensor:
        extended = torch.cat([query, torch.ones_like(query[..., :1])], dim=-1)
        return dot_products(extended, prepared) + self.query_proj(query)
