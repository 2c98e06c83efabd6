"""Multi-head attention with any score."""

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from attnbench.attention import Attention
from attnbench.attention_types import Source
from attnbench.models.base import MakeAttention, Parts
from attnbench.models.positions import rotate


class Heads(NamedTuple):
    """Prepared keys and values of H heads.

    Attributes:
        keys: (B,H,S,…), the result of each score's `prepare` for keys (B,S,D/H).
        values: (B,H,S,D/H).
    """

    keys: Tensor
    values: Tensor

    def followed_by(self, other: "Heads") -> "Heads":
        """Returns these positions followed by those of `other`: the cache of step-by-step decoding."""
        return Heads(torch.cat([self.keys, other.keys], dim=2), torch.cat([self.values, other.values], dim=2))


class MultiHead(nn.Module):
    """Multi-head attention: H heads of width D/H, each with its own score.

    Formula: head_h = attention(Q W_q^h, K W_k^h, V W_v^h); MultiHead(Q, K, V) = [head_1; …; head_H] W_o
    Source: Vaswani et al. 2017, §3.2.2 (arXiv 1706.03762)

    The projections have no biases. With the score `scaled_dot` and the same weights, the result equals that of
    `torch.nn.MultiheadAttention`.

    Args:
        width: D, a multiple of `heads`.
        heads: H.
        attention: builds the attention of each head.
        rotary: whether to apply rotary position embeddings to queries and keys.
        over: the sequence that the keys come from.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        attention: MakeAttention,
        rotary: bool = False,
        over: Literal["source", "target"] = "source",
    ) -> None:
        super().__init__()
        self.heads, self.rotary = heads, rotary
        self.query_proj = nn.Linear(width, width, bias=False)
        self.key_proj = nn.Linear(width, width, bias=False)
        self.value_proj = nn.Linear(width, width, bias=False)
        self.out_proj = nn.Linear(width, width, bias=False)
        self.attention = Parts[_Head](_Head(attention(width // heads, over)) for _ in range(heads))

    def prepare(self, states: Tensor, start: int = 0) -> Heads:
        """Prepares the keys and values of states (B,S,D), the first of which is at position `start`."""
        keys = self._split(self.key_proj(states))
        keys = rotate(keys, start) if self.rotary else keys
        return Heads(self._each("prepare", keys), self._split(self.value_proj(states)))

    def read(
        self, states: Tensor, source: Heads, mask: Tensor | None, bias: Tensor | None = None, start: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Attends with queries from states (B,T,D) to prepared keys and values.

        Args:
            states: (B,T,D).
            source: the result of `prepare`, of S positions.
            mask: broadcasts to (B,T,S), True where a position may be used; None if all positions may be used.
            bias: (H,T,S), added to the logits; None for no bias.
            start: position of the first query.

        Returns:
            The output (B,T,D) and the weights (B,H,T,S).
        """
        queries = self._split(self.query_proj(states))
        queries = rotate(queries, start) if self.rotary else queries
        context, weights = self._each("read", queries, source.keys, source.values, shared=mask, bias=bias)
        return self.out_proj(context.transpose(1, 2).flatten(2)), weights

    def _split(self, states: Tensor) -> Tensor:
        """Reshapes (B,T,D) to (B,H,T,D/H)."""
        return states.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _each(self, method: str, *data: Tensor, shared: Tensor | None = None, bias: Tensor | None = None) -> Any:
        """Calls a method of every head on its part of the data and stacks the results along axis 1.

        Args:
            method: the method of `_Head`.
            data: tensors (B,H,…), split between the heads.
            shared: the mask, the same for all heads.
            bias: (H,T,S), split between the heads.
        """
        # One vmapped call instead of a loop over the heads, in the same way as the replicas are stacked.
        template = self.attention[0]
        tensors = [dict(head.named_parameters()) | dict(head.named_buffers()) for head in self.attention]
        stacked = {name: torch.stack([own[name] for own in tensors]) for name in tensors[0]}

        def one(own: dict[str, Tensor], bias: Tensor | None, *data: Tensor) -> Any:
            return functional_call(template, own, (method, *data, shared, bias))

        axes = (0, None if bias is None else 0, *[1] * len(data))
        return vmap(one, in_dims=axes, out_dims=1, randomness="error")(stacked, bias, *data)


class _Head(nn.Module):
    """One head.

    `functional_call` can call only `forward`, so `forward` takes the name of the method to run.
    """

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, method: str, *arguments: Any) -> Any:
        return getattr(self, method)(*arguments)

    def prepare(self, keys: Tensor, mask: None, bias: None) -> Tensor:
        """Returns the prepared keys (B,S,…) of keys (B,S,D/H)."""
        # _each passes a mask and a bias to every method.
        del mask, bias
        return self.attention.prepare(keys, keys, None).keys

    def read(
        self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, bias: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Returns the context (B,T,D/H) and the weights (B,T,S) of queries (B,T,D/H)."""
        # Padding is excluded by the mask, so every position counts as valid in the lengths.
        lengths = torch.full(keys.shape[:1], keys.shape[1], device=keys.device)
        attended = self.attention.read(query, Source(keys, values, mask, lengths), bias=bias)
        return attended.context, attended.weights
