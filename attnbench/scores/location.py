"""The location-based score: a logit per position from the query alone."""

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from attnbench.registry import score
from attnbench.scores.base import Score


@score("location")
class Location(Score):
    """Logit per position computed from the query alone; the keys are not used.

    Formula: score(s, h_i) = (W_a s)_i
    Source: Luong, Pham & Manning 2015, eq. 8 and footnote 6 (arXiv 1508.04025)

    The parameter is `proj.weight` = W_a (max_source_length, D). Positions i ≥ max_source_length get the logit −∞ and so
    no weight; a longer source is not an error. Where a model attends to its own target words (the decoders of
    `transformer` and `lstmn`), the longest target takes the place of the longest source.
    """

    def __init__(self, width: int, max_source_length: PositiveInt) -> None:
        super().__init__()
        self.proj = nn.Linear(width, max_source_length, bias=False)

    def compare(self, query: Tensor, prepared: Tensor) -> Tensor:
        source_length = prepared.shape[-2]
        # −∞ and not 0, which would take a share of the softmax.
        logits = self.proj(query)[..., :source_length]
        return functional.pad(logits, (0, source_length - logits.shape[-1]), value=-torch.inf)
