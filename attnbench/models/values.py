"""Words by their place in the vocabulary, for models that are to understand symbols which training never showed."""

import math

import torch
from torch import Tensor, nn

from attnbench.tasks.base import SPECIAL

WAVES = 6  # of the slowest sines and cosines: faster ones would tell symbols apart that have nothing in common


class ValueEmbedding(nn.Module):
    """Embeds symbol number n of V by its value v = (n − ½)/V, and the special words from a table.

    Formula: W [v; sin πv … sin 6πv; cos πv … cos 6πv] + b

    A table has a row per symbol, and a row that was never trained says nothing. Values that lie close have vectors
    that lie close, so what was learned about one symbol holds for its neighbours. The value alone would do (Vinyals,
    Bengio & Kudlur 2016 sort such numbers); the waves make it learn several times as fast.
    """

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.symbols = vocabulary - len(SPECIAL)
        self.special = nn.Embedding(len(SPECIAL), width)
        self.proj = nn.Linear(1 + 2 * WAVES, width)

    def forward(self, words: Tensor) -> Tensor:
        """Vectors (…,E) of words (…)."""
        symbols = words - len(SPECIAL)  # from 0; the special words are negative
        value = ((symbols.to(self.proj.weight.dtype) + 0.5) / self.symbols).unsqueeze(-1)
        angles = value * math.pi * torch.arange(1, WAVES + 1, dtype=value.dtype, device=value.device)
        vectors = self.proj(torch.cat([value, angles.sin(), angles.cos()], dim=-1))
        special = self.special(words.clamp(max=len(SPECIAL) - 1))
        return torch.where((symbols < 0).unsqueeze(-1), special, vectors)
