"""The pointer network: its output is a distribution over source positions."""

import math
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from attnbench.attention import Attention
from attnbench.attention_types import Source, State
from attnbench.errors import fail
from attnbench.masking import valid_positions
from attnbench.models.base import MakeAttention, Output, Parts, Seq2Seq
from attnbench.models.recurrent_cells import KINDS, Encoder, project_words
from attnbench.models.values import ValueEmbedding
from attnbench.registry import model


class PointerMemory(NamedTuple):
    """The encoded source.

    Attributes:
        sources: prepared for the attention of each glimpse and, last, of the pointer.
        words: (B,S), the ids of the source.
    """

    sources: tuple[Source, ...]
    words: Tensor


class Pointed(NamedTuple):
    """The result of the pointer's attention.

    Attributes:
        weights: (B,T,S).
        log_weights: their logarithms (B,T,S), −∞ for excluded positions.
        logits: (B,T,S), from which the weights were computed.
    """

    weights: Tensor
    log_weights: Tensor
    logits: Tensor


class PointerState(NamedTuple):
    """The state of the decoder between two steps.

    Attributes:
        cell: (B,…), the state of the RNN.
        attention: what the attention of each glimpse and, last, of the pointer carries.
    """

    cell: Tensor
    attention: tuple[State, ...]


