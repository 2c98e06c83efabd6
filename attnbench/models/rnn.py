"""The recurrent encoder-decoder with attention, the model of the seed article."""

from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from attnbench.attention import Attended, Source
from attnbench.errors import fail
from attnbench.models.base import MakeAttention, Output, Seq2Seq
from attnbench.models.recurrent_cells import KINDS, Encoder, project_words
from attnbench.registry import model
from attnbench.scopes.masking import valid_positions


class Memory(NamedTuple):
    """What every step of decoding reads: the source as attention wants it, and the order it was read in, (B,S)."""

    source: Source
    order: Tensor | None


@model("rnn")
class Recurrent(Seq2Seq):
    """Bidirectional RNN encoder of width D, RNN decoder of width D, attention between them.

    Formula: c_t = Σ_i α_{t,i} h_i, s_t = f(s_{t−1}, y_{t−1}, c_t), p(y_t) = softmax(W_o [s_t; c_t; y_{t−1}])
    Source: Bahdanau, Cho & Bengio 2015 (query: previous); Luong, Pham & Manning 2015 (query: current)

    `query: previous` compares s_{t−1}, before the RNN steps. `query: current` lets it step first, compares s_t and
    reads out s̃_t = tanh(W_c [c_t; s_t]), p = softmax(W_o s̃_t); with `input_feeding`, s̃_{t−1} joins the next input.
    `init: encoder` starts at s_{−1} = tanh(W_s ←h_0), `zero` at 0: then content reaches the decoder by attention alone.
    `reverse_source` reads the source backwards (EOS stays last), as Sutskever et al. 2014 trained;
    the alignment keeps the order of the words as they stood.
    """

    def __init__(
        self,
        source_vocabulary: int,
        target_vocabulary: int,
        attention: MakeAttention,
        width: Annotated[int, Field(gt=0, multiple_of=2)] = 64,
        embedding: PositiveInt = 32,
        cell: Literal["gru", "lstm"] = "gru",
        query: Literal["previous", "current"] = "previous",
        input_feeding: bool = False,
        init: Literal["encoder", "zero"] = "encoder",
        reverse_source: bool = False,
    ) -> None:
        super().__init__()
        self.width, self.query, self.input_feeding, self.reverse_source = width, query, input_feeding, reverse_source
        self.kind = KINDS[cell]
        previous = query == "previous"
        if previous and input_feeding:
            raise fail("input_feeding needs query: current", hint="query: previous has no s̃ to feed")
        self.source_embedding = nn.Embedding(source_vocabulary, embedding)
        self.target_embedding = nn.Embedding(target_vocabulary, embedding)
        self.encoder = Encoder(embedding, width, cell)
        self.init_proj = nn.Linear(width // 2, width, bias=False) if init == "encoder" else None
        rows = self.kind.gates * width
        self.word_proj = nn.Linear(embedding, rows)
        self.recurrent_proj = nn.Linear(width, rows)
        # What joins the word at the RNN's input: the context c_t, or the last s̃.
        self.feed_proj = nn.Linear(width, rows, bias=False) if previous or input_feeding else None
        self.combine = None if previous else nn.Linear(2 * width, width, bias=False)
        self.readout = nn.Linear(2 * width + embedding if previous else width, target_vocabulary)
        self.attention = attention(width)

    def encode(self, source: Tensor, lengths: Tensor | None) -> tuple[Memory, Tensor]:
        """The memory, and the state (B,…) before the first step."""
        order = reversed_order(source, lengths) if self.reverse_source else None
        words = source if order is None else source.gather(1, order)
        states = self.encoder(words, self.source_embedding.weight, valid_positions(lengths, source.shape[1]))
        start = states.new_zeros(source.shape[0], self.kind.parts * self.width)
        if self.init_proj is not None:
            output = self.init_proj(states[:, 0, self.width // 2 :]).tanh()
            start = torch.cat([output, start[:, self.width :]], dim=1)
        if self.input_feeding:
            start = torch.cat([start, torch.zeros_like(start[:, : self.width])], dim=1)  # s̃_{−1} = 0
        return Memory(self.attention.prepare(states, states, lengths), order), start

    def step(self, memory: Memory, state: Tensor, previous: Tensor, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """One step of decoding: the new state, the logits (B,V), the weights (B,S)."""
        embedded = self.target_embedding(previous)
        word = project_words(previous, self.target_embedding.weight, self.word_proj)
        state, output, attended = self._advance(memory, state, word, index)
        words = self._read_out(output, attended.context.squeeze(1), embedded)
        return state, words, self._in_source_order(attended.weights, memory).squeeze(1)

    def forward(self, source: Tensor, lengths: Tensor | None, previous: Tensor) -> Output:
        """The pass with the gold words as input."""
        memory, state = self.encode(source, lengths)
        inputs = project_words(previous.mT, self.target_embedding.weight, self.word_proj).unbind(0)
        outputs, reads = [], []
        for index, word in enumerate(inputs):
            state, output, attended = self._advance(memory, state, word, index)
            outputs.append(output)
            reads.append(attended)
        weights = torch.cat([read.weights for read in reads], dim=1)
        scores = torch.cat([read.logits for read in reads], dim=1)
        # (T,B,…): a step's numbers stay together, and joining the steps is a plain copy.
        output, embedded = torch.stack(outputs), self.target_embedding(previous.mT)
        if getattr(self.attention.scope, "marginalises", False):
            words = self._marginal(output, weights, memory.source.values, embedded)
        else:
            context = torch.stack([read.context.squeeze(1) for read in reads])
            words = self._read_out(output, context, embedded)
        in_order = [self._in_source_order(each, memory) for each in (weights, scores)]
        return Output(words.transpose(0, 1), in_order[0], scores=in_order[1])

    def objective(self, output: Output, log_likelihood: Tensor, lengths: Tensor | None, target_mask: Tensor) -> Tensor:
        """The loss () that the attention's scope asks for."""
        assert output.scores is not None
        valid = valid_positions(lengths, output.weights.shape[-1])
        mask = None if valid is None else valid.unsqueeze(1)
        return self.attention.objective(log_likelihood, output.scores, output.weights, mask, target_mask)

    def _advance(self, memory: Memory, state: Tensor, word: Tensor, index: int) -> tuple[Tensor, Tensor, Attended]:
        """The state after a step, the RNN's output s_t (B,D), and what was read."""
        if self.combine is None:
            attended = self.attention.read(self.kind.output(state).unsqueeze(1), memory.source, index)
            state = self._run_cell(word, attended.context.squeeze(1), state)
            return state, self.kind.output(state), attended
        feed = None
        if self.input_feeding:
            state, feed = state.split([self.kind.parts * self.width, self.width], dim=1)
        state = self._run_cell(word, feed, state)
        output = self.kind.output(state)
        attended = self.attention.read(output.unsqueeze(1), memory.source, index)
        if self.input_feeding:
            state = torch.cat([state, self._combined(output, attended.context.squeeze(1))], dim=1)
        return state, output, attended

    def _run_cell(self, word: Tensor, feed: Tensor | None, state: Tensor) -> Tensor:
        inputs = word if self.feed_proj is None else word + self.feed_proj(feed)
        recurrent = functional.linear(self.kind.output(state), self.recurrent_proj.weight) + self.recurrent_proj.bias
        return self.kind.step(inputs, recurrent, state)

    def _combined(self, output: Tensor, context: Tensor) -> Tensor:
        """s̃ = tanh(W_c [c; s])."""
        assert self.combine is not None
        return self.combine(torch.cat([context, output], dim=-1)).tanh()

    def _read_out(self, output: Tensor, context: Tensor, embedded: Tensor) -> Tensor:
        """Logits (…,V) from the RNN's output (…,D), the context (…,D) and the embedded last word (…,E)."""
        if self.combine is None:
            return self.readout(torch.cat([output, context, embedded], dim=-1))
        return self.readout(self._combined(output, context))

    def _marginal(self, output: Tensor, weights: Tensor, values: Tensor, embedded: Tensor) -> Tensor:
        """Log-probabilities (T,B,V) of Σ_i α_{t,i} p(y_t | s_t, h_i), each position read out by itself.

        Args:
            output: (T,B,D).
            weights: (B,T,S).
            values: (B,S,D).
            embedded: (T,B,E).
        """
        weights = weights.transpose(0, 1)
        shape = (*weights.shape, -1)  # (T,B,S,…)
        each = self._read_out(
            output.unsqueeze(2).expand(shape), values.expand(shape), embedded.unsqueeze(2).expand(shape)
        )
        # A weight of 0 would give −∞ and a NaN gradient; the smallest number stands for it.
        log_weights = weights.clamp(min=torch.finfo(weights.dtype).tiny).log()
        return (each.log_softmax(-1) + log_weights.unsqueeze(-1)).logsumexp(2)

    def _in_source_order(self, weights: Tensor, memory: Memory) -> Tensor:
        """Weights (B,T,S) over the words as they stood before `reverse_source`."""
        if memory.order is None:
            return weights
        return weights.gather(-1, memory.order.unsqueeze(1).expand_as(weights))


def reversed_order(source: Tensor, lengths: Tensor | None) -> Tensor:
    """For sources (B,S), the positions (B,S) that read the words backwards; EOS and padding stay where they are."""
    positions = torch.arange(source.shape[1], device=source.device).expand_as(source)
    last = (source.shape[1] if lengths is None else lengths.unsqueeze(1)) - 1  # EOS
    return torch.where(positions < last, last - 1 - positions, positions)
