"""`attnbench expand`: lists the cells of a grid with their state; trains nothing and writes nothing."""

import json
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attnbench.cli.options import RESULTS, GridFile, Plugin, Results, Set
from attnbench.cli.output import echo
from attnbench.cli.remarks import print_remarks
from attnbench.messages import count

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from attnbench.grid.labels import Label
    from attnbench.grid.plan import Plan, PlannedCell
    from attnbench.store.status import CellState

CellRow = dict[str, Any]

# The states of a cell in display order, with their colour.
STATE_STYLES = {"todo": "", "stale": "yellow", "done": "green", "failed": "red", "waiting": "dim", "not needed": "dim"}
REPORTED, TUNING = "reported", "tuning"  # what a cell is trained for


class Format(StrEnum):
    """Output formats of the list."""

    RICH = "rich"
    JSON = "json"
    CSV = "csv"


def expand(
    grid: GridFile,
    set_: Set = None,
    plugin: Plugin = None,
    format: Annotated[Format, typer.Option(help="rich: one row per combination; json, csv: per cell.")] = Format.RICH,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=1,
            metavar="N",
            help="Number of workers assumed in the time estimate; default: the number of cores.",
        ),
    ] = None,
    results: Results = RESULTS,
) -> None:
    """List the cells of a grid and their state, without training.

    Also shows skipped combinations with the reason, and an estimate of the remaining time. Cells that wait for a choice
    by tuning, or for a decision, are listed as waiting.
    """
    from attnbench.analysis.csv_text import csv_text
    from attnbench.grid.load import load_grid
    from attnbench.stages import finished_cells, stage_of
    from attnbench.store.status import states_of
    from attnbench.store.store import Store

    loaded = load_grid(grid, set_ or (), plugin or ())
    store = Store(results / loaded.name)
    plan = stage_of(loaded, lambda cells: finished_cells(cells, store)).plan
    states = states_of(plan.trained, store)
    rows = rows_of(plan, states)
    doubts = store.doubts(cell.id for cell in plan.trained)
    if format is not Format.RICH:
        print_remarks(doubts)
    if format is Format.JSON:
        echo(json.dumps(rows, indent=1, ensure_ascii=False))
    elif format is Format.CSV:
        echo(csv_text(rows), end="")
    else:
        _print(plan, rows, states, doubts, workers)


def rows_of(plan: "Plan", states: dict[str, "CellState"]) -> list[CellRow]:
    """Returns a row per cell, then one per skipped combination: cell, state, reason, then the labels by axis.

    In a grid with tuning each row also says what the cell is trained for, and has the tuned fields of a tuning cell. A
    cell that waits for a choice by tuning has no id yet.
    """
    from attnbench.cell import LABELS

    names = [*LABELS, *plan.axes]
    tuned = list(plan.tuned[0].candidates[0]) if plan.tuned else []

    def row(id_: str | None, state: str, reason: str | None, labels: "Mapping[str, Label]", purpose: str) -> CellRow:
        known: CellRow = {"cell": id_, "state": state, "reason": reason} | {name: labels[name] for name in names}
        return known | ({"for": purpose} if plan.tuned else {}) | {name: labels.get(name) for name in tuned}

    rows = [row(c.id, states[c.id].name, states[c.id].reason, c.labels, TUNING) for c in plan.tuning]
    rows += [row(c.id, states[c.id].name, states[c.id].reason, c.labels, REPORTED) for c in plan.cells]
    unknown = plan.is_tuning
    reason = "follows tuning" if unknown else "trained if a pair is still open"
    rows += [row(None if unknown else c.id, "waiting", reason, c.labels, REPORTED) for c in plan.waiting]
    rows += [row(c.id, "not needed", "all pairs of it are settled", c.labels, REPORTED) for c in plan.unneeded]
    return rows + [row(None, "skipped", one.reason, one.labels, REPORTED) for one in plan.skipped]


