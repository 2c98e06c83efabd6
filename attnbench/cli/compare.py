"""`attnbench compare`: the values of an axis, or two runs, held against each other."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from attnbench.cli.options import RESULTS, Results, Run
from attnbench.cli.table import Where
from attnbench.errors import fail

if TYPE_CHECKING:
    from attnbench.store.store import Store


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
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="The column of table.csv whose values are compared: score, unless given.",
            show_default=False,
        ),
    ] = None,
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
    from attnbench.analysis.compare import formats
    from attnbench.analysis.compare.contrast import contrast, side_by_side
    from attnbench.analysis.labels import filtered
    from attnbench.store.store import Store

    stores = [Store.open(name, results) for name in (run, *([other] if other is not None else []))]
    name = " and ".join(store.name for store in stores)
    if other is None:
        frame, axis = stores[0].frame(), axis or "score"
    else:
        _refuse(stores, axis, against)
        # Two results folders may each hold a run of the same name: before and after a change.
        names = [store.name for store in stores] if stores[0].name != stores[1].name else [run, other]
        name, axis, against = " and ".join(names), "run", names[0]
        frame = side_by_side([(name, store.frame()) for name, store in zip(names, stores, strict=True)])
    if where:
        frame = filtered(frame, where, name)
    notes = [note for store in stores for note in store.notes()]
    found = contrast(frame, axis, against, metric, name, notes)
    if format is Format.RICH:
        from rich.console import Console

        console = Console()
        shown = formats.to_rich(found)
        if not console.is_terminal:
            console.width = 10_000
            console.width = max(80, console.measure(shown).maximum)
        console.print(shown)
    else:
        write = {
            Format.MARKDOWN: formats.to_markdown,
            Format.CSV: formats.to_csv,
            Format.JSON: formats.to_json,
        }[format]
        typer.echo(write(found), nl=False)


def _refuse(stores: "list[Store]", axis: str | None, against: str | None) -> None:
    """Two runs are held against each other, cell by cell: a run against itself, or an axis as well, is a mistake."""
    if stores[0].folder.resolve() == stores[1].folder.resolve():
        raise fail("both are the same run", str(stores[0].folder), "give one run, or two different ones")
    for option, value in (("--axis", axis), ("--against", against)):
        if value is not None:
            hint = "leave it out, or give one run; --where picks cells of both"
            raise fail(f"{value!r} has no meaning where two runs are compared", option, hint)
