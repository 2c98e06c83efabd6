"""`attnbench table`: prints the comparison table of a run."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from attnbench.cli import complete
from attnbench.cli.options import RESULTS, Results, Run
from attnbench.cli.output import echo
from attnbench.cli.remarks import print_remarks

if TYPE_CHECKING:
    from attnbench.analysis.table.comparison import Comparison


class Format(StrEnum):
    """Output formats of the table."""

    RICH = "rich"
    MARKDOWN = "markdown"
    CSV = "csv"
    JSON = "json"
    LATEX = "latex"
    HTML = "html"


class Statistic(StrEnum):
    """The statistics over the seeds of a combination."""

    MEAN = "mean"
    IQM = "iqm"
    MEDIAN = "median"


Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="COLUMN=VALUE",
        help="Use only these cells, e.g. scope=global. Repeatable: several values of one column are alternatives, "
        "different columns must all match.",
    ),
]


Rows = Annotated[
    str | None,
    typer.Option(
        "--rows",
        metavar="COLUMN",
        help="Column of table.csv for the rows; default: score, or model if there are several.",
        show_default=False,
    ),
]
Columns = Annotated[
    str,
    typer.Option(
        "--columns", metavar="COLUMN", help="Column of table.csv for the columns; length: one per tested length."
    ),
]
Metric = Annotated[
    str,
    typer.Option(
        "--metric",
        metavar="METRIC",
        help="Metric to show, e.g. loss, or exact_match@20 for one test length.",
        autocompletion=complete.metrics,
    ),
]


def table(
    run: Run,
    rows: Rows = None,
    columns: Columns = "task",
    metric: Metric = "exact_match",
    statistic: Annotated[
        Statistic, typer.Option(help="iqm: mean without the lowest and the highest quarter of the seeds.")
    ] = Statistic.MEAN,
    where: Where = None,
    with_stale: Annotated[
        bool,
        typer.Option(
            "--with-stale", help="Show stale cells, whose code had changed at the last run, in rows of their own."
        ),
    ] = False,
    cost: Annotated[
        bool,
        typer.Option(
            "--cost",
            help="Show parameters, floating-point operations of a training step, and seconds per cell.",
        ),
    ] = False,
    format: Annotated[Format, typer.Option(help="csv and json: one record per table cell.")] = Format.RICH,
    results: Results = RESULTS,
) -> None:
    """Show the comparison table of a run: mean, 95 % interval and number of seeds.

    The best of each column is marked, with all that are not clearly worse.

    Only seeds are averaged over: any other axis that varies becomes part of the rows.
    """
    from attnbench.analysis.notes import notes_of, seeds_are_fixed
    from attnbench.analysis.table import formats
    from attnbench.analysis.table.lengths import LENGTH, trained_lengths
    from attnbench.analysis.table.stale import with_code_column
    from attnbench.store.store import Store

    store = Store.open(run, results)
    frame, notes = store.frame(), notes_of(store)
    if format in (Format.CSV, Format.JSON):  # which have no place for notes
        print_remarks(store.doubts())
    if with_stale:
        frame = with_code_column(frame, store.stale())
    trained = trained_lengths(store, frame["cell"]) if LENGTH in (rows, columns) else None
    tested = seeds_are_fixed(store)
    compared = formats.comparison(
        frame, rows, columns, metric, where or (), store.name, notes, statistic.value, trained, tested, cost
    )
    _print(compared, format)


def _print(compared: "Comparison", format: Format) -> None:
    """Prints the table in the chosen format."""
    from attnbench.analysis.table import formats

    if format is Format.RICH:
        from attnbench.cli.console import Console

        formats.print_table(compared, Console())
    else:
        write = {
            Format.MARKDOWN: formats.to_markdown,
            Format.CSV: formats.to_csv,
            Format.JSON: formats.to_json,
            Format.LATEX: formats.to_latex,
            Format.HTML: formats.to_html,
        }[format]
        echo(write(compared), end="")
