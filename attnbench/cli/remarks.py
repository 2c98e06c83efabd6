"""Remarks on stderr, where they are not part of the data on stdout."""

from collections.abc import Iterable

import typer


def print_remarks(remarks: Iterable[str]) -> None:
    """Prints a line for each."""
    for remark in remarks:
        typer.echo(remark, err=True)
