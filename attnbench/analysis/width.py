"""How wide a printed table may be."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

UNLIMITED = 10_000


def natural_width(shown: "RenderableType", console: "Console") -> int:
    """The width at which nothing of it is broken or cut."""
    with _width(console, UNLIMITED):  # rich limits a measurement to the width of the console
        return console.measure(shown).maximum


@contextmanager
def wide_enough(console: "Console", needed: int) -> Iterator[None]:
    """Widens the console to what is needed, except for a terminal and where COLUMNS is set: these decide themselves.

    Elsewhere, in a file or a log, lines need not be broken: a log is searched line by line.
    """
    decided = console.is_terminal or os.environ.get("COLUMNS", "").isdigit()
    with _width(console, console.width if decided else max(console.width, needed)):
        yield


@contextmanager
def _width(console: "Console", width: int) -> Iterator[None]:
    before = console.width
    console.width = width
    try:
        yield
    finally:
        console.width = before
