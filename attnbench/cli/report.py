"""`attnbench report`: writes a run as one HTML page."""

from pathlib import Path
from typing import Annotated

import typer

from attnbench.cli.options import RESULTS, Results, Run
from attnbench.cli.remarks import print_remarks
from attnbench.files import is_stdout, write_output


def report(
    run: Run,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.html",
            help="File to write; default: report.html in the run's folder; -: stdout.",
        ),
    ] = None,
    results: Results = RESULTS,
) -> None:
    """Write a run as one HTML file: tables, curves, alignments, configuration.

    The file needs no network and no other files.
    """
    from attnbench.analysis.report.page import report as page
    from attnbench.store.store import Store

    store = Store.open(run, results)
    file = output or store.folder / "report.html"
    write_output(file, page(store))
    if not is_stdout(file):
        typer.echo(file)
    print_remarks(store.doubts())
