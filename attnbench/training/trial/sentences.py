"""The made-up sentences that a user's scores, scopes and normalisers are tried with."""

from typing import NamedTuple

import torch
from torch import Tensor

from attnbench.masking import valid_positions

# Sizes of the batch: all different, so that no wrong shape is right by chance.
BATCH, STEPS, LENGTH = 3, 2, 5


class Sentences(NamedTuple):
    """The arguments of a score and of a scope, for a batch of sentences; mask is None if no sentence is padded."""

    query: Tensor
    keys: Tensor
    logits: Tensor
    mask: Tensor | None
    lengths: Tensor

    def only(self, row: int, length: int) -> "Sentences":
        """One sentence alone, in a source of this length."""
        one = slice(row, row + 1)
        mask = None if self.mask is None or length == self.lengths[row] else self.mask[one, :, :length]
        keys, logits = self.keys[one, :length], self.logits[one, :, :length]
        return Sentences(self.query[one], keys, logits, mask, self.lengths[one])

    def with_padding(self, value: float) -> "Sentences":
        """The same sentences with other numbers in padded positions."""
        valid = valid_positions(self.lengths, self.keys.shape[1])
        assert valid is not None
        keys = torch.where(valid.unsqueeze(-1), self.keys, value)
        return self._replace(keys=keys, logits=torch.where(valid.unsqueeze(1), self.logits, value))

    def double(self) -> "Sentences":
        """The same sentences in float64."""
        return self._replace(query=self.query.double(), keys=self.keys.double(), logits=self.logits.double())


def some_sentences(width: int, length: int) -> Sentences:
    """A batch of sentences of different lengths, with padding as in Attention.prepare."""
    torch.manual_seed(0)
    lengths = torch.tensor([max(length - row, 1) for row in range(BATCH)])
    valid = valid_positions(lengths, length)
    assert valid is not None
    query, keys = torch.randn(BATCH, STEPS, width), torch.randn(BATCH, length, width)
    logits = torch.randn(BATCH, STEPS, length)
    return Sentences(query, keys.masked_fill(~valid.unsqueeze(-1), 0), logits, valid.unsqueeze(1), lengths)


def without_padding(sentences: Sentences) -> Sentences:
    """The same batch as in training, where all sentences have one length."""
    keys = torch.where(sentences.keys == 0, 0.5, sentences.keys)
    return sentences._replace(keys=keys, mask=None, lengths=torch.full((BATCH,), keys.shape[1]))


def without_words(sentences: Sentences) -> Sentences:
    """The same batch, with a last sentence that has no valid position."""
    last = (torch.arange(BATCH) == BATCH - 1).unsqueeze(-1)
    mask = torch.ones(BATCH, 1, sentences.keys.shape[1], dtype=torch.bool) if sentences.mask is None else sentences.mask
    return sentences._replace(mask=mask & ~last.unsqueeze(-1), lengths=sentences.lengths.masked_fill(last[:, 0], 0))
