"""The content-base score: the cosine of query and key, with a strength."""

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn
from torch.nn import functional

from attnbench.products import dot_products
from attnbench.registry import score
from attnbench.scores.base import Score


@score("cosine")
class Cosine(Score):
    """Compares by the angle between query and key, sharpened by a strength β.

    Formula: score(s, h) = β · cos(s, h), with β = softplus(strength) + 1
    Source: Graves, Wayne & Danihelka 2014, eq. 5–6 (arXiv 1410.5401)

    β is learned by default, because without it the largest weight over n keys is e²/(e²+n−1): .28 at n=20.
    The option `strength` fixes β to a number; 1 is the raw cosine. A zero vector has logit 0.
    """

    def __init__(self, strength: PositiveFloat | None = None) -> None:
        super().__init__()
        self.fixed = strength
        if strength is None:
            self.strength = nn.Parameter(torch.zeros(()))

    def prepare(self, keys: Tensor) -> Tensor:
        return unit(keys)

    def compare(self, query: Tensor, prepared: Tensor) -> Tensor:
        beta = functional.softplus(self.strength) + 1 if self.fixed is None else self.fixed
        return beta * dot_products(unit(query), prepared)


def unit(vectors: Tensor) -> Tensor:
    """The vectors (…,D) at length 1; a zero vector stays zero, and its gradient finite."""
    norm = vectors.norm(dim=-1, keepdim=True)
    return vectors / torch.where(norm > 0, norm, 1)
