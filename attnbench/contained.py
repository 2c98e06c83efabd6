"""Keeps a user's code from changing what attnbench itself relies on: the working folder and standard output."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress


@contextmanager
def contained() -> Iterator[None]:
    """Sends what is printed in the block to stderr, since stdout has data alone, and restores the working folder.

    Results are written to paths relative to the working folder: in another one they would be lost.
    """
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
