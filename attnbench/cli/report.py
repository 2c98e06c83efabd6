"""`attnbench report`: writes a run as one HTML page."""

from pathlib import Path
from typing import Annotated

import typer

from attnbench.cli.options import RESULTS, Results, Run
from attnbench.cli.output import echo
from attnbench.errors import fail


def report(
    run: Run,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE.html", help="File to write; default: report.html in the run's folder."
        ),
    ] = None,
    results: Results = RESULTS,
) -> None:
    """Write a run as one HTML file: tables, curves, alignments, configuration.

    The file needs no network and no other files.
    """
    from attnbench.analysis.report.page import report as page
    from attnbench.store.atomic import write_atomically
    from attnbench.store.store import Store

    store = Store.open(run, results)
    file = output or store.folder / "report.html"
    if file.is_dir():
        raise fail("cannot be written: it is a folder", str(file), "give a file name: -o report.html")
    if not file.parent.is_dir():
        raise fail("cannot be written: there is no such folder", str(file.parent), "create it first")
    write_atomically(file, page(store))
    echo(file)
