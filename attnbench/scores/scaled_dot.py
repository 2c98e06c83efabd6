"""The dot product divided by the square root of the width."""

import math

from torch import Tensor

from attnbench.registry import score
from attnbench.scores.base import Score


@score("scaled_dot")
class ScaledDot(Score):
    """Dot product of query and key divided by √D, without parameters.

    Formula: score(s, h) = sᵀ h / √D
    Source: Vaswani et al. 2017, eq. 1 (arXiv 1706.03762)

    For independent components of variance 1, the logits have variance 1 at any width.
    """

    def prepare(self, keys: Tensor) -> Tensor:
        # The keys are scaled once per source, instead of the logits at every step.
        return keys / math.sqrt(keys.shape[-1])
