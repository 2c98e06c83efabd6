"""The dot product, scaled by the square root of the width."""

import math

from torch import Tensor

from attnbench.registry import score
from attnbench.scores.base import Score


@score("scaled_dot")
class ScaledDot(Score):
    """Compares by the dot product over √D, so that the logits of wide random vectors keep variance 1.

    Formula: score(s, h) = sᵀ h / √D
    Source: Vaswani et al. 2017, eq. 1 (arXiv 1706.03762)
    """

    def prepare(self, keys: Tensor) -> Tensor:
        return keys / math.sqrt(keys.shape[-1])
