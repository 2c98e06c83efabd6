"""The content-based score: the cosine of query and key times a strength."""

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn
from torch.nn import functional

from attnbench.products import dot_products
from attnbench.registry import score
from attnbench.scores.base import Score


@score("cosine")
class Cosine(Score):
    """Cosine similarity times a strength β, learned by default: QK normalisation with a learned scale.

    Formula: score(s, h) = β · cos(s, h), with β = softplus(strength) + 1
    Source: Graves, Wayne & Danihelka 2014, eq. 5–6 (arXiv 1410.5401); QK normalisation: Henry et al. 2020
        (arXiv 2010.04245)

    The parameter is `strength` (). β is learned by default because with β = 1 the largest possible weight over n keys
    is e²/(e² + n − 1), which is .28 for n = 20. The option `strength` fixes β to a number; 1 gives the plain cosine.
    A zero vector has logit 0.
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
    """Returns the vectors (…,D) scaled to length 1; a zero vector stays zero, with a finite gradient."""
    # Dividing zero vectors by 1 avoids NaN without an ε in the denominator, which would change the cosine of short
    # vectors.
    norm = vectors.norm(dim=-1, keepdim=True)
    return vectors / torch.where(norm > 0, norm, 1)