def _print(
    plan: "Plan", rows: list[CellRow], states: dict[str, "CellState"], doubts: list[str], workers: int | None
) -> None:
    """Prints a table with a line per combination, then counts, reasons for skipping, and the time estimate."""
    from rich.text import Text

    from attnbench.analysis.compare.enough_seeds import too_few_seeds
    from attnbench.analysis.width import natural_width, wide_enough
    from attnbench.cli.console import Console
    from attnbench.store.status import stale_note

    console = Console()
    cells = [row for row in rows if row["state"] != "skipped" and row.get("for") != TUNING]
    whole = _table(plan, cells, folds=False)
    needed = natural_width(whole, console)
    with wide_enough(console, needed):
        console.print(whole if needed <= console.width else _table(plan, cells, folds=True))
    numbers = Counter(row["state"] for row in cells)
    lines = [Text(f"{count(len(cells), 'cell')}: {', '.join(f'{numbers[s]} {s}' for s in STATE_STYLES if numbers[s])}")]
    if plan.tuned:
        lines.append(Text(_tuning(plan, rows)))
    reasons = Counter(skipped.reason for skipped in plan.skipped)
    lines += [Text(f"{number} × skipped: {reason}", style="dim") for reason, number in reasons.items()]
    changes = Counter(row["reason"] for row in rows if row["state"] == "stale")
    lines += [Text(stale_note(n, reason), style=STATE_STYLES["stale"]) for reason, n in changes.items()]
    errors = Counter(row["reason"] for row in cells if row["state"] == "failed")
    lines += [Text(f"{n} × failed: {reason}", style=STATE_STYLES["failed"]) for reason, n in errors.items()]
    lines += [Text(doubt, style="yellow") for doubt in doubts]
    lines += [Text(line) for line in _times(plan, states, workers)]
    if few := too_few_seeds([cell.labels for cell in plan.reported]):
        lines.append(Text(few, style="yellow"))
    for line in lines:
        console.print(line, soft_wrap=True)


def _table(plan: "Plan", rows: list[CellRow], folds: bool) -> "Table":
    """Returns a table with a line per combination: its labels, its number of seeds, and their states."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from attnbench.analysis.labels import KIND, text
    from attnbench.cell import COLUMN_KINDS

    one_model = len({row["model"] for row in rows}) <= 1
    kinds = [kind for kind in COLUMN_KINDS if not (one_model and kind == "model")]
    # The axis model.kind is the column "model" already.
    names = [*kinds, *(axis for axis in plan.axes if axis != KIND)]
    table = Table(title=Text(plan.name, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, header_style="cyan")
    for name in [*names, "seeds", "state"]:
        # Where there is little room, a dotted name may break after its dot, since the labels below it are short.
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
    """Returns the state that all seeds share, or the number of seeds in each state."""
    from rich.text import Text

    present = [state for state in STATE_STYLES if states[state]]
    words = [(state if len(present) == 1 else f"{states[state]} {state}", STATE_STYLES[state]) for state in present]
    return Text(", ").join(Text(word, style=style) for word, style in words)


def _tuning(plan: "Plan", rows: list[CellRow]) -> str:
    """Returns how many cells tuning has, in which states."""
    numbers = Counter(row["state"] for row in rows if row.get("for") == TUNING)
    candidates, seeds = len(plan.tuned[0].candidates), len(plan.tuned[0].cells[0])
    each = f"{len(plan.tuned)} combinations × {candidates} candidates × {seeds} seed{'s' * (seeds > 1)}"
    states = ", ".join(f"{numbers[state]} {state}" for state in STATE_STYLES if numbers[state])
    return f"{len(plan.tuning)} cells of tuning ({each}): {states}"


def _times(plan: "Plan", states: dict[str, "CellState"], workers: int | None) -> list[str]:
    """Returns the estimated times of the cells to train, based on those that are done."""
    from attnbench.estimate import about

    def due(cells: "list[PlannedCell]") -> "list[PlannedCell]":
        return [cell for cell in cells if states[cell.id].name in ("todo", "stale")]

    tuning, cells, later = due(plan.tuning), due(plan.cells), plan.waiting
    follows = plan.is_tuning
    lines = []
    for todo, what in (
        (tuning, "tuning" if plan.tuned else ""),
        ([*cells, *later] if follows else cells, "the reported cells" if plan.tuned else ""),
        ([*cells, *later] if later and not follows else [], "all seeds, if they are needed,"),
    ):
        if todo:
            seconds, used = _time(plan, todo, states, workers)
            on = f"on {used} worker{'s' * (used > 1)}"
            lines.append(f"{about(seconds).capitalize()} {f'for {what} ' if what else ''}{on}")
    return lines


def _time(
    plan: "Plan", cells: "list[PlannedCell]", states: dict[str, "CellState"], workers: int | None
) -> tuple[float, int]:
    """Returns the estimated seconds for some cells, and the number of workers that they use."""
    from attnbench.engines.base import available_cores
    from attnbench.estimate import estimate
    from attnbench.grid.packs import packs

    seconds = {cell: state.seconds for cell, state in states.items() if state.seconds is not None}
    done, todo = packs([cell for cell in plan.trained if cell.id in seconds]), packs(cells)
    workers = min(workers or available_cores(), len(todo))
    return estimate(todo, done, seconds, workers), workers
