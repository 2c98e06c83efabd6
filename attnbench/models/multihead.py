"""Multi-head attention in which any score can stand."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from attnbench.attention import Attention, Source
from attnbench.models.base import MakeAttention, Parts
from attnbench.models.positions import rotate


class Heads(NamedTuple):
    """What H heads read: keys (B,H,S,D/H) as their scores prepared them, and values (B,H,S,D/H)."""

    keys: Tensor
    values: Tensor

    def followed_by(self, other: "Heads") -> "Heads":
        """These positions and then the other's: the cache of decoding step by step."""
        return Heads(torch.cat([self.keys, other.keys], dim=2), torch.cat([self.values, other.values], dim=2))


class MultiHead(nn.Module):
    """H heads of attention, each with a score of its own over D/H of the width.

    Formula: head_h = attention(Q W_q^h, K W_k^h, V W_v^h), MultiHead(Q, K, V) = [head_1; …; head_H] W_o
    Source: Vaswani et al. 2017, §3.2.2 (arXiv 1706.03762). No biases.

    Args:
        width: D, a multiple of heads.
        heads: H.
        attention: builds each head's attention.
        rotary: whether queries and keys are turned by their positions first.
    """

    def __init__(self, width: int, heads: int, attention: MakeAttention, rotary: bool = False) -> None:
        super().__init__()
        self.heads, self.rotary = heads, rotary
        self.query_proj = nn.Linear(width, width, bias=False)
        self.key_proj = nn.Linear(width, width, bias=False)
        self.value_proj = nn.Linear(width, width, bias=False)
        self.out_proj = nn.Linear(width, width, bias=False)
        self.attention = Parts[_Head](_Head(attention(width // heads)) for _ in range(heads))

    def prepare(self, states: Tensor, start: int = 0) -> Heads:
        """What states (B,S,D) offer to be read, the first of them at position `start`."""
        keys = self._split(self.key_proj(states))
        keys = rotate(keys, start) if self.rotary else keys
        return Heads(self._each("prepare", keys), self._split(self.value_proj(states)))

    def read(
        self, states: Tensor, source: Heads, mask: Tensor | None, bias: Tensor | None = None, start: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Attends with states (B,T,D), the first of them at position `start`.

        Args:
            states: (B,T,D).
            source: of S positions.
            mask: broadcasts to (B,T,S), True where a position may be read; None where all may be.
            bias: (H,T,S), added to the logits; None for nothing.
            start: position of the first query.

        Returns:
            The context (B,T,D) and the weights (B,H,T,S).
        """
        queries = self._split(self.query_proj(states))
        queries = rotate(queries, start) if self.rotary else queries
        context, weights = self._each("read", queries, source.keys, source.values, shared=mask, bias=bias)
        return self.out_proj(context.transpose(1, 2).flatten(2)), weights

    def _split(self, states: Tensor) -> Tensor:
        """(B,T,D) as (B,H,T,D/H)."""
        return states.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _each(self, method: str, *data: Tensor, shared: Tensor | None = None, bias: Tensor | None = None) -> Any:
        """What every head makes of its part of the data, heads side by side: they are stacked as replicas are."""
        template = self.attention[0]
        tensors = [dict(head.named_parameters()) | dict(head.named_buffers()) for head in self.attention]
        stacked = {name: torch.stack([own[name] for own in tensors]) for name in tensors[0]}

        def one(own: dict[str, Tensor], bias: Tensor | None, *data: Tensor) -> Any:
            return functional_call(template, own, (method, *data, shared, bias))

        axes = (0, None if bias is None else 0, *[1] * len(data))
        return vmap(one, in_dims=axes, out_dims=1, randomness="different")(stacked, bias, *data)


class _Head(nn.Module):
    """One head. `functional_call` reaches a module's forward alone, so both halves of attending pass there."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, method: str, *arguments: Any) -> Any:
        return getattr(self, method)(*arguments)

    def prepare(self, keys: Tensor, mask: None, bias: None) -> Tensor:
        del mask, bias
        return self.attention.prepare(keys, keys, None).keys

    def read(
        self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, bias: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        lengths = torch.full(keys.shape[:1], keys.shape[1], device=keys.device)
        attended = self.attention.read(query, Source(keys, values, mask, lengths), bias=bias)
        return attended.context, attended.weights
