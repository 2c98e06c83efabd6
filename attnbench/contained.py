"""Keeps a user's code from changing what attnbench relies on: the working folder, stdout and torch's defaults."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any


@contextmanager
def contained() -> Iterator[None]:
    """Sends what is printed in the block to stderr, since stdout has data alone, and undoes changes after it.

    Results are written to paths relative to the working folder: in another one they would be lost. And after
    `torch.set_default_dtype` other packs of this process would be trained in another precision.
    """
    defaults = _torch_defaults()
    try:
        before = os.getcwd()
    except OSError:  # it was deleted
        before = None
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        if before is not None:
            with suppress(OSError):
                os.chdir(before)
        if (now := _torch_defaults()) != defaults:
            _set_torch_defaults(now, defaults)


def _torch_defaults() -> dict[str, object]:
    """The values by the name that they have in torch; empty without torch, which the driver does not import."""
    torch = sys.modules.get("torch")
    if torch is None:
        return {}
    return {
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "grad": torch.is_grad_enabled(),
        "precision": torch.get_float32_matmul_precision(),
    }


def _set_torch_defaults(now: dict[str, object], before: dict[str, object]) -> None:
    """Sets what has changed; where the block has imported torch, to torch's own defaults."""
    import torch

    cpu = torch.device("cpu")
    own: dict[str, object] = {"dtype": torch.float32, "device": cpu, "grad": True, "precision": "highest"}
    set_: dict[str, Callable[[Any], object]] = {
        "dtype": torch.set_default_dtype,
        # None, because a device that is set makes every call of torch slower, also if it is the CPU.
        "device": lambda device: torch.set_default_device(None if device == cpu else device),
        "grad": torch.set_grad_enabled,
        "precision": torch.set_float32_matmul_precision,
    }
    for name, value in (before or own).items():
        if now[name] != value:
            set_[name](value)
