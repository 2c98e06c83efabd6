"""The location-base score: positions are chosen from the query alone."""

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from attnbench.registry import score
from attnbench.scores.base import Score


@score("location")
class Location(Score):
    """Gives every position a logit from the query alone, without a look at the key that stands there.

    Formula: score(s, h_i) = (W_a s)_i
    Source: Luong, Pham & Manning 2015, eq. 8 and footnote 6 (arXiv 1508.04025)

    W_a has one row per position up to `max_source_length`. Positions beyond it get −∞, hence no weight.
    """

    def __init__(self, width: int, max_source_length: PositiveInt) -> None:
        super().__init__()
        self.proj = nn.Linear(width, max_source_length, bias=False)

    def compare(self, query: Tensor, prepared: Tensor) -> Tensor:
        source_length = prepared.shape[-2]
        logits = self.proj(query)[..., :source_length]
        return functional.pad(logits, (0, source_length - logits.shape[-1]), value=-torch.inf)
