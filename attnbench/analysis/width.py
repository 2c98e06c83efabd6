"""How wide a printed table may be."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

UNLIMITED = 10_000
SENTENCES = 120  # columns to which sentences are wrapped in a file or a log


def natural_width(shown: "RenderableType", console: "Console") -> int:
    """The width at which nothing of it is broken or cut."""
    with _width(console, UNLIMITED):  # rich limits a measurement to the width of the console
        return console.measure(shown).maximum


def least_width(shown: "RenderableType", console: "Console") -> int:
    """The width below which rich would cut a part of it."""
    with _width(console, UNLIMITED):
        return console.measure(shown).minimum


@contextmanager
def wide_enough(console: "Console", needed: int, least: int = 0) -> Iterator[None]:
    """Widens the console to what is needed, except for a terminal and where COLUMNS is set: these decide themselves.

    Elsewhere, in a file or a log, lines need not be broken: a log is searched line by line. In no case is it narrower
    than `least`; a terminal breaks such lines itself.
    """
    with _width(console, max(console.width, least if is_limited(console) else needed)):
        yield


def is_limited(console: "Console") -> bool:
    """Whether lines must be broken at the width of the console: on a terminal, and where COLUMNS is set."""
    return console.is_terminal or os.environ.get("COLUMNS", "").isdigit()


def sentence_width(console: "Console") -> int:
    """The width to which sentences are wrapped; a table may be wider."""
    return console.width if is_limited(console) else SENTENCES


def print_sentences(console: "Console", sentences: "RenderableType") -> None:
    """Prints text that is wrapped at the width of sentences."""
    with _width(console, sentence_width(console)):
        console.print(sentences)


@contextmanager
def _width(console: "Console", width: int) -> Iterator[None]:
    before = console.width
    console.width = width
    try:
        yield
    finally:
        console.width = before
