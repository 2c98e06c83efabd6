"""The recurrent decoder with attention, which reads the annotations of an encoder (semantics.md §1)."""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from attnbench.attention_types import Attended, Source, State
from attnbench.errors import fail
from attnbench.masking import log_weights_of, valid_positions
from attnbench.models.base import MakeAttention, Output, Seq2Seq
from attnbench.models.recurrent_cells import KINDS, project_words


class RecurrentMemory(NamedTuple):
    """The encoded source.

    Attributes:
        source: the encoder states, prepared for attention.
        order: (B,S), the positions in the order in which `reverse_source` reads them; None without it.
    """

    source: Source
    order: Tensor | None


class RecurrentState(NamedTuple):
    """The state of the decoder between two steps.

    Attributes:
        cell: (B,…), the state of the RNN; with `input_feeding` it ends in s̃_{t−1} (B,D).
        attention: what the attention carries.
    """

    cell: Tensor
    attention: State


class RecurrentDecoder(Seq2Seq):
    """Base of models with a recurrent decoder; a subclass has the encoder, and implements `encode` with `started`.

    `query`, `input_feeding` and the output are described at `Recurrent`.

    Raises:
        AttnbenchError: if `input_feeding` is used with `query: previous`.
    """

    target_embedding: nn.Embedding

    def __init__(self, width: int, cell: str, query: Literal["previous", "current"], input_feeding: bool) -> None:
        super().__init__()
        self.width, self.query, self.input_feeding = width, query, input_feeding
        self.kind = KINDS[cell]
        if query == "previous" and input_feeding:
            raise fail("input_feeding needs query: current", hint="set query: current, or input_feeding: false")

    def build_decoder(
        self, target_vocabulary: int, embedding: int, attention: MakeAttention, summary: int | None
    ) -> None:
        """Builds the layers of the decoder.

        Args:
            target_vocabulary: V.
            embedding: E, the width of the word vectors.
            attention: builds the attention that reads the annotations (B,S,D).
            summary: the width of what `started` is given; None if the decoder starts from zeros.
        """
        width, previous = self.width, self.query == "previous"
        self.init_proj = None if summary is None else nn.Linear(summary, width, bias=False)
        rows = self.kind.gates * width
        self.word_proj = nn.Linear(embedding, rows)
        self.recurrent_proj = nn.Linear(width, rows)
        # The projection of the second input of the RNN, in addition to the word: the context c_t, or the previous s̃.
        self.feed_proj = nn.Linear(width, rows, bias=False) if previous or self.input_feeding else None
        self.combine = None if previous else nn.Linear(2 * width, width, bias=False)
        self.readout = nn.Linear(2 * width + embedding if previous else width, target_vocabulary)
        self.attention = attention(width)

    def started(
        self, annotations: Tensor, values: Tensor, summary: Tensor, lengths: Tensor | None, order: Tensor | None = None
    ) -> tuple[RecurrentMemory, RecurrentState]:
        """Returns the memory and the state before the first step.

        Args:
            annotations: (B,S,D), the keys of the attention.
            values: (B,S,D), of which the contexts are weighted sums.
            summary: (B,…), what the first state is computed from, if the decoder does not start from zeros.
            lengths: (B,), or None if all sources have S positions.
            order: (B,S), see `RecurrentMemory`.
        """
        start = annotations.new_zeros(annotations.shape[0], self.kind.parts * self.width)
        if self.init_proj is not None:
            output = self.init_proj(summary).tanh()
            start = torch.cat([output, start[:, self.width :]], dim=1)
        if self.input_feeding:
            start = torch.cat([start, torch.zeros_like(start[:, : self.width])], dim=1)  # s̃_{−1} = 0
        memory = self.attention.prepare(annotations, values, lengths)
        return RecurrentMemory(memory, order), RecurrentState(start, self.attention.start(memory))

    def step(
        self, memory: RecurrentMemory, state: RecurrentState, previous: Tensor, index: int
    ) -> tuple[RecurrentState, Tensor, Tensor]:
        """Decodes one step: returns the new state, the logits (B,V) and the weights (B,S)."""
        embedded = self.target_embedding(previous)
        word = project_words(previous, self.target_embedding.weight, self.word_proj)
        state, output, attended = self._advance(memory, state, word, index)
        logits = self._read_out(output, attended.context.squeeze(1), embedded)
        return state, logits, self._in_source_order(attended.weights, memory).squeeze(1)

    def teacher_forced(self, memory: RecurrentMemory, state: RecurrentState, previous: Tensor) -> Output:
        """Decodes all steps with the gold words as input; the output layer is applied to all of them at once."""
        inputs = project_words(previous.mT, self.target_embedding.weight, self.word_proj).unbind(0)
        outputs, steps = [], []
        for index, word in enumerate(inputs):
            state, output, attended = self._advance(memory, state, word, index)
            outputs.append(output)
            steps.append(attended)
        weights = torch.cat([step.weights for step in steps], dim=1)
        attention_logits = torch.cat([step.logits for step in steps], dim=1)
        # (T,B,…) and not (B,T,…): the numbers of a step stay contiguous, so stacking the steps is a plain copy.
        output, embedded = torch.stack(outputs), self.target_embedding(previous.mT)
        if getattr(self.attention.scope, "marginalises", False):
            logits = self._marginal(output, attention_logits, memory.source, embedded)
        else:
            context = torch.stack([step.context.squeeze(1) for step in steps])
            logits = self._read_out(output, context, embedded)
        in_order = [self._in_source_order(each, memory) for each in (weights, attention_logits)]
        return Output(logits.transpose(0, 1), in_order[0], attention_logits=in_order[1])

    def objective(self, output: Output, log_likelihood: Tensor, lengths: Tensor | None, target_mask: Tensor) -> Tensor:
        """Returns the training loss, a scalar: the objective of the attention, which may be that of its scope."""
        assert output.attention_logits is not None
        valid = valid_positions(lengths, output.weights.shape[-1])
        mask = None if valid is None else valid.unsqueeze(1)
        return self.attention.objective(log_likelihood, output.attention_logits, output.weights, mask, target_mask)

    def _advance(
        self, memory: RecurrentMemory, state: RecurrentState, word: Tensor, index: int
    ) -> tuple[RecurrentState, Tensor, Attended]:
        """Runs one step; returns the new state, the RNN's output s_t (B,D) and the result of attention."""
        cell, carried = state
        # Only query: current has a combination layer.
        if self.combine is None:
            query = self.kind.output(cell).unsqueeze(1)
            attended = self.attention.read(query, memory.source, index, state=carried)
            cell = self._run_cell(word, attended.context.squeeze(1), cell)
            return RecurrentState(cell, attended.state), self.kind.output(cell), attended
        feed = None
        if self.input_feeding:
            cell, feed = cell.split([self.kind.parts * self.width, self.width], dim=1)
        cell = self._run_cell(word, feed, cell)
        output = self.kind.output(cell)
        attended = self.attention.read(output.unsqueeze(1), memory.source, index, state=carried)
        if self.input_feeding:
            cell = torch.cat([cell, self._combined(output, attended.context.squeeze(1))], dim=1)
        return RecurrentState(cell, attended.state), output, attended

    def _run_cell(self, word: Tensor, feed: Tensor | None, state: Tensor) -> Tensor:
        """Returns the state (B,…) after a projected word and, if the RNN has a second input, `feed` (B,D)."""
        inputs = word if self.feed_proj is None else word + self.feed_proj(feed)
        # Under vmap, adding the bias separately is slightly faster than a linear layer with a bias.
        recurrent = functional.linear(self.kind.output(state), self.recurrent_proj.weight) + self.recurrent_proj.bias
        return self.kind.step(inputs, recurrent, state)

    def _combined(self, output: Tensor, context: Tensor) -> Tensor:
        """Returns s̃ = tanh(W_c [c; s]) (…,D)."""
        assert self.combine is not None
        return self.combine(torch.cat([context, output], dim=-1)).tanh()

    def _read_out(self, output: Tensor, context: Tensor, embedded: Tensor) -> Tensor:
        """Returns the logits (…,V) for the RNN's output (…,D), the context (…,D) and the previous word (…,E)."""
        if self.combine is None:
            return self.readout(torch.cat([output, context, embedded], dim=-1))
        return self.readout(self._combined(output, context))

    def _marginal(self, output: Tensor, attention_logits: Tensor, source: Source, embedded: Tensor) -> Tensor:
        """Returns the log-probabilities (T,B,V) of Σ_i α_{t,i} p(y_t | s_t, h_i), for the `exact` hard attention.

        The output layer is applied to every source position separately, so this needs S times the memory.

        Args:
            output: (T,B,D).
            attention_logits: (B,T,S).
            source: the encoder states.
            embedded: (T,B,E).
        """
        # From the logits and not from the weights: a weight may underflow to 0, and its position would get no gradient.
        normaliser = self.attention.normaliser
        assert normaliser is not None
        log_weights = log_weights_of(normaliser, attention_logits, source.mask).transpose(0, 1)
        # The gradient of logsumexp is NaN if all its arguments are −∞: rows without valid positions are filled.
        nothing = (log_weights == -torch.inf).all(-1, keepdim=True)
        log_weights = log_weights.masked_fill(nothing, math.log(torch.finfo(log_weights.dtype).tiny))
        shape = (*log_weights.shape, -1)  # (T,B,S,…)
        each = self._read_out(
            output.unsqueeze(2).expand(shape), source.values.expand(shape), embedded.unsqueeze(2).expand(shape)
        )
        return (each.log_softmax(-1) + log_weights.unsqueeze(-1)).logsumexp(2)

    def _in_source_order(self, weights: Tensor, memory: RecurrentMemory) -> Tensor:
        """Returns weights (B,T,S) in the original order of the source, before `reverse_source`."""
        if memory.order is None:
            return weights
        # The reversal is its own inverse, so the same order restores the original one.
        return weights.gather(-1, memory.order.unsqueeze(1).expand_as(weights))
