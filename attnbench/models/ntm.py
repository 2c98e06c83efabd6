"""The neural Turing machine: a controller that writes the source to a memory and produces the target from it."""

from typing import Literal, NamedTuple

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from attnbench.masking import valid_positions
from attnbench.models import addressing
from attnbench.models.base import MakeAttention, Seq2Seq
from attnbench.models.recurrent_cells import KINDS
from attnbench.registry import model

# Initial value of all memory entries. Collier & Beel 2018 found that training converges about twice as fast with a
# small constant as with other initialisations.
BLANK = 1e-6


class Machine(NamedTuple):
    """The state of an NTM.

    Attributes:
        memory: (B,N,M).
        weights: (B,2H,N), of the H read heads followed by the H write heads.
        read: (B,H·M), the vectors read at the last step.
        controller: (B,…), the state of the controller.
    """

    memory: Tensor
    weights: Tensor
    read: Tensor
    controller: Tensor


@model("ntm")
class NTM(Seq2Seq):
    """Neural Turing machine: a controller with read and write heads on a memory.

    Formula: w^c = normaliser_n β·score(k, M(n)); w^g = g·w^c + (1 − g)·w_{t−1}; w̃(n) = Σ_j w^g(n − j)·s(j);
        w = w̃^γ / Σ w̃^γ; M(n) ← M(n) ⊙ (1 − w(n)·e) + w(n)·a; r = Σ_n w(n)·M(n); p(y_t) = softmax(W_o [h_t; r_t])
    Source: Graves, Wayne & Danihelka 2014, §3 (arXiv 1410.5401); constant initial memory: Collier & Beel 2018
        (arXiv 1807.08518)

    The memory has `slots` slots of `slot_width` numbers; there are `heads` read heads and `heads` write heads. The
    controller first reads the source word by word. Then it produces one target word per step without any input, not
    even the previous target word. Heads address by content, with the chosen score, and by location, with circular
    shifts of up to `shifts` slots. All heads start at slot 0.

    The alignment is A_{t,i} = Σ_n read_t(n)·write_i(n), with the weights averaged over the heads: how much step t reads
    from the slots that word i was written to. Its rows need not sum to 1.

    The score `cosine` has its own learned strength, which multiplies β. With `strength: 1` only β remains.
    """

    def __init__(
        self,
        source_vocabulary: int,
        target_vocabulary: int,
        attention: MakeAttention,
        width: PositiveInt = 64,
        embedding: PositiveInt = 32,
        controller: Literal["lstm", "gru", "feedforward"] = "lstm",
        slots: PositiveInt = 32,
        slot_width: PositiveInt = 20,
        heads: PositiveInt = 1,
        shifts: NonNegativeInt = 1,
    ) -> None:
        super().__init__()
        self.slots, self.slot_width, self.heads = slots, slot_width, heads
        self.embedding_width = embedding
        self.source_embedding = nn.Embedding(source_vocabulary, embedding)
        self.controller = Controller(embedding + heads * slot_width, width, controller)
        # Per head: the key k, β, g, γ and the shift weights s. Write heads also get e and a, from their own layers.
        self.split = [slot_width, 1, 1, 1, 2 * shifts + 1]
        self.address_proj = nn.Linear(width, 2 * heads * sum(self.split))
        self.erase_proj = nn.Linear(width, heads * slot_width)
        self.add_proj = nn.Linear(width, heads * slot_width)
        self.readout = nn.Linear(width + heads * slot_width, target_vocabulary)
        self.attention = attention(slot_width)

    def encode(self, source: Tensor, lengths: Tensor | None) -> tuple[Tensor, Machine]:
        """Reads the source; returns the write weights of each source word (B,S,N) and the state after the last word."""
        machine, written = self._start(source), []
        valid = valid_positions(lengths, source.shape[1])
        for i, word in enumerate(self.source_embedding(source).unbind(1)):
            new, _ = self._advance(machine, word)
            row = new.weights[:, self.heads :].mean(1)
            # Past the end of a sentence the state stays as it is, so that padding changes nothing.
            if valid is not None:
                here = valid[:, i]
                new = Machine(*(torch.where(_like(here, a), a, b) for a, b in zip(new, machine, strict=True)))
                row = torch.where(_like(here, row), row, 0)
            machine = new
            written.append(row)
        return torch.stack(written, dim=1), machine

    def step(self, memory: Tensor, state: Machine, previous: Tensor, index: int) -> tuple[Machine, Tensor, Tensor]:
        """Decodes one step: returns the new state, the logits (B,V) and the alignment (B,S).

        The previous word is not used, except for the batch size.
        """
        del index
        # Graves et al. give no input while the output is produced: the target must come from the memory.
        nothing = state.read.new_zeros(len(previous), self.embedding_width)
        machine, output = self._advance(state, nothing)
        reading = machine.weights[:, : self.heads].mean(1, keepdim=True)
        logits = self.readout(torch.cat([output, machine.read], dim=-1))
        return machine, logits, (reading @ memory.mT).squeeze(1)

    def _start(self, source: Tensor) -> Machine:
        """Returns the state before the first step, in which all heads are at slot 0."""
        weight, batch = self.readout.weight, len(source)
        at_slot_0 = functional.pad(weight.new_ones(batch, 2 * self.heads, 1), (0, self.slots - 1))
        return Machine(
            weight.new_full((batch, self.slots, self.slot_width), BLANK),
            at_slot_0,
            weight.new_zeros(batch, self.heads * self.slot_width),
            weight.new_zeros(batch, self.controller.state_width),
        )

    def _advance(self, machine: Machine, inputs: Tensor) -> tuple[Machine, Tensor]:
        """Runs one step with inputs (B,E); returns the new state and the controller's output (B,D)."""
        state, output = self.controller(torch.cat([inputs, machine.read], dim=-1), machine.controller)
        weights = self._address(output, machine)
        each_head = (self.heads, self.slot_width)
        erase = self.erase_proj(output).sigmoid().unflatten(-1, each_head)
        add = self.add_proj(output).tanh().unflatten(-1, each_head)
        # The write comes first, so a step can read what it has just written.
        memory = addressing.write(machine.memory, weights[:, self.heads :], erase, add)
        read = addressing.read(memory, weights[:, : self.heads]).flatten(1)
        return Machine(memory, weights, read, state), output

    def _address(self, output: Tensor, machine: Machine) -> Tensor:
        """Returns the weights (B,2H,N) of all heads, from the controller's output (B,D)."""
        parameters = self.address_proj(output).unflatten(-1, (2 * self.heads, -1))
        key, strength, gate, power, amounts = parameters.split(self.split, dim=-1)
        # Unlike a source, the memory changes at every step, so its keys are prepared at every step.
        source = self.attention.prepare(machine.memory, machine.memory, None)
        logits = self.attention.compare(key.tanh(), source) * functional.softplus(strength)
        content = self.attention.scope(logits, None, key, source.lengths, 0)
        mixed = addressing.interpolate(content, machine.weights, gate.sigmoid())
        moved = addressing.shift(mixed, amounts.softmax(-1))
        return addressing.sharpen(moved, 1 + functional.softplus(power))


class Controller(nn.Module):
    """The controller: a GRU, an LSTM, or a stateless layer of tanh units (`feedforward`).

    The state of the feedforward controller is a tensor of width 0.
    """

    def __init__(self, inputs: int, width: int, kind: str) -> None:
        super().__init__()
        self.kind = KINDS.get(kind)
        self.state_width = self.kind.parts * width if self.kind else 0
        rows = self.kind.gates * width if self.kind else width
        self.input_proj = nn.Linear(inputs, rows)
        self.recurrent_proj = nn.Linear(width, rows) if self.kind else None

    def forward(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the new state (B,…) and the output (B,D) for inputs (B,I) and the previous state (B,…)."""
        if self.kind is None or self.recurrent_proj is None:
            return state, self.input_proj(inputs).tanh()
        state = self.kind.step(self.input_proj(inputs), self.recurrent_proj(self.kind.output(state)), state)
        return state, self.kind.output(state)


def _like(mask: Tensor, other: Tensor) -> Tensor:
    """Reshapes the mask (B,) to broadcast against `other` (B,…)."""
    return mask.view(-1, *[1] * (other.ndim - 1))
