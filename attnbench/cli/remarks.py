"""Remarks on stderr, where they are not part of the data on stdout."""

from collections.abc import Iterable

from attnbench.cli.output import echo


def print_remarks(remarks: Iterable[str]) -> None:
    """Prints a line for each."""
    for remark in remarks:
        echo(remark, error=True)