@model("pointer")
class Pointer(Seq2Seq):
    """Pointer network: the attention weights are the output distribution.

    Formula: p(y_t = w) = Σ_{i: x_i = w} α_{t,i}; α_t = scope(score(q_t, h_i)); q_t = s_t = f(s_{t−1}, y_{t−1});
        a glimpse: q ← tanh(W_g [Σ_i α^g_i h_i; q]), α^g = scope(score_g(q, h_i))
    Source: Vinyals, Fortunato & Jaitly 2015, §2.3 (arXiv 1506.03134); glimpses: Vinyals, Bengio & Kudlur 2016, §4–5
        (arXiv 1511.06391)

    The encoder and the decoder are RNNs. The probability of a word that occurs several times in the source is the sum
    of the weights of its positions. Under a scope with weights that do not sum to 1 (`local-p`), the loss divides by
    their sum.

    Words are embedded by their index in the vocabulary, scaled to 0..1, and not with a table (`ValueEmbedding`). The
    network can therefore compare, and point at, symbols that do not occur in training.
    """

    def __init__(
        self,
        source_words: list[str],
        target_words: list[str],
        attention: MakeAttention,
        width: Annotated[int, Field(gt=0, multiple_of=2)] = 64,
        embedding: PositiveInt = 32,
        cell: Literal["gru", "lstm"] = "lstm",
        glimpses: NonNegativeInt = 0,
    ) -> None:
        super().__init__()
        if source_words != target_words:
            raise fail(
                "pointer can only output words of the source, "
                "but the source and target vocabularies of this task differ",
                hint="use a task in which every target word occurs in the source",
            )
        self.vocabulary, self.width, self.kind = len(source_words), width, KINDS[cell]
        self.embedding = ValueEmbedding(self.vocabulary, embedding)
        self.encoder = Encoder(embedding, width, cell)
        self.init_proj = nn.Linear(width // 2, width, bias=False)
        rows = self.kind.gates * width
        self.word_proj, self.recurrent_proj = nn.Linear(embedding, rows), nn.Linear(width, rows)
        self.glimpses = Parts[Attention](attention(width) for _ in range(glimpses))
        self.combine = nn.ModuleList(nn.Linear(2 * width, width, bias=False) for _ in range(glimpses))
        self.attention = attention(width)

    def encode(self, source: Tensor, lengths: Tensor | None) -> tuple[PointerMemory, PointerState]:
        """Returns the memory and the state before the first step; that of the RNN is tanh(W_s ←h_0)."""
        states = self.encoder(source, self._vectors(source), valid_positions(lengths, source.shape[1]))
        output = self.init_proj(states[:, 0, self.width // 2 :]).tanh()
        # For the LSTM only the output starts at tanh(W_s ←h_0); the memory cell starts at 0.
        start = torch.cat([output] + [torch.zeros_like(output)] * (self.kind.parts - 1), dim=1)
        attentions = (*self.glimpses, self.attention)
        sources = tuple(each.prepare(states, states, lengths) for each in attentions)
        carried = tuple(each.start(prepared) for each, prepared in zip(attentions, sources, strict=True))
        return PointerMemory(sources, source), PointerState(start, carried)

    def step(
        self, memory: PointerMemory, state: PointerState, previous: Tensor, index: int
    ) -> tuple[PointerState, Tensor, Tensor]:
        """Decodes one step: returns the new state, the log-probabilities (B,V) and the weights (B,S)."""
        cell = self._advance(project_words(previous, self._vectors(previous), self.word_proj), state.cell)
        pointed, carried = self._attend(self.kind.output(cell).unsqueeze(1), memory, index, state.attention)
        log_probabilities = self._word_log_probabilities(pointed.log_weights, memory)
        return PointerState(cell, carried), log_probabilities.squeeze(1), pointed.weights.squeeze(1)

    def teacher_forced(self, memory: PointerMemory, state: PointerState, previous: Tensor) -> Output:
        """Decodes all steps with the gold words as input."""
        # The state of the RNN does not depend on the attention, so the attention of all steps is computed afterwards.
        cell, carried = state
        outputs = []
        for word in project_words(previous.mT, self._vectors(previous), self.word_proj).unbind(0):
            cell = self._advance(word, cell)
            outputs.append(self.kind.output(cell))
        pointed, _ = self._attend(torch.stack(outputs, dim=1), memory, 0, carried)
        return Output(self._word_log_probabilities(pointed.log_weights, memory), pointed.weights, None, pointed.logits)

    def objective(self, output: Output, log_likelihood: Tensor, lengths: Tensor | None, target_mask: Tensor) -> Tensor:
        """Returns the training loss, a scalar: the objective of the pointer's attention."""
        assert output.attention_logits is not None
        valid = valid_positions(lengths, output.weights.shape[-1])
        mask = None if valid is None else valid.unsqueeze(1)
        return self.attention.objective(log_likelihood, output.attention_logits, output.weights, mask, target_mask)

    def _vectors(self, words: Tensor) -> Tensor:
        """Returns the embeddings (V,E) of the whole vocabulary, on the device of `words`."""
        return self.embedding(torch.arange(self.vocabulary, device=words.device))

    def _advance(self, word: Tensor, state: Tensor) -> Tensor:
        """Returns the decoder state (B,…) after a projected word."""
        return self.kind.step(word, self.recurrent_proj(self.kind.output(state)), state)

    def _attend(
        self, query: Tensor, memory: PointerMemory, start: int, state: tuple[State, ...]
    ) -> tuple[Pointed, tuple[State, ...]]:
        """Applies all glimpses and then the pointer to queries (B,T,D), the first of which is at step `start`.

        Args:
            query: (B,T,D).
            memory: the encoded source.
            start: index of the first query.
            state: what the attentions carry.

        Returns:
            The result of the pointer, and what the attentions carry to the next step.
        """
        *sources, source = memory.sources
        *carried, last = state
        new = []
        parts = zip(self.glimpses, self.combine, sources, carried, strict=True)
        for glimpse, combine, glimpsed, of_glimpse in parts:
            read = glimpse.read(query, glimpsed, start, state=of_glimpse)
            query = combine(torch.cat([read.context, query], dim=-1)).tanh()
            new.append(read.state)
        attended = self.attention.read(query, source, start, state=last)
        log_weights = self.attention.log_weights(attended, query, source, start)
        return Pointed(attended.weights, log_weights, attended.logits), (*new, attended.state)

    def _word_log_probabilities(self, log_weights: Tensor, memory: PointerMemory) -> Tensor:
        """Returns the log-probabilities (B,T,V) of the words from the logarithms (B,T,S) of the weights.

        A word whose positions are all excluded, or that is not in the source, has probability 0. Its logarithm is set
        to that of the smallest positive normal number (−87 in float32), without a gradient, so that the loss is finite.
        """
        # log Σ_i α_i over the positions of each word, with the largest log α_i of the word factored out. A sum of the
        # weights themselves would underflow, and the word would get no gradient.
        positions = memory.words.unsqueeze(1).expand(log_weights.shape)
        nothing = log_weights.new_zeros(*log_weights.shape[:2], self.vocabulary)
        largest = (nothing - torch.inf).scatter_reduce(-1, positions, log_weights.detach(), "amax")
        found = largest != -torch.inf
        largest = largest.masked_fill(~found, 0)
        sums = nothing.scatter_add(-1, positions, (log_weights - largest.gather(-1, positions)).exp())
        log_sums = sums.masked_fill(~found, 1).log() + largest
        return log_sums.masked_fill(~found, math.log(torch.finfo(log_weights.dtype).tiny))
