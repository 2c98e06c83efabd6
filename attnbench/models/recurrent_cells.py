"""GRU and LSTM cells, written out step by step because torch's own modules have no batching rule under vmap.

The state of a GRU is a tensor (…,D), that of an LSTM a tensor (…,2D). The first D entries are the output.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


def gru_step(inputs: Tensor, recurrent: Tensor, state: Tensor) -> Tensor:
    """Computes the elementwise part of a GRU step and returns the new state (…,D).

    Formula: r = σ(a_r + u_r); z = σ(a_z + u_z); n = tanh(a_n + r ⊙ u_n); h = (1 − z) ⊙ n + z ⊙ h_{t−1}
    Source: Cho et al. 2014 (arXiv 1406.1078), with the reset gate applied after the matrix product, as in torch.nn.GRU.

    Args:
        inputs: a (…,3D), the projected input for the gates r and z and the candidate n.
        recurrent: u (…,3D), the projected previous output for the same.
        state: h_{t−1} (…,D).
    """
    width = state.shape[-1]
    # split and not slices: the gradient of split is a single cat, that of each slice a full-size tensor of zeros.
    input_gates, input_candidate = inputs.split([2 * width, width], dim=-1)
    recurrent_gates, recurrent_candidate = recurrent.split([2 * width, width], dim=-1)
    reset, update = (input_gates + recurrent_gates).sigmoid().chunk(2, dim=-1)
    candidate = (input_candidate + reset * recurrent_candidate).tanh()
    # The same as (1 − z) ⊙ n + z ⊙ h with one multiplication less.
    return candidate + update * (state - candidate)


def lstm_step(inputs: Tensor, recurrent: Tensor, state: Tensor, source_cell: Tensor | None = None) -> Tensor:
    """Computes the elementwise part of an LSTM step and returns the new state [h; c] (…,2D).

    Formula: i, f, o = σ(a + u); g = tanh(a + u); c = f ⊙ c_{t−1} + i ⊙ g; h = o ⊙ tanh(c)
    Source: Hochreiter & Schmidhuber 1997; Gers et al. 2000 (forget gate); the same as torch.nn.LSTM.

    Args:
        inputs: a (…,4D), the projected input for i, f, g and o, in this order: input gate, forget gate, candidate and
            output gate.
        recurrent: u (…,4D), the projected previous output for the same.
        state: [h_{t−1}; c_{t−1}] (…,2D).
        source_cell: (…,D), added to c, for the deep fusion of an LSTMN; None for nothing.
    """
    _, last_cell = state.chunk(2, dim=-1)
    input_gate, forget_gate, candidate, output_gate = (inputs + recurrent).chunk(4, dim=-1)
    cell = forget_gate.sigmoid() * last_cell + input_gate.sigmoid() * candidate.tanh()
    cell = cell if source_cell is None else cell + source_cell
    return torch.cat([output_gate.sigmoid() * cell.tanh(), cell], dim=-1)


class Kind(NamedTuple):
    """A type of recurrent cell.

    Attributes:
        gates: number of gates, the candidate included; projections have gates · D rows.
        parts: width of the state in multiples of D.
        step: computes the new state from the projected input, the projected output and the state.
    """

    gates: int
    parts: int
    step: Callable[[Tensor, Tensor, Tensor], Tensor]

    def output(self, state: Tensor) -> Tensor:
        """Returns the output h (…,D) of a state."""
        return state if self.parts == 1 else state.chunk(self.parts, dim=-1)[0]


KINDS = {"gru": Kind(3, 1, gru_step), "lstm": Kind(4, 2, lstm_step)}


class Encoder(nn.Module):
    """A bidirectional RNN over words: h_i = [→h_i; ←h_i], with D/2 units per direction.

    The backward direction starts at the last position of each sentence, not at the padded end. Padded positions are 0.
    The states have width D, the width of the decoder, so that no projection between encoder and score is needed: with
    one, the score `dot` would be `general`.

    Args:
        embedding: E, the width of the word vectors.
        width: D, even.
        cell: "gru" or "lstm".
    """

    def __init__(self, embedding: int, width: int, cell: str) -> None:
        super().__init__()
        self.kind = KINDS[cell]
        self.units = width // 2
        rows = self.kind.gates * self.units
        self.input_proj = nn.Linear(embedding, 2 * rows)  # both directions at once
        # The directions are stacked in one tensor, so that a step is one batched product. The initial values of these
        # weights are those of torch.nn.GRU and torch.nn.LSTM.
        bound = 1 / math.sqrt(self.units)
        self.recurrent_weight = nn.Parameter(torch.empty(2, self.units, rows).uniform_(-bound, bound))
        self.recurrent_bias = nn.Parameter(torch.empty(2, 1, rows).uniform_(-bound, bound))

    def forward(self, words: Tensor, vectors: Tensor, mask: Tensor | None) -> Tensor:
        """Returns the states (B,S,D).

        Args:
            words: (B,S) ids.
            vectors: (V,E), the embeddings of the whole vocabulary.
            mask: (B,S), True on words and False on padding; None if there is no padding.
        """
        inputs = self._inputs(words.mT, vectors).unbind(0)  # S times (2,B,rows)
        masks = None if mask is None else torch.stack([mask.mT, mask.mT.flip(0)], dim=1).unsqueeze(-1).unbind(0)
        state = vectors.new_zeros(2, len(words), self.kind.parts * self.units)
        outputs = []
        for i, each in enumerate(inputs):
            recurrent = self.kind.output(state) @ self.recurrent_weight + self.recurrent_bias
            new = self.kind.step(each, recurrent, state)
            # In the flipped order a sentence starts with its padding: the state stays 0 until the last word.
            state = new if masks is None else torch.where(masks[i], new, state)
            outputs.append(self.kind.output(state))
        forward, backward = torch.stack(outputs).unbind(1)  # (S,B,units)
        states = torch.cat([forward.transpose(0, 1), backward.flip(0).transpose(0, 1)], dim=-1)
        return states if mask is None else states.masked_fill(~mask.unsqueeze(-1), 0)

    def _inputs(self, words: Tensor, vectors: Tensor) -> Tensor:
        """Returns the projected inputs (S,2,B,rows) of words (S,B), for the backward direction in reverse order."""
        both = torch.stack([words, words.flip(0)], dim=1)
        # As in project_words: with fewer words than the vocabulary has, project the words, else the vocabulary.
        if words.numel() < len(vectors):
            forward, backward = self.input_proj(functional.embedding(both, vectors)).chunk(2, dim=-1)
            return torch.stack([forward[:, 0], backward[:, 1]], dim=1)
        table = self.input_proj(vectors).unflatten(-1, (2, -1)).transpose(0, 1).flatten(0, 1)  # (2V,rows)
        first_row = len(vectors) * torch.arange(2, device=words.device).unsqueeze(-1)
        return functional.embedding(both + first_row, table)


def project_words(words: Tensor, vectors: Tensor, projection: nn.Linear) -> Tensor:
    """Returns the projections W x + b (…,R) of the embeddings x of words (…).

    Args:
        words: (…) ids.
        vectors: (V,E), the embeddings of the whole vocabulary.
        projection: from E to R.
    """
    # A training batch usually has far more words than the vocabulary. Then projecting the vocabulary once and looking
    # up the results is cheaper than projecting every word; the numbers are the same.
    if words.numel() < len(vectors):
        return projection(functional.embedding(words, vectors))
    return functional.embedding(words, projection(vectors))
