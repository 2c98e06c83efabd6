"""An attention under test as the attention of attnbench's models."""

from typing import Any

import torch
from torch import Tensor, nn

from attnbench.attention_types import Attended, Source, State
from attnbench.guarding.convention import Convention, Kind
from attnbench.guarding.target import attend
from attnbench.masking import valid_positions


class CrossAttention(nn.Module):
    """Attends with the state of a decoder to the annotations of a source, by the methods of `Attention`.

    An attention of one sequence, or a causal one, is given the annotations followed by the state: the context is that
    of the last position.

    Args:
        module: the attention, or a function.
        found: how it is called.
        causal: whether it is causal.
        width: D of the decoder. If the attention has another width, linear layers map its inputs and its context.
    """

    # What the decoder asks of an attention that has neither a scope nor a normaliser.
    scope = None
    normaliser = None

    def __init__(self, module: Any, found: Convention, causal: bool, width: int) -> None:
        super().__init__()
        self.module = module
        self.found = found
        self.joins = causal or found.is_self
        is_function = not isinstance(module, nn.Module)
        self.inner = width if is_function else found.width
        self.into = nn.ModuleDict(
            {name: nn.Linear(width, self.inner) for name in found.inputs} if self.inner != width else {}
        )
        self.out = nn.Linear(self.inner, width) if self.inner != width else nn.Identity()

    def prepare(self, keys: Tensor, values: Tensor, source_lengths: Tensor | None) -> Source:
        """Returns the source (B,S,D) with its mask; see `Attention.prepare`."""
        valid = valid_positions(source_lengths, keys.shape[-2])
        mask = None if valid is None else valid.unsqueeze(-2)
        lengths = torch.full(keys.shape[:1], keys.shape[-2]) if source_lengths is None else source_lengths
        return Source(keys, values, mask, lengths)

    def start(self, source: Source) -> State:
        """Returns what it carries from step to step: nothing."""
        del source
        return ()

    def read(self, query: Tensor, source: Source, step: int = 0, state: State | None = None) -> Attended:
        """Attends with queries (B,1,D); the weights are not known, and are 0."""
        del step, state
        kind, mask = self._mask(query, source)
        sequences = {"query": query, "key": source.keys, "value": source.values, "source": source.values}
        if self.joins:
            joined = torch.cat([source.values, query], dim=1)
            sequences = dict.fromkeys((*sequences, "sequence"), joined)
        inputs = [self.into[name](sequences[name]) if self.into else sequences[name] for name in self.found.inputs]
        context = self.out(attend(self.found, self.module, kind)(*inputs, *mask))[:, -1:]
        nothing = query.new_zeros(*query.shape[:-1], source.keys.shape[-2])
        return Attended(context, nothing, nothing)

    def _mask(self, query: Tensor, source: Source) -> tuple[Kind, list[Tensor]]:
        """The kind of mask that is passed, and the mask: (B,S) or (B,T,S)."""
        calls = self.found.calls
        if source.mask is None and Kind.NONE in calls:
            return Kind.NONE, []
        valid = torch.ones_like(source.keys[..., 0], dtype=torch.bool) if source.mask is None else source.mask[:, 0]
        if self.joins:
            valid = torch.cat([valid, torch.ones_like(query[..., 0], dtype=torch.bool)], dim=1)
        if Kind.KEYS in calls:
            return Kind.KEYS, [valid]
        each = valid.shape[1] if self.joins else query.shape[1]
        return Kind.PAIRS, [valid.unsqueeze(1).expand(-1, each, -1)]

    def objective(
        self, log_likelihood: Tensor, logits: Tensor, weights: Tensor, mask: Any, target_mask: Tensor
    ) -> Tensor:
        """Returns the mean negative log-likelihood in nats per target word."""
        del logits, weights, mask
        return -(log_likelihood * target_mask).sum() / target_mask.sum()
