"""Why a law does not apply to an attention; "" where it does."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from attnbench.escapes import one_line
from attnbench.guarding.choices import Mask
from attnbench.guarding.convention import Kind
from attnbench.guarding.target import Target, example_call
from attnbench.messages import message_of


def no_mask(target: Target) -> str:
    """It takes no mask over the keys."""
    if target.takes(Kind.KEYS):
        return ""
    if target.convention.mask is Mask.NONE:
        return "it takes no mask (--mask none)"
    if refused := target.convention.refused:
        return f"no call with a mask worked: {refused}"
    return "it takes no mask of padding" + (" together with causality" if target.asked.causal else "")


def no_pairs(target: Target) -> str:
    """It takes no mask over pairs of a query and a key."""
    return "" if target.takes(Kind.PAIRS) else no_mask(target) or "it takes no mask (B,T,S)"


def not_causal(target: Target) -> str:
    """It is not said to be causal."""
    return "" if target.asked.causal else "only with --causal"


def has_order(target: Target) -> str:
    """Its result depends on positions."""
    if target.asked.causal:
        return "a causal attention depends on positions"
    return "" if target.asked.positions == "none" else f"it depends on positions (--positions {target.asked.positions})"


def one_sequence(target: Target) -> str:
    """Queries, keys and values cannot be changed separately."""
    if len(target.convention.inputs) == 3:
        return ""
    return "keys and values are the same sequence"


def no_gradients(target: Target) -> str:
    """It has no gradients on this device."""
    try:
        example_call(target, torch.float32, gradients=True)
    except NotImplementedError as error:
        return f"it has no gradients here: {message_of(error)}"
    except Exception:  # a fault, which the probes find
        return ""
    return ""


def not_computed_in(dtype: torch.dtype) -> Callable[[Target], str]:
    """It cannot compute in a dtype."""

    def reason(target: Target) -> str:
        try:
            example_call(target, dtype)
        except Exception as error:
            return f"it cannot compute in it: {type(error).__name__}: {one_line(message_of(error))}"
        return ""

    return reason


def no_backends(target: Target) -> str:
    """It does not call a function of PyTorch that has several backends."""
    with _Watch() as watch, suppress(Exception):
        example_call(target, torch.float32)
    return "" if watch.called else "no call of scaled_dot_product_attention was seen"


class _Watch(TorchFunctionMode):
    """Notes whether scaled_dot_product_attention is called."""

    called = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        self.called |= func is scaled_dot_product_attention
        return func(*args, **(kwargs or {}))
