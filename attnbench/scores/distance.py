"""The distance score: the nearer a key is to the query, the better it matches."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from attnbench.products import dot_products
from attnbench.registry import score
from attnbench.scores.base import Score


@score("distance")
class Distance(Score):
    """Squared Euclidean distance of query and key, negative, with a learned scale τ.

    Formula: score(s, h) = −‖s − h‖² / (2τ²), with τ = softplus(scale)
    Source: the kernel of Nadaraya 1964 and Watson 1964, with a Gaussian

    The softmax of it is Nadaraya–Watson kernel regression. The parameter is `scale` (); initially τ = D^{1/4}, so that
    sᵀh has the same factor, 1/√D, as in `scaled_dot`.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        # The inverse of softplus, log(e^x − 1), at D^{1/4}.
        self.scale = nn.Parameter(torch.tensor(math.log(math.expm1(width**0.25))))

    def prepare(self, keys: Tensor) -> Tensor:
        """Returns the keys and half their squared lengths (B,S,D+1)."""
        return torch.cat([keys, (keys * keys).sum(-1, keepdim=True) / 2], dim=-1)

    def compare(self, query: Tensor, prepared: Tensor) -> Tensor:
        # −‖s − h‖²/2 = sᵀh − ‖h‖²/2 − ‖s‖²/2: one matrix product instead of all differences (B,T,S,D).
        extended = torch.cat([query, -torch.ones_like(query[..., :1])], dim=-1)
        negative = dot_products(extended, prepared) - (query * query).sum(-1, keepdim=True) / 2
        return negative / functional.softplus(self.scale) ** 2
