"""The long short-term memory-network (LSTMN): an LSTM that attends to its own past states."""

from typing import Literal, NamedTuple

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from attnbench.attention_types import Source, State
from attnbench.models.base import MakeAttention, Output, Seq2Seq
from attnbench.models.recurrent_cells import lstm_step
from attnbench.registry import model


class LSTMNState(NamedTuple):
    """The state of an LSTMN between two steps.

    Attributes:
        tapes: all previous steps, with the hidden states h_i (B,t,D) as keys and [h_i; c_i] (B,t,2D) as values; None
            before the first step.
        attended_hidden: h̃ of the previous step (B,D).
        attended_source: γ̃ of the previous step (B,D), part of the query of deep fusion.
        intra_attention: what the attention to the past carries; None before its first step.
        cross_attention: what the attention to the source carries; () if there is none.
    """

    tapes: Source | None
    attended_hidden: Tensor
    attended_source: Tensor
    intra_attention: State | None
    cross_attention: State


@model("lstmn")
class LSTMN(Seq2Seq):
    """Long short-term memory-network: LSTMs that attend to their own past.

    Formula: s = normaliser_{i<t} score(W_s [x_t; h̃_{t−1}], h_i); [h̃_t; c̃_t] = Σ_i s_i [h_i; c_i];
        i, f, o = σ(W [x_t; h̃_t] + b); ĉ = tanh(W [x_t; h̃_t] + b); c_t = f ⊙ c̃_t + i ⊙ ĉ;
        h_t = o ⊙ tanh(c_t)
    Source: Cheng, Dong & Lapata 2016, §3.1, fusion: §4 (arXiv 1601.06733); the paper uses the additive score

    Encoder and decoder are both LSTMNs. The option `fusion` selects how the decoder attends to the source:
    - `shallow`: after the recurrence; the output layer gets tanh(W_c [γ̃_t; h_t]).
    - `deep`: inside the recurrence; c_t = r ⊙ α̃_t + f ⊙ c̃_t + i ⊙ ĉ, with r = σ(W_r [x_t; γ̃_t]).
    - `none`: no attention to the source.
    Here [γ̃_t; α̃_t] is the weighted sum of the encoder's [h_i; c_i]. The decoder's past starts with the last h and
    c of the encoder. The alignment is the cross-attention.
    """

    def __init__(
        self,
        source_vocabulary: int,
        target_vocabulary: int,
        attention: MakeAttention,
        width: PositiveInt = 64,
        embedding: PositiveInt = 32,
        fusion: Literal["none", "shallow", "deep"] = "shallow",
    ) -> None:
        super().__init__()
        self.width = width
        self.aligns = fusion != "none"
        self.source_embedding = nn.Embedding(source_vocabulary, embedding)
        self.target_embedding = nn.Embedding(target_vocabulary, embedding)
        self.encoder = IntraAttention(embedding, width, attention, over="source")
        # Its keys are the encoder's last state and one state per target word but the last.
        self.decoder = IntraAttention(embedding, width, attention, over="target")
        self.shallow = ShallowFusion(width, attention) if fusion == "shallow" else None
        self.deep = DeepFusion(embedding, width, attention) if fusion == "deep" else None
        self.readout = nn.Linear(width, target_vocabulary)

    def encode(self, source: Tensor, lengths: Tensor | None) -> tuple[Source, LSTMNState]:
        """Returns the encoder's states, prepared for cross-attention, and the decoder's state before its first step."""
        state = self._start(None, source)
        outputs = []
        for word in self.source_embedding(source).unbind(1):
            hidden, cell, carried = self.encoder.intra_attention(word, state)
            output = self.encoder.advance(word, hidden, cell)
            tapes = self.encoder.append(state, output)
            state = state._replace(tapes=tapes, attended_hidden=hidden, intra_attention=carried)
            outputs.append(output)
        states = torch.stack(outputs, dim=1)  # (B,S,2D)
        # The encoder attends only to earlier positions and padding comes last, so padding cannot change the states of
        # the words.
        last = states[:, -1:]
        if lengths is not None:
            last = states.gather(1, (lengths - 1).view(-1, 1, 1).expand(-1, 1, states.shape[-1]))
        past = self.decoder.attention.extend(None, last[..., : self.width], last)
        memory = self._reader.attention.prepare(states[..., : self.width], states, lengths)
        start = self._start(past, source)
        return memory, start._replace(cross_attention=self._reader.attention.start(memory))

    def step(
        self, memory: Source, state: LSTMNState, previous: Tensor, index: int
    ) -> tuple[LSTMNState, Tensor, Tensor]:
        """Decodes one step: returns the new state, the logits (B,V) and the weights (B,S)."""
        del index
        state, output, weights = self._advance(memory, state, self.target_embedding(previous))
        return state, self.readout(output), weights

    def _start(self, tapes: Source | None, source: Tensor) -> LSTMNState:
        """Returns the state before the first step, with the given past; h̃ and γ̃ start at 0."""
        zero = self.source_embedding.weight.new_zeros(len(source), self.width)
        return LSTMNState(tapes, zero, zero, None, ())

    def objective(self, output: Output, log_likelihood: Tensor, lengths: Tensor | None, target_mask: Tensor) -> Tensor:
        """Returns the training loss, a scalar, with what the score of the cross-attention adds to it."""
        loss = super().objective(output, log_likelihood, lengths, target_mask)
        return loss + self._reader.attention.penalty(output.weights, target_mask) if self.aligns else loss

    @property
    def _reader(self) -> "ShallowFusion | DeepFusion | IntraAttention":
        """The part that attends to the source."""
        # Without fusion nothing reads the memory: the encoder's own attention prepares it, for its shape alone.
        return self.shallow or self.deep or self.encoder

    def _advance(self, memory: Source, state: LSTMNState, word: Tensor) -> tuple[LSTMNState, Tensor, Tensor]:
        """Advances the decoder by an embedded word (B,E): returns the state, the output (B,D) and the weights (B,S)."""
        hidden, cell, carried = self.decoder.intra_attention(word, state)
        # Without fusion the weights stay 0; they are no alignment, as `aligns` says.
        attended_source, source_cell = state.attended_source, None
        weights, of_cross = memory.values.new_zeros(memory.values.shape[:2]), state.cross_attention
        if self.deep is not None:
            attended_source, source_cell, weights, of_cross = self.deep(word, attended_source, memory, of_cross)
        both = self.decoder.advance(word, hidden, cell, source_cell)
        tapes = self.decoder.append(state, both)
        output = both[:, : self.width]
        if self.shallow is not None:
            output, weights, of_cross = self.shallow(output, memory, of_cross)
        return LSTMNState(tapes, hidden, attended_source, carried, of_cross), output, weights


