"""The interface that training and decoding require of a model."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from attnbench.attention import Attention

Part = TypeVar("Part", bound=nn.Module)


class Parts(nn.ModuleList, Generic[Part]):
    """A ModuleList with the type of its modules, for the type checker."""

    def __iter__(self) -> Iterator[Part]:
        return super().__iter__()  # type: ignore[return-value]


class Output(NamedTuple):
    """The result of a teacher-forced pass.

    Attributes:
        logits: (B,T,V), of the target words.
        weights: (B,T,S), the alignment: the attention weights, averaged over heads if there are several.
        heads: (B,H,T,S), the weights of each head; None for a single head.
        attention_logits: (B,T,S), from which `weights` were computed. Required of a model that supports scopes with an
            objective, such as `hard`; None otherwise.
    """

    logits: Tensor
    weights: Tensor
    heads: Tensor | None = None
    attention_logits: Tensor | None = None


class MakeAttention(Protocol):
    """A function that builds the configured attention for a given width; a model may call it several times.

    `over` states whether the keys are positions of the source or of the target, which may be longer. It is used by
    scores with a parameter per position.
    """

    def __call__(self, width: int, over: Literal["source", "target"] = "source") -> Attention: ...


class Seq2Seq(nn.Module, ABC):
    """Base class of models: a sequence-to-sequence model for a single seed.

    It has no replica axis K: training stacks the replicas with `torch.func.vmap`, so control flow must not depend on
    the values of tensors.

    A model is built with keyword arguments. Its constructor declares those it needs: `source_vocabulary` and
    `target_vocabulary` (the numbers of words), `source_words` and `target_words` (the words by id), `attention` (a
    function; `attention(width)` returns an `Attention`), `image_size` (height and width in pixels of the images that a
    model with `reads_images = True` reads) and its own options.
    """

    # Whether the weights are an alignment between target and source. If False, no alignment metrics are reported.
    aligns = True
    # Whether the sources are images. Such a model attends to patches of 8 × 8 pixels, row by row.
    reads_images = False
    # Number of attention heads in the alignment. If greater than 1, the model must set Output.heads.
    alignment_heads = 1

    @abstractmethod
    def encode(self, source: Tensor, lengths: Tensor | None) -> tuple[Any, Any]:
        """Encodes the source and returns (memory, state), each a tensor or a (nested) tuple of tensors.

        The memory is passed unchanged to every step; the state is the one before the first step.

        Args:
            source: (B,S) ids, EOS included; for a model with `reads_images = True` images (B,H,W) from 0 to 1.
            lengths: (B,), or None if all sources have S words, and for images.
        """

    @abstractmethod
    def step(self, memory: Any, state: Any, previous: Tensor, index: int) -> tuple[Any, Tensor, Tensor]:
        """Decodes step `index` and returns (state, logits (B,V), weights (B,S)).

        Args:
            memory: the first value that `encode` returned.
            state: the state after the previous step.
            previous: (B,) ids of the previous target words, BOS at step 0.
            index: the number of the step, from 0.
        """

    def forward(self, source: Tensor, lengths: Tensor | None, previous: Tensor) -> Output:
        """Runs a teacher-forced pass: `encode`, then all steps with the gold words as input.

        By default the steps are those of `teacher_forced`. A model may override either by a faster way to the same
        numbers.

        Args:
            source: (B,S) ids, EOS included.
            lengths: (B,), or None if all sources have S words.
            previous: (B,T) ids of the word before each target word, BOS first.
        """
        return self.teacher_forced(*self.encode(source, lengths), previous)

    def teacher_forced(self, memory: Any, state: Any, previous: Tensor) -> Output:
        """Decodes all steps with the gold words as input: by default it calls `step` repeatedly.

        Args:
            memory: the first value that `encode` returned.
            state: the second one.
            previous: (B,T) ids of the word before each target word, BOS first.
        """
        logits, weights = [], []
        for index, word in enumerate(previous.unbind(1)):
            state, step_logits, step_weights = self.step(memory, state, word, index)
            logits.append(step_logits)
            weights.append(step_weights)
        return Output(torch.stack(logits, dim=1), torch.stack(weights, dim=1))

    def objective(self, output: Output, log_likelihood: Tensor, lengths: Tensor | None, target_mask: Tensor) -> Tensor:
        """Returns the training loss, a scalar: by default the mean negative log-likelihood in nats per target word.

        A model that supports scopes with an objective overrides it to call `Attention.objective`, as `rnn` does.

        Args:
            output: the result of `forward`.
            log_likelihood: (B,T) of the target words.
            lengths: (B,), or None if all sources have S words.
            target_mask: (B,T), True on target words.
        """
        del output, lengths
        return -(log_likelihood * target_mask).sum() / target_mask.sum()
