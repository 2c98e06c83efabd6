"""Base classes of the built-in scores, and how a score of any class is called."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from attnbench.products import dot_products


class Score(nn.Module):
    """A score split into `prepare`, which sees the keys only, and `compare`, which also sees the query.

    `prepare` runs once per source and `compare` once per step, so step-by-step decoding does not repeat the products
    with the keys. A custom score need not derive from this class: a plain module with `forward(query, keys)` works. So
    does a subclass that overrides `forward`: its `prepare` and `compare` are then not called, unless it overrides
    `compare` as well.
    """

    def prepare(self, keys: Tensor) -> Tensor:
        """Returns the part of the score that depends on the keys (B,S,D) alone, as (B,S,…).

        Each position must be computed independently of the others: the LSTMN and the Transformer's decoder append
        prepared keys step by step.
        """
        return keys

    def compare(self, query: Tensor, prepared: Tensor) -> Tensor:
        """Returns the logits (B,T,S) of queries (B,T,D) and prepared keys; by default their dot products."""
        return dot_products(query, prepared)

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Returns the logits (B,T,S) of queries (B,T,D) and keys (B,S,D)."""
        return self.compare(query, self.prepare(keys))


class StatefulScore(nn.Module, ABC):
    """A score that carries something from one step to the next, such as the weights of the previous step.

    A score with a method `start` is called with one query at a time, in order:

        state = start(prepared)                             # before the first step
        logits, state = compare(query, prepared, state)     # at each step; the query is (B,1,D)
        state = update(state, weights)                      # if it has this method; the weights are (B,1,S)

    The state is a tensor or a tuple of tensors, whose first axis is B. Between two steps, the source may have become
    longer, where a model attends to its own past; earlier weights on the new positions count as 0. A custom score that
    is a plain module has `forward(query, keys, state)` in place of `compare`, and `start(keys)`.
    """

    def prepare(self, keys: Tensor) -> Tensor:
        """Returns the part of the score that depends on the keys (B,S,D) alone, as `Score.prepare`."""
        return keys

    @abstractmethod
    def start(self, prepared: Tensor) -> Tensor:
        """Returns the state before the first step, for prepared keys (B,S,…)."""

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Returns the logits (B,T,S) of each query (B,T,D) at the first step, for keys (B,S,D)."""
        prepared = self.prepare(keys)
        first = [self.compare(each, prepared, self.start(prepared))[0] for each in query.split(1, dim=-2)]
        return torch.cat(first, dim=-2)

    @abstractmethod
    def compare(self, query: Tensor, prepared: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the logits (B,1,S) of a query (B,1,D), and the state."""


def lengthened(state: Tensor, length: int) -> Tensor:
    """Returns a state (B,S) with a 0 for each position that was appended to the source since the previous step."""
    return functional.pad(state, (0, length - state.shape[-1]))


def prepare(score: Any, keys: Tensor) -> Tensor:
    """Returns the part of any score that depends on the keys (B,S,D) alone, as (B,S,…): by default the keys."""
    if _is_whole(type(score)) or not hasattr(score, "prepare"):
        return keys
    prepared: Tensor = score.prepare(keys)
    return prepared


def compare(score: Any, query: Tensor, prepared: Tensor, *state: Any) -> Any:
    """Returns the logits (B,T,S) of any score for queries (B,T,D) and the result of `prepare`.

    For a score with a method `start`, the last argument is its state, and (logits, state) is returned.
    """
    call = score if _is_whole(type(score)) else getattr(score, "compare", score)
    return call(query, prepared, *state)


def _is_whole(kind: type) -> bool:
    """Returns whether a score of this class is computed by `forward` alone, and not by `prepare` and `compare`."""
    # A custom score may be a plain module. If it derives from Score, or from another score, and overrides `forward`,
    # the inherited `compare` would compute something else: the more derived of the two methods is used.
    forward, compare = (next((c for c in kind.__mro__ if name in vars(c)), None) for name in ("forward", "compare"))
    if forward is None or compare is None:
        return compare is None
    return forward is not compare and issubclass(forward, compare)
