"""The bilinear score with a matrix of low rank."""

from pydantic import PositiveInt
from torch import Tensor, nn

from attnbench.products import dot_products
from attnbench.registry import score
from attnbench.scores.base import Score


@score("bilinear")
class Bilinear(Score):
    """Bilinear form of query and key with a learned matrix of rank `rank`: `general` with fewer parameters.

    Formula: score(s, h) = sᵀ U Vᵀ h
    Source: the product of projected queries and keys of Vaswani et al. 2017, §3.2.2 (arXiv 1706.03762), for one head
        without its scale

    Parameters: `query_proj.weight` Uᵀ (rank, D) and `key_proj.weight` Vᵀ (rank, D).
    """

    def __init__(self, width: int, rank: PositiveInt = 8) -> None:
        super().__init__()
        self.query_proj = nn.Linear(width, rank, bias=False)
        self.key_proj = nn.Linear(width, rank, bias=False)

    def prepare(self, keys: Tensor) -> Tensor:
        return self.key_proj(keys)

    def compare(self, query: Tensor, prepared: Tensor) -> Tensor:
        return dot_products(self.query_proj(query), prepared)
