"""The bilinear score."""

from torch import Tensor, nn

from attnbench.registry import score
from attnbench.scores.base import Score


@score("general")
class General(Score):
    """Bilinear form of query and key with a learned matrix.

    Formula: score(s, h) = sᵀ W_a h
    Source: Luong, Pham & Manning 2015, §3.1 (arXiv 1508.04025)

    The parameter is `key_proj.weight` = W_a (D,D). Some toolkits store its transpose.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.key_proj = nn.Linear(width, width, bias=False)

    def prepare(self, keys: Tensor) -> Tensor:
        # W_a is applied to the keys and not to the query, so that it is computed once per source.
        return self.key_proj(keys)
