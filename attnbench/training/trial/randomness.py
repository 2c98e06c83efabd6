"""Random operations in a user's part: they are refused, because all seeds of a pack would share one generator."""

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from attnbench.errors import fail
from attnbench.training.trial.blame import hint, wrong

RANDOM = "a random operation: its numbers would depend on the seeds that are trained beside it"
PACKAGE = str(Path(__file__).parents[2])
TRIAL = str(Path(__file__).parent)
TORCH = str(Path(torch.__file__).parent)


class NoRandomness(TorchDispatchMode):
    """Refuses torch's random operations, unless attnbench itself calls them, as it does for a subclass of a built-in.

    All seeds of a pack draw from one generator, so the numbers of a seed would depend on the other seeds of its pack.
    """

    def __init__(self, kind: str, name: str) -> None:
        super().__init__()
        self.kind, self.name = kind, name

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs an operation of torch."""
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs)
        before = torch.get_rng_state()
        result = func(*args, **kwargs)
        # The tag alone does not tell: an operation with dropout has it even if the probability is 0.
        own = isinstance(kwargs.get("generator"), torch.Generator)
        if own or not torch.equal(before, torch.get_rng_state()):
            place = _user_line()
            if place is not None:
                raise fail(f"the {self.kind} {self.name!r} calls {RANDOM}", place, hint(self.kind))
        return result


def _user_line() -> str | None:
    """The line that called torch; None if it is a line of attnbench."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(TORCH):
        frame = frame.f_back
    file = frame.f_code.co_filename
    return None if file.startswith(PACKAGE) and not file.startswith(TRIAL) else f"{file}:{frame.f_lineno}"


@contextmanager
def no_global_randomness(kind: str, name: str) -> Iterator[None]:
    """Refuses the use of the generators of Python and NumPy: all seeds would get the same numbers."""

    def states() -> tuple[Any, ...]:
        kind, key, position, *_ = np.random.get_state()
        return random.getstate(), kind, np.asarray(key).tobytes(), position

    before = states()
    yield
    if states() != before:
        raise wrong(kind, name, f"calls {RANDOM}")
