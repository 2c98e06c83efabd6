"""What attention takes and returns: a prepared source, the result, and the state between steps."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

# What an attention carries from one step to the next: that of its score and that of its scope, each a tensor, a
# (nested) tuple of tensors, or () for a part that carries nothing. An attention that carries nothing has the state ().
State = Any


class Source(NamedTuple):
    """Keys and values of a batch of sources, prepared once and used at every step.

    Attributes:
        keys: (B,S,…), the result of the score's `prepare`; the keys (B,S,D) themselves for a score without it.
        values: (B,S,D).
        mask: (B,1,S) bool, True on valid positions; None if every position is valid.
        lengths: (B,), the number of valid positions of each source.
    """

    keys: Tensor
    values: Tensor
    mask: Tensor | None
    lengths: Tensor


@dataclass(frozen=True)
class Attended:
    """The result of attention.

    Attributes:
        context: (B,T,D), the sums of the values weighted by `weights`.
        weights: (B,T,S).
        logits: (B,T,S), from which the weights were computed.
        state: what the attention carries to the next step; () if it carries nothing.

    Under the scope `none`, which uses no score, the weights and logits are all 0.
    """

    context: Tensor
    weights: Tensor
    logits: Tensor
    state: State = ()
