"""The bilinear score."""

from torch import Tensor, nn

from attnbench.registry import score
from attnbench.scores.base import Score


@score("general")
class General(Score):
    """Compares through a learned matrix.

    Formula: score(s, h) = sᵀ W_a h
    Source: Luong, Pham & Manning 2015, §3.1 (arXiv 1508.04025)

    `key_proj.weight` is W_a itself, (D,D): the logit is s · (W_a h). Some toolkits store its transpose.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.key_proj = nn.Linear(width, width, bias=False)

    def prepare(self, keys: Tensor) -> Tensor:
        return self.key_proj(keys)
