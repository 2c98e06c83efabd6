"""`attnbench expand`: what a grid comes to, and how far it is; trains nothing and writes nothing."""

import csv
import io
import json
from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attnbench.cli.options import RESULTS, GridFile, Plugin, Results, Set

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from attnbench.grid.expand import Plan
    from attnbench.store import Store

Row = dict[str, Any]

# The states a cell can be in, in the order of telling, with their colour.
STATE_STYLES = {"todo": "", "done": "green", "failed": "red"}
OFF_TERMINAL = 1000  # characters; a file has no edge at which to cut


class Format(StrEnum):
    """How the cells are listed."""

    RICH = "rich"
    JSON = "json"
    CSV = "csv"


def expand(
    grid: GridFile,
    set_: Set = None,
    plugin: Plugin = None,
    format: Annotated[Format, typer.Option(help="rich has a row per pack; json and csv one per cell.")] = Format.RICH,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, metavar="N", help="For the estimate of the time.")
    ] = None,
    results: Results = RESULTS,
) -> None:
    """List a grid's cells with their state, what is skipped and why, and about how long the rest takes."""
    from attnbench.grid.expand import expand as expand_grid
    from attnbench.grid.load import load_grid
    from attnbench.store import Store

    plan = expand_grid(load_grid(grid, set_ or (), plugin or ()))
    store = Store(results / plan.name)
    rows = rows_of(plan, store)
    if format is Format.JSON:
        typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))
    elif format is Format.CSV:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        typer.echo(text.getvalue(), nl=False)
    else:
        _print(plan, rows, store, workers)


def rows_of(plan: "Plan", store: "Store") -> list[Row]:
    """One row per cell, then one per skipped combination: cell, state, reason, then the labels by axis."""
    states = store.states()
    names = ["model", "score", "scope", "task", "seed", *plan.axes]
    rows = []
    for cell in plan.cells:
        state = states.get(cell.id, "todo")
        reason = store.read(cell.id)["error"] if state == "failed" else None
        rows.append({"cell": cell.id, "state": state, "reason": reason} | {name: cell.labels[name] for name in names})
    rows += [
        {"cell": None, "state": "skipped", "reason": skipped.reason} | {name: skipped.labels[name] for name in names}
        for skipped in plan.skipped
    ]
    return rows


def _print(plan: "Plan", rows: list[Row], store: "Store", workers: int | None) -> None:
    """For people: a table with a line per pack, then counts, reasons of skips, and the time it will take."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = OFF_TERMINAL
    cells = [row for row in rows if row["state"] != "skipped"]
    console.print(_table(plan, cells, folds=console.is_terminal))
    states = Counter(row["state"] for row in cells)
    lines = [Text(f"{len(cells)} cells: {', '.join(f'{states[s]} {s}' for s in STATE_STYLES if states[s])}")]
    reasons = Counter(skipped.reason for skipped in plan.skipped)
    lines += [Text(f"{number} × skipped: {reason}", style="dim") for reason, number in reasons.items()]
    failures = Counter(row["reason"] for row in cells if row["state"] == "failed")
    lines += [Text(f"{number} × failed: {reason}", style="red") for reason, number in failures.items()]
    lines += [Text(f"not read: {file}", style="yellow") for file in store.broken]
    if states["todo"]:
        lines.append(Text(_time(plan, cells, store, workers)))
    for line in lines:
        console.print(line, soft_wrap=True)


def _table(plan: "Plan", rows: list[Row], folds: bool) -> "Table":
    """A line per pack: its labels, how many seeds it has, and the states that they are in."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from attnbench.analysis.labels import text

    model = ["model"] * (len({row["model"] for row in rows}) > 1)
    names = [*model, "score", "scope", "task", *(axis for axis in plan.axes if axis != "model.kind")]
    table = Table(title=Text(plan.name, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, header_style="cyan")
    for name in [*names, "seeds", "state"]:
        # On a terminal a dotted name may break after its dot: the labels below it are short.
        table.add_column(
            name.replace(".", ".\n") if folds else name, justify="right" if name == "seeds" else "left", overflow="fold"
        )
    groups: dict[tuple[Any, ...], Counter[str]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), Counter()).update([row["state"]])
    for labels, states in groups.items():
        shown = [Text(text(label)) for label in labels]
        table.add_row(*shown, str(states.total()), _states(states))
    return table


def _states(states: Counter[str]) -> "Text":
    """The one state of all seeds, or how many are in which."""
    from rich.text import Text

    present = [state for state in STATE_STYLES if states[state]]
    words = [(state if len(present) == 1 else f"{states[state]} {state}", STATE_STYLES[state]) for state in present]
    return Text(", ").join(Text(word, style=style) for word, style in words)


def _time(plan: "Plan", rows: list[Row], store: "Store", workers: int | None) -> str:
    """How long what is to do takes, judged by what is done."""
    from attnbench.engines.base import available_cores
    from attnbench.estimate import about, estimate
    from attnbench.grid.expand import packs

    states = {row["cell"]: row["state"] for row in rows}
    done, todo = (packs([c for c in plan.cells if states[c.id] == state]) for state in ("done", "todo"))
    seconds = {cell: float(store.read(cell)["metrics"]["seconds"]) for pack in done for cell in pack.ids}
    workers = min(workers or available_cores(), len(todo))
    return f"{about(estimate(todo, done, seconds, workers)).capitalize()} on {workers} worker{'s' * (workers > 1)}"
