"""Embedding of words by their index in the vocabulary, for models that must handle symbols not seen in training."""

import math

import torch
from torch import Tensor, nn

from attnbench.tasks.base import SPECIAL

# Number of sines and of cosines, from the lowest frequency on. Higher frequencies would give neighbouring symbols
# unrelated embeddings, and nothing learned about one symbol would carry over to the next.
WAVES = 6


class ValueEmbedding(nn.Module):
    """Embeds symbol n of V (n from 1) by its value v = (n − ½)/V, and the special words with a table.

    Formula: W [v; sin πv … sin 6πv; cos πv … cos 6πv] + b

    In an embedding table, the row of a symbol that does not occur in training stays at its random initial values. Here
    close values have close embeddings, so what is learned about a symbol also applies to its neighbours. The value
    alone would be sufficient (Vinyals, Bengio & Kudlur 2016 sort such numbers), but training is several times as fast
    with the sines and cosines.

    Args:
        vocabulary: the number of words, the special words included.
        width: E, the width of the embeddings.
    """

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.symbols = vocabulary - len(SPECIAL)
        self.special = nn.Embedding(len(SPECIAL), width)
        self.proj = nn.Linear(1 + 2 * WAVES, width)

    def forward(self, words: Tensor) -> Tensor:
        """Returns the embeddings (…,E) of words (…), given as ids."""
        symbols = words - len(SPECIAL)  # from 0; the special words are negative
        value = ((symbols.to(self.proj.weight.dtype) + 0.5) / self.symbols).unsqueeze(-1)
        angles = value * math.pi * torch.arange(1, WAVES + 1, dtype=value.dtype, device=value.device)
        vectors = self.proj(torch.cat([value, angles.sin(), angles.cos()], dim=-1))
        # Both embeddings are computed for every word and one is selected, because vmap allows no branch on values. The
        # clamp gives symbols a valid index into the table.
        special = self.special(words.clamp(max=len(SPECIAL) - 1))
        return torch.where((symbols < 0).unsqueeze(-1), special, vectors)
