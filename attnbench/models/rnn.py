"""The RNN encoder-decoder with attention, the default model (semantics.md §1)."""

from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from attnbench.masking import valid_positions
from attnbench.models.base import MakeAttention
from attnbench.models.recurrent_cells import Encoder
from attnbench.models.recurrent_decoder import RecurrentDecoder, RecurrentMemory, RecurrentState
from attnbench.registry import model


@model("rnn")
class Recurrent(RecurrentDecoder):
    """Bidirectional RNN encoder and RNN decoder with attention.

    Formula: c_t = Σ_i α_{t,i} h_i; s_t = f(s_{t−1}, y_{t−1}, c_t); p(y_t) = softmax(W_o [s_t; c_t; y_{t−1}])
    Source: Bahdanau, Cho & Bengio 2015 (arXiv 1409.0473; query: previous); Luong, Pham & Manning 2015
        (arXiv 1508.04025; query: current)

    Options:
    - `query: previous` (Bahdanau's order): the query is s_{t−1}, and c_t is an input of the RNN.
    - `query: current` (Luong's order): the RNN steps first and the query is s_t. The output is
      p(y_t) = softmax(W_o s̃_t), with s̃_t = tanh(W_c [c_t; s_t]).
    - `input_feeding` (with `query: current` only): s̃_{t−1} is an input of the RNN.
    - `init: encoder`: s_{−1} = tanh(W_s ←h_0). `init: zero`: s_{−1} = 0, so that the decoder gets information about the
      source through attention only.
    - `reverse_source`: reads the source in reverse order, EOS still last, as in Sutskever et al. 2014. The alignment
      refers to the original order.

    Raises:
        AttnbenchError: if `input_feeding` is used with `query: previous`.
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
        super().__init__(width, cell, query, input_feeding)
        self.reverse_source = reverse_source
        self.source_embedding = nn.Embedding(source_vocabulary, embedding)
        self.target_embedding = nn.Embedding(target_vocabulary, embedding)
        self.encoder = Encoder(embedding, width, cell)
        self.build_decoder(target_vocabulary, embedding, attention, width // 2 if init == "encoder" else None)

    def encode(self, source: Tensor, lengths: Tensor | None) -> tuple[RecurrentMemory, RecurrentState]:
        """Returns the memory and the state before the first step."""
        order = reversed_order(source, lengths) if self.reverse_source else None
        words = source if order is None else source.gather(1, order)
        states = self.encoder(words, self.source_embedding.weight, valid_positions(lengths, source.shape[1]))
        # Position 0 holds the final state of the backward direction, in its second half.
        return self.started(states, states, states[:, 0, self.width // 2 :], lengths, order)


def reversed_order(source: Tensor, lengths: Tensor | None) -> Tensor:
    """Returns the positions (B,S) that reverse the words of sources (B,S); EOS and padding keep their positions."""
    positions = torch.arange(source.shape[1], device=source.device).expand_as(source)
    last = (source.shape[1] if lengths is None else lengths.unsqueeze(1)) - 1  # EOS
    return torch.where(positions < last, last - 1 - positions, positions)
