"""`attnbench report`: a run as one page to look at."""

from pathlib import Path
from typing import Annotated

import typer

from attnbench.cli.options import RESULTS, Results, Run
from attnbench.errors import fail


def report(
    run: Run,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE.html", help="Write it here; report.html in the run's folder unless given."
        ),
    ] = None,
    results: Results = RESULTS,
) -> None:
    """Write a run as one HTML file that opens anywhere: tables, curves, alignments, configuration.

    It needs no network and no other file.
    """
    from attnbench.analysis.report.page import report as page
    from attnbench.store.atomic import write_atomically
    from attnbench.store.store import Store

    store = Store.open(run, results)
    file = output or store.folder / "report.html"
    if file.is_dir():
        raise fail("cannot be written: it is a folder", str(file), "name a file: -o report.html")
    if not file.parent.is_dir():
        raise fail("cannot be written: there is no such folder", str(file.parent), "make it first")
    write_atomically(file, page(store))
    typer.echo(file)
