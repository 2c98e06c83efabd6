"""What training and decoding ask of a model."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn

from attnbench.attention import Attention


class Output(NamedTuple):
    """One teacher-forced pass: logits over words (B,T,V), attention weights (B,T,S), and their logits (B,T,S)."""

    words: Tensor
    weights: Tensor
    scores: Tensor


class MakeAttention(Protocol):
    """Builds the cell's attention for vectors of a width, as often as a model asks for one."""

    def __call__(self, width: int) -> Attention: ...


class Seq2Seq(nn.Module, ABC):
    """A model of one cell, written without the axis K: the runner stacks replicas.

    It is built by keyword, with what it declares of source_vocabulary, target_vocabulary, attention (a function:
    `attention(width)` gives the cell's Attention) and its own options.
    """

    @abstractmethod
    def forward(self, source: Tensor, lengths: Tensor | None, previous: Tensor) -> Output:
        """The pass with the gold words as input.

        Args:
            source: (B,S) ids, EOS included.
            lengths: (B,), or None where all sources have S words.
            previous: (B,T) ids of the words before each target word, BOS first.
        """

    @abstractmethod
    def encode(self, source: Tensor, lengths: Tensor | None) -> tuple[Any, Tensor]:
        """What every step of decoding reads (a tuple of tensors), and the state (B,…) before the first."""

    @abstractmethod
    def step(self, memory: Any, state: Tensor, previous: Tensor, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """One step of decoding, number `index`, after the words (B,): the new state, logits (B,V), weights (B,S)."""

    def objective(self, output: Output, log_likelihood: Tensor, lengths: Tensor | None, target_mask: Tensor) -> Tensor:
        """The training loss (): the mean negative log-likelihood (B,T) over the words of target_mask (B,T)."""
        del output, lengths
        return -(log_likelihood * target_mask).sum() / target_mask.sum()
