"""GRU and LSTM, one step at a time, written out: under vmap, torch's own have no batching rule.

A state is one tensor (…,D) for the GRU, (…,2D) for the LSTM, whose first D entries are its output.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


def gru_step(inputs: Tensor, recurrent: Tensor, state: Tensor) -> Tensor:
    """The GRU's elementwise part.

    r = σ(a_r + u_r), z = σ(a_z + u_z), n = tanh(a_n + r ⊙ u_n), h = (1 − z) ⊙ n + z ⊙ h_{t−1}
    Source: Cho et al. 2014, with the reset gate after the product, as torch.nn.GRU has it.

    Args:
        inputs: a (…,3D), what the input contributes to r, z, n.
        recurrent: u (…,3D), what the last output contributes.
        state: h_{t−1} (…,D).
    """
    width = state.shape[-1]
    # split, not slices: its gradient is one cat, a slice's a zero tensor of full size each.
    input_gates, input_candidate = inputs.split([2 * width, width], dim=-1)
    recurrent_gates, recurrent_candidate = recurrent.split([2 * width, width], dim=-1)
    reset, update = (input_gates + recurrent_gates).sigmoid().chunk(2, dim=-1)
    candidate = (input_candidate + reset * recurrent_candidate).tanh()
    return candidate + update * (state - candidate)


def lstm_step(inputs: Tensor, recurrent: Tensor, state: Tensor, more: Tensor | None = None) -> Tensor:
    """The LSTM's elementwise part.

    i, f, o = σ(a + u), g = tanh(a + u), c = f ⊙ c_{t−1} + i ⊙ g, h = o ⊙ tanh(c); gates in the order i, f, g, o.
    Source: Hochreiter & Schmidhuber 1997, Gers et al. 2000, as torch.nn.LSTM has it.

    Args:
        inputs: a (…,4D).
        recurrent: u (…,4D).
        state: [h_{t−1}; c_{t−1}] (…,2D).
        more: (…,D) added to c; an LSTMN of deep fusion has it.
    """
    _, last_memory = state.chunk(2, dim=-1)
    enter, forget, candidate, leave = (inputs + recurrent).chunk(4, dim=-1)
    memory = forget.sigmoid() * last_memory + enter.sigmoid() * candidate.tanh()
    memory = memory if more is None else memory + more
    return torch.cat([leave.sigmoid() * memory.tanh(), memory], dim=-1)


class Kind(NamedTuple):
    """A recurrent cell: its number of gates, how many widths its state has, and its step."""

    gates: int
    parts: int
    step: Callable[[Tensor, Tensor, Tensor], Tensor]

    def output(self, state: Tensor) -> Tensor:
        """The output h (…,D) of a state."""
        return state if self.parts == 1 else state.chunk(self.parts, dim=-1)[0]


KINDS = {"gru": Kind(3, 1, gru_step), "lstm": Kind(4, 2, lstm_step)}


class Encoder(nn.Module):
    """A bidirectional RNN over words: h_i = [→h_i; ←h_i], D/2 units per direction.

    The backward direction starts at each sentence's own last position, and padded positions are 0.
    """

    def __init__(self, embedding: int, width: int, cell: str) -> None:
        super().__init__()
        self.kind = KINDS[cell]
        self.units = width // 2
        rows = self.kind.gates * self.units
        self.input_proj = nn.Linear(embedding, 2 * rows)  # both directions at once
        bound = 1 / math.sqrt(self.units)
        self.recurrent_weight = nn.Parameter(torch.empty(2, self.units, rows).uniform_(-bound, bound))
        self.recurrent_bias = nn.Parameter(torch.empty(2, 1, rows).uniform_(-bound, bound))

    def forward(self, words: Tensor, vectors: Tensor, mask: Tensor | None) -> Tensor:
        """States (B,S,D).

        Args:
            words: (B,S) ids.
            vectors: (V,E), of every word of the vocabulary.
            mask: (B,S), True on words; None where all are.
        """
        inputs = self._inputs(words.mT, vectors).unbind(0)  # S times (2,B,rows)
        masks = None if mask is None else torch.stack([mask.mT, mask.mT.flip(0)], dim=1).unsqueeze(-1).unbind(0)
        state = vectors.new_zeros(2, len(words), self.kind.parts * self.units)
        outputs = []
        for i, each in enumerate(inputs):
            recurrent = self.kind.output(state) @ self.recurrent_weight + self.recurrent_bias
            new = self.kind.step(each, recurrent, state)
            # Flipped, a sentence begins with its padding: the state stays 0 until its last word comes.
            state = new if masks is None else torch.where(masks[i], new, state)
            outputs.append(self.kind.output(state))
        forward, backward = torch.stack(outputs).unbind(1)  # (S,B,units)
        states = torch.cat([forward.transpose(0, 1), backward.flip(0).transpose(0, 1)], dim=-1)
        return states if mask is None else states.masked_fill(~mask.unsqueeze(-1), 0)

    def _inputs(self, words: Tensor, vectors: Tensor) -> Tensor:
        """What words (S,B) contribute to the gates, (S,2,B,rows); the backward direction reads them from the last."""
        both = torch.stack([words, words.flip(0)], dim=1)
        if words.numel() < len(vectors):
            forward, backward = self.input_proj(functional.embedding(both, vectors)).chunk(2, dim=-1)
            return torch.stack([forward[:, 0], backward[:, 1]], dim=1)
        table = self.input_proj(vectors).unflatten(-1, (2, -1)).transpose(0, 1).flatten(0, 1)  # (2V,rows)
        first_row = len(vectors) * torch.arange(2, device=words.device).unsqueeze(-1)
        return functional.embedding(both + first_row, table)


def project_words(words: Tensor, vectors: Tensor, projection: nn.Linear) -> Tensor:
    """W x + b of the vectors x of words (…), given those of every word of the vocabulary, (V,E).

    The same numbers, whichever is fewer is projected: the words, or the vocabulary.
    """
    if words.numel() < len(vectors):
        return projection(functional.embedding(words, vectors))
    return functional.embedding(words, projection(vectors))
