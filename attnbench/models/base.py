"""What training and decoding ask of a model."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from attnbench.attention import Attention

Part = TypeVar("Part", bound=nn.Module)


class Parts(nn.ModuleList, Generic[Part]):
    """A ModuleList that knows, for the type checker, what its modules are."""

    def __iter__(self) -> Iterator[Part]:
        return super().__iter__()  # type: ignore[return-value]


class Output(NamedTuple):
    """One teacher-forced pass: logits over words (B,T,V), and the alignment: attention weights (B,T,S).

    A model of several heads also gives each head's weights (B,H,T,S), whose mean the alignment is; a model whose
    scope may have an objective of its own, the weights' logits (B,T,S).
    """

    words: Tensor
    weights: Tensor
    heads: Tensor | None = None
    scores: Tensor | None = None


class MakeAttention(Protocol):
    """Builds the cell's attention for vectors of a width, as often as a model asks for one."""

    def __call__(self, width: int) -> Attention: ...


class Seq2Seq(nn.Module, ABC):
    """A model of one cell, written without the axis K: the runner stacks replicas.

    It is built by keyword, with what it declares of source_vocabulary and target_vocabulary (numbers of words),
    source_words and target_words (the words by id), attention (a function: `attention(width)` gives the cell's
    Attention) and its own options.
    """

    aligns = True  # whether the weights are an alignment of target and source at all
    half_precision = True  # whether a GPU may take the matrix products of training in bfloat16
    alignment_heads = 1  # where there are more, Output.heads has the weights of each

    @abstractmethod
    def encode(self, source: Tensor, lengths: Tensor | None) -> tuple[Any, Any]:
        """What every step of decoding reads, and the state before the first: tensors, or tuples of them.

        Args:
            source: (B,S) ids, EOS included.
            lengths: (B,), or None where all sources have S words.
        """

    @abstractmethod
    def step(self, memory: Any, state: Any, previous: Tensor, index: int) -> tuple[Any, Tensor, Tensor]:
        """One step of decoding, number `index`, after the words (B,): the new state, logits (B,V), weights (B,S)."""

    def forward(self, source: Tensor, lengths: Tensor | None, previous: Tensor) -> Output:
        """The pass with the gold words as input: step by step, unless a model has a faster way to the same numbers.

        Args:
            source: (B,S) ids, EOS included.
            lengths: (B,), or None where all sources have S words.
            previous: (B,T) ids of the words before each target word, BOS first.
        """
        memory, state = self.encode(source, lengths)
        words, rows = [], []
        for index, word in enumerate(previous.unbind(1)):
            state, logits, weights = self.step(memory, state, word, index)
            words.append(logits)
            rows.append(weights)
        return Output(torch.stack(words, dim=1), torch.stack(rows, dim=1))

    def objective(self, output: Output, log_likelihood: Tensor, lengths: Tensor | None, target_mask: Tensor) -> Tensor:
        """The training loss (): the mean negative log-likelihood (B,T) over the words of target_mask (B,T)."""
        del output, lengths
        return -(log_likelihood * target_mask).sum() / target_mask.sum()
