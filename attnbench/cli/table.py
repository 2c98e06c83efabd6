"""`attnbench table`: the comparison table of a run."""

from enum import StrEnum
from typing import Annotated

import typer

from attnbench.cli.options import RESULTS, Results, Run


class Format(StrEnum):
    """How the table is written."""

    RICH = "rich"
    MARKDOWN = "markdown"
    CSV = "csv"
    JSON = "json"
    LATEX = "latex"
    HTML = "html"


class Statistic(StrEnum):
    """What is said of the seeds of a cell."""

    MEAN = "mean"
    IQM = "iqm"
    MEDIAN = "median"


Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="COLUMN=VALUE",
        help="Only these cells, e.g. scope=global. Repeatable: other columns narrow, the same column widens.",
    ),
]


def table(
    run: Run,
    rows: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="The column of table.csv that names the rows: score, or model where there are several, unless given.",
            show_default=False,
        ),
    ] = None,
    columns: Annotated[
        str,
        typer.Option(
            metavar="COLUMN", help="The one that names the columns; length: the metric at every length that was tested."
        ),
    ] = "task",
    metric: Annotated[
        str, typer.Option(metavar="METRIC", help="What is compared, e.g. loss, or exact_match@20 for one test length.")
    ] = "exact_match",
    statistic: Annotated[
        Statistic, typer.Option(help="iqm: the mean without the lowest and the highest quarter of the seeds.")
    ] = Statistic.MEAN,
    where: Where = None,
    format: Annotated[Format, typer.Option(help="csv and json have one record per cell.")] = Format.RICH,
    results: Results = RESULTS,
) -> None:
    """Compare a run's cells: mean, 95 % interval and n over the seeds, and what is as good as the best.

    Nothing but the seed is averaged over: any other axis that varies becomes part of the rows.
    """
    from attnbench.analysis.table import formats
    from attnbench.analysis.table.lengths import LENGTH, trained_lengths
    from attnbench.store.store import Store

    store = Store.open(run, results)
    frame, notes = store.frame(), store.notes()
    trained = trained_lengths(store, frame["cell"]) if LENGTH in (rows, columns) else None
    compared = formats.comparison(
        frame, rows, columns, metric, where or (), store.name, notes, statistic.value, trained
    )
    if format is Format.RICH:
        from rich.console import Console

        formats.print_table(compared, Console())
    else:
        write = {
            Format.MARKDOWN: formats.to_markdown,
            Format.CSV: formats.to_csv,
            Format.JSON: formats.to_json,
            Format.LATEX: formats.to_latex,
            Format.HTML: formats.to_html,
        }[format]
        typer.echo(write(compared), nl=False)
