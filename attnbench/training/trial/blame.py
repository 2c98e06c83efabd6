"""Errors of a user's part, with the file and the line."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from attnbench.errors import AttnbenchError, fail
from attnbench.messages import message_of
from attnbench.registry import REGISTRIES

SEE = {
    "model": "see Seq2Seq in attnbench/models/base.py and docs/own-parts.md",
    "score": "see docs/own-parts.md: a score returns logits (B,T,S) of query (B,T,D) and keys (B,S,D)",
    "scope": "see docs/own-parts.md: a scope returns weights (B,T,S) of logits (B,T,S)",
    "normaliser": "see docs/own-parts.md: a normaliser returns weights (B,T,S) of logits (B,T,S) and a mask",
}
BRANCH = "a branch depends on the values of a tensor (all seeds run as one model: use torch.where)"
# Parts of torch's messages for operations that torch.func.vmap cannot do, because they read the values of a tensor.
READS_VALUES = ("data-dependent", ".item()", "dynamic shape", "differently shaped", "data pointer")


def expect(kind: str, name: str, found: Any, shape: tuple[int, ...], what: str) -> None:
    if not isinstance(found, Tensor) or found.shape != shape:
        has = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise wrong(kind, name, f"returned {has} for {what} expected {shape}")


def wrong(kind: str, name: str, what: str) -> AttnbenchError:
    return fail(f"the {kind} {name!r} {what}", REGISTRIES[kind].origin(name), hint(kind))


def hint(kind: str) -> str:
    return f"{SEE[kind]}, or write an example: attnbench init --{kind} NAME"


@contextmanager
def blaming(kind: str, name: str, subject: str) -> Iterator[None]:
    """Turns any exception into one that names the line of the part's file that raised it."""
    try:
        yield
    except (AttnbenchError, KeyboardInterrupt):
        raise
    except BaseException as error:
        file = REGISTRIES[kind].entry(name).file
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == file]
        place = f"{file}:{lines[-1]}" if lines else REGISTRIES[kind].origin(name)
        first_line = (message_of(error) or type(error).__name__).strip().partition("\n")[0]
        if any(part in first_line for part in READS_VALUES):
            first_line = BRANCH
        what = f"the {kind} {name!r} cannot be trained: {subject} raised {type(error).__name__}: {first_line}"
        raise fail(what, place, hint(kind)) from error