class IntraAttention(nn.Module):
    """The cell of an LSTMN: attention over its own past states, followed by the gates of an LSTM."""

    def __init__(self, embedding: int, width: int, attention: MakeAttention, over: Literal["source", "target"]) -> None:
        super().__init__()
        self.width = width
        self.query_proj = nn.Linear(embedding + width, width, bias=False)
        self.input_proj = nn.Linear(embedding, 4 * width)
        self.recurrent_proj = nn.Linear(width, 4 * width)
        self.attention = attention(width, over)

    def intra_attention(self, word: Tensor, state: LSTMNState) -> tuple[Tensor, Tensor, State | None]:
        """Returns h̃ and c̃ (B,D), attended from the past, for an embedded word (B,E), and what the attention carries.

        h̃ and c̃ are 0 at the first step of the encoder, which has no past.
        """
        if state.tapes is None:
            return torch.zeros_like(state.attended_hidden), torch.zeros_like(state.attended_hidden), None
        query = self.query_proj(torch.cat([word, state.attended_hidden], dim=-1))
        attended = self.attention.read(query.unsqueeze(1), state.tapes, state=state.intra_attention)
        hidden, cell = attended.context.squeeze(1).chunk(2, dim=-1)
        return hidden, cell, attended.state

    def advance(self, word: Tensor, hidden: Tensor, cell: Tensor, source_cell: Tensor | None = None) -> Tensor:
        """Returns [h_t; c_t] (B,2D).

        Args:
            word: (B,E), the embedded word.
            hidden: h̃_t (B,D), which replaces h_{t−1}.
            cell: c̃_t (B,D), which replaces c_{t−1}.
            source_cell: (B,D), added to c_t by deep fusion; None for nothing.
        """
        inputs, recurrent = self.input_proj(word), self.recurrent_proj(hidden)
        return lstm_step(inputs, recurrent, torch.cat([hidden, cell], dim=-1), source_cell)

    def append(self, state: LSTMNState, output: Tensor) -> Source:
        """Returns the past of the state with `output` = [h_t; c_t] (B,2D) appended."""
        return self.attention.extend(state.tapes, output[:, None, : self.width], output.unsqueeze(1))


class ShallowFusion(nn.Module):
    """Cross-attention after the recurrence: the query is h_t and the output is tanh(W_c [γ̃_t; h_t])."""

    def __init__(self, width: int, attention: MakeAttention) -> None:
        super().__init__()
        self.attention = attention(width)
        self.combine = nn.Linear(2 * width, width, bias=False)

    def forward(self, output: Tensor, memory: Source, state: State) -> tuple[Tensor, Tensor, State]:
        """Returns the input of the output layer (B,D), the weights (B,S) and the attention's state for h_t (B,D)."""
        attended = self.attention.read(output.unsqueeze(1), memory, state=state)
        # The context is [γ̃; α̃]; shallow fusion uses only its first half, the hidden states.
        context = attended.context.squeeze(1)[:, : output.shape[-1]]
        return self.combine(torch.cat([context, output], dim=-1)).tanh(), attended.weights.squeeze(1), attended.state


class DeepFusion(nn.Module):
    """Cross-attention inside the recurrence, with the query W [x_t; γ̃_{t−1}]; it adds the source's cells to c_t."""

    def __init__(self, embedding: int, width: int, attention: MakeAttention) -> None:
        super().__init__()
        self.query_proj = nn.Linear(embedding + width, width, bias=False)
        self.attention = attention(width)
        self.gate = nn.Linear(embedding + width, width)

    def forward(
        self, word: Tensor, attended_source: Tensor, memory: Source, state: State
    ) -> tuple[Tensor, Tensor, Tensor, State]:
        """Returns γ̃_t (B,D), r_t ⊙ α̃_t (B,D), the weights (B,S) and the state of the attention.

        Args:
            word: (B,E), the embedded word.
            attended_source: γ̃_{t−1} (B,D).
            memory: the encoder's states.
            state: what the attention carries.
        """
        query = self.query_proj(torch.cat([word, attended_source], dim=-1))
        attended = self.attention.read(query.unsqueeze(1), memory, state=state)
        attended_source, cell = attended.context.squeeze(1).chunk(2, dim=-1)
        source_cell = self.gate(torch.cat([word, attended_source], dim=-1)).sigmoid() * cell
        return attended_source, source_cell, attended.weights.squeeze(1), attended.state
