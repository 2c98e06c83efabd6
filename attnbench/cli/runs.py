"""`attnbench runs`: lists the runs in the results folder; deletes one, or the cells that its grid dropped."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attnbench.cli import complete
from attnbench.cli.options import RESULTS, Results
from attnbench.cli.output import echo
from attnbench.errors import fail
from attnbench.escapes import one_line
from attnbench.messages import NO_VALUE

if TYPE_CHECKING:
    from rich.table import Table

    from attnbench.store.runs import RunSummary
    from attnbench.store.store import Store

COUNTS = ("cells", "done", "failed", "stale", "orphaned")
UNITS = ("B", "kB", "MB", "GB", "TB")


class Format(StrEnum):
    """Output formats of the list."""

    RICH = "rich"
    JSON = "json"
    CSV = "csv"


def runs(
    delete: Annotated[
        str | None,
        typer.Option("--delete", metavar="RUN", help="Delete a run and all its results.", autocompletion=complete.runs),
    ] = None,
    prune: Annotated[
        str | None,
        typer.Option(
            "--prune",
            metavar="RUN",
            help="Delete the orphaned cells of a run: those that its grid does not have any more.",
            autocompletion=complete.runs,
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
    format: Annotated[Format, typer.Option(help="csv and json: times in ISO 8601, sizes in bytes.")] = Format.RICH,
    results: Results = RESULTS,
) -> None:
    """List the runs in the results folder: how many cells are done, failed, stale or orphaned, when, and the size.

    --delete and --prune ask first.
    """
    from attnbench.store.runs import summaries
    from attnbench.store.store import Store

    if delete is not None and prune is not None:
        raise fail("--delete and --prune cannot be used together", hint="delete the run: all its cells go with it")
    if delete is not None:
        _delete(Store.open(delete, results), yes)
    elif prune is not None:
        _prune(Store.open(prune, results), yes)
    else:
        _list(list(summaries(results)), results, format)


def _list(found: "list[RunSummary]", results: Path, format: Format) -> None:
    from attnbench.analysis.csv_text import csv_text

    if format is Format.RICH:
        _print(found, results)
        return
    rows = [_row(run) for run in found]
    if format is Format.CSV:
        echo(csv_text(rows), end="")
    else:
        echo(json.dumps(rows, indent=1))


def _row(run: "RunSummary") -> dict[str, Any]:
    counts = {name: None if run.problem else getattr(run, name) for name in COUNTS}
    when = run.when.isoformat(timespec="seconds")
    return {"name": run.name, **counts, "when": when, "size": run.size, "problem": run.problem}


def _print(found: "list[RunSummary]", results: Path) -> None:
    from attnbench.cli.console import Console

    console = Console()
    if not found:
        console.print(f"There is no run in {results.absolute()}.", soft_wrap=True, markup=False)
        return
    console.print(_table(found))
    for run in found:
        if run.problem:
            console.print(f"{run.name}: {run.problem}", style="yellow", soft_wrap=True, markup=False)
    if any(run.orphaned for run in found):
        note = "orphaned: finished cells that the grid does not have any more; --prune RUN deletes them"
        console.print(note, style="dim", soft_wrap=True)


def _table(found: "list[RunSummary]") -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, header_style="cyan", pad_edge=False)
    table.add_column("run", overflow="fold")
    for name in (*COUNTS, "when", "size"):
        table.add_column(name, justify="right", no_wrap=True)
    for run in found:
        counts = [NO_VALUE if run.problem else str(getattr(run, name) or "0") for name in COUNTS]
        table.add_row(Text(run.name), *counts, f"{run.when:%Y-%m-%d %H:%M}", size_text(run.size))
    return table


def size_text(size: float) -> str:
    """A number of bytes with three digits or so: 812 B, 1.4 MB."""
    for unit in UNITS:
        if size < 1000 or unit == UNITS[-1]:
            break
        size /= 1000
    return f"{size:.0f} {unit}" if size >= 10 or unit == "B" else f"{size:.1f} {unit}"


def _delete(store: "Store", yes: bool) -> None:
    from attnbench.store.lock import held
    from attnbench.store.runs import delete, summary

    with held(store.folder):
        run = summary(store)
        _confirm(f"Delete {store.folder} with {run.finished} finished cells ({size_text(run.size)})?", yes)
        others = delete(store)
    echo(f"{store.name} is deleted; its experiment in MLflow is kept", error=True)
    if others:
        echo(f"kept, because attnbench did not write it: {', '.join(map(str, others))}", error=True)


def _prune(store: "Store", yes: bool) -> None:
    from attnbench.store.lock import held
    from attnbench.store.runs import orphans, prune

    with held(store.folder):
        store.recover()  # a killed run may have committed cells that are not in place yet
        found = orphans(store)
        if found:
            _confirm(f"Delete {len(found)} cells of {store.folder} that its grid does not have?", yes)
            prune(store, found)
    echo(f"{store.name}: {len(found)} orphaned cells deleted", error=True)


def _confirm(question: str, yes: bool) -> None:
    """Asks, unless --yes is given.

    Raises:
        AttnbenchError: if the answer is no, or there is nobody to answer.
    """
    if yes:
        return
    try:
        agreed = typer.confirm(one_line(question), err=True)
    except typer.Abort:
        raise fail(
            "nothing was deleted: the question has no answer", hint="add --yes to delete without asking"
        ) from None
    if not agreed:
        echo("nothing was deleted", error=True)
        raise typer.Exit
