"""`attnbench compare`: the values of an axis, or two runs, held against each other."""

from enum import StrEnum
from typing import Annotated

import typer

from attnbench.cli.options import RESULTS, Results, Run
from attnbench.cli.table import Where


class Format(StrEnum):
    """How the comparison is written."""

    RICH = "rich"
    MARKDOWN = "markdown"
    CSV = "csv"
    JSON = "json"


def compare(
    run: Run,
    other: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="A second run, to be held against the first.", show_default=False),
    ] = None,
    axis: Annotated[
        str, typer.Option(metavar="COLUMN", help="The column of table.csv whose values are compared.")
    ] = "score",
    against: Annotated[
        str | None,
        typer.Option(
            metavar="VALUE", help="What the others are held against: the best, unless given.", show_default=False
        ),
    ] = None,
    metric: Annotated[str, typer.Option(metavar="METRIC", help="What is compared, e.g. aer or exact_match@20.")] = (
        "exact_match"
    ),
    where: Where = None,
    format: Annotated[Format, typer.Option(help="csv and json have every number in full.")] = Format.RICH,
    results: Results = RESULTS,
) -> None:
    """Say which is better, on which task, and how sure that is: paired over the seeds that both have."""
    from attnbench.analysis import contrast_tables
    from attnbench.analysis.contrast import contrast, side_by_side
    from attnbench.analysis.labels import filtered
    from attnbench.store import Store

    stores = [Store.open(name, results) for name in (run, *([other] if other else []))]
    name = " and ".join(store.name for store in stores)
    if other is None:
        frame = stores[0].frame()
    else:
        frame, axis, against = side_by_side([(store.name, store.frame()) for store in stores]), "run", stores[0].name
    found = contrast(filtered(frame, where or (), name), axis, against, metric, name)
    if format is Format.RICH:
        from rich.console import Console

        console = Console()
        shown = contrast_tables.to_rich(found)
        if not console.is_terminal:
            console.width = 10_000
            console.width = max(80, console.measure(shown).maximum)
        console.print(shown)
    else:
        write = {
            Format.MARKDOWN: contrast_tables.to_markdown,
            Format.CSV: contrast_tables.to_csv,
            Format.JSON: contrast_tables.to_json,
        }[format]
        typer.echo(write(found), nl=False)
