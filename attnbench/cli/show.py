"""`attnbench show`: shows one cell in detail, or several side by side."""

import re
import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attnbench.cli.options import RESULTS, Cells, Results, Run
from attnbench.cli.remarks import print_remarks
from attnbench.errors import fail
from attnbench.escapes import one_line
from attnbench.messages import NO_VALUE

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from attnbench.cli.console import Console
    from attnbench.outcome import Alignments
    from attnbench.store.store import Store

MOST_CELLS = 8  # shown side by side

Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="COLUMN=VALUE,…",
        help="Show the finished cells that have these labels, e.g. score=dot,task=copy,seed=0. Repeatable.",
    ),
]


def show(
    run: Run,
    cells: Cells = None,
    where: Where = None,
    example: Annotated[int, typer.Option(metavar="N", min=0, help="Test sentence or image to draw, from 0.")] = 0,
    head: Annotated[
        int | None,
        typer.Option(
            metavar="H", min=0, help="Head to draw, counted from 0; default: the mean of all heads.", show_default=False
        ),
    ] = None,
    results: Results = RESULTS,
) -> None:
    """Show a cell: configuration, metrics and alignment with gold links marked.

    Where the sources are images, the alignment is the image and a panel of its patches per target word.

    Several cells are shown side by side, with the fields in which they differ. A cell is named by its id or, with
    --where, by its labels.
    """
    from rich.text import Text

    from attnbench.cli import side_by_side
    from attnbench.cli.console import Console
    from attnbench.store.store import Store

    store = Store.open(run, results)
    found = _found(store, cells or [], where or [])
    records = [store.read(cell) for cell in found]
    alignments = [store.alignments(cell) for cell in found]
    for cell, own in zip(found, alignments, strict=True):
        _check_drawable(own, example, head, cell)
    print_remarks(store.doubts(found))
    console = Console()
    for record in records:
        failed = record["status"] == "failed"
        status = (record["status"], "bold red" if failed else "green")
        console.print(Text.assemble((f"{store.name} {record['cell']} ", "bold"), status))
        if origin := record.get("reused_from"):
            console.print(Text(f"copied from the run {one_line(str(origin['run']))}", style="dim"))
        if record["error"]:
            console.print(Text(record["error"], style="red"), soft_wrap=True)
    if len(found) > 1:
        console.print(side_by_side.differences(records))
        console.print(side_by_side.metrics(records))
    else:
        console.print(_facts(records[0]["config"]))
        if records[0]["metrics"]:
            console.print(_metrics(records[0]["metrics"]))
    drawn = [
        _drawing(own, example, head, console, cell if len(found) > 1 else None)
        for cell, own in zip(found, alignments, strict=True)
        if own is not None
    ]
    if drawn:
        console.print(_legend(console, [own for own in alignments if own is not None]))
        console.print(side_by_side.drawings(drawn, console.width) if len(found) > 1 else drawn[0], soft_wrap=True)


def _found(store: "Store", cells: list[str], where: list[str]) -> list[str]:
    """Returns the ids of the requested cells.

    Raises:
        AttnbenchError: if there is no such cell, or more of them than can be read side by side.
    """
    from attnbench.analysis.labels import filtered, label_columns, values_of

    if bool(cells) == bool(where):
        what = "a cell is named by its id or by --where" + ", not by both" * bool(cells)
        raise fail(what, "show", _example_of(store))
    if cells:
        return list(dict.fromkeys(map(store.find, cells)))
    # A comma within a label, such as [8, 12], is not followed by a column and "=".
    conditions = [condition for given in where for condition in re.split(r",(?=\s*[\w.]+=)", given)]
    rows = filtered(store.frame(), conditions, store.name)
    if len(rows) > MOST_CELLS:
        varying = [name for name in label_columns(rows) if len(set(values_of(rows, name))) > 1]
        hint = f"add a condition: they differ in {', '.join(varying)}"
        raise fail(f"{len(rows)} cells fulfil {', '.join(conditions)}; at most {MOST_CELLS} are shown", "--where", hint)
    return list(rows["cell"])


def _example_of(store: "Store") -> str:
    """A hint with a command that shows a cell of the run."""
    from attnbench.analysis.labels import NONE, text

    frame = store.frame()
    ids = f"the ids are in {store.folder / 'table.csv'}"
    if frame.empty:
        return ids
    labels = frame.iloc[0][["score", "task", "seed"]].to_dict()
    written = {name: NONE if label in (None, NO_VALUE) else text(label) for name, label in labels.items()}
    conditions = shlex.quote(",".join(f"{name}={value}" for name, value in written.items()))
    return f"e.g. attnbench show {shlex.quote(store.name)} --where {conditions}; {ids}"


def _check_drawable(alignments: "Alignments | None", example: int, head: int | None, cell: str) -> None:
    if alignments is None:
        if example or head is not None:
            raise fail("the cell has no alignment to draw", f"cell {cell}", "omit --example and --head")
        return
    where, last = f"cell {cell}", len(alignments.source) - 1
    if example > last:
        raise fail(f"there is no test {_example_name(alignments)} {example}", where, f"choose one from 0 to {last}")
    heads = alignments.heads.shape[1]
    if head is not None and head >= heads:
        hint = f"choose one from 0 to {heads - 1}" if heads else "omit --head"
        raise fail(f"there is no head {head}" if heads else "the model has no separate heads", where, hint)


def _facts(config: dict[str, Any]) -> "Table":
    """Returns the resolved fields, a line per section, without those that are not set."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for section, value in config.items():
        if isinstance(value, dict):
            fields = value.get("options", value)
            shown = [str(value["name"])] if "name" in value else []
            shown += [f"{key}={_plain(item)}" for key, item in fields.items() if item not in (None, [])]
        else:
            shown = [_plain(value)]
        table.add_row(Text(section, style="cyan"), Text(one_line("  ".join(shown))))
    return table


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ",".join(f"{key}:{_plain(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ",".join(map(_plain, value))
    return NO_VALUE if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _metrics(metrics: dict[str, float | None]) -> "Table":
    """Returns a row per metric: over the trained lengths, then per test length."""
    from rich import box
    from rich.table import Table

    from attnbench.metrics import METRICS

    lengths = sorted({int(name.split("@")[1]) for name in metrics if "@" in name})
    table = Table(box=box.SIMPLE_HEAD, header_style="cyan", pad_edge=False)
    table.add_column("metric")
    for head in ("trained lengths", *(f"length {length}" for length in lengths)):
        table.add_column(head, justify="right")
    for name, metric in METRICS.items():
        values = [metrics.get(column) for column in (name, *(f"{name}@{length}" for length in lengths))]
        if any(value is not None for value in values):
            table.add_row(name, *(NO_VALUE if v is None else metric.show(v) for v in values))
    return table


def _colour(console: "Console") -> bool:
    # With 16 colours, the shades of a heat map cannot be distinguished.
    return console.color_system in ("256", "truecolor") and not console.no_color


def _legend(console: "Console", alignments: "list[Alignments]") -> "Text":
    """Explains the marks that the drawings of these alignments have."""
    from attnbench.analysis.scene_map import scene_legend

    possible = any(own.images.size and own.possible.size for own in alignments)
    return scene_legend(_colour(console), any(map(_has_links, alignments)), possible)


def _has_links(alignments: "Alignments") -> bool:
    return alignments.links.shape[1:] == alignments.weights.shape[1:]


def _drawing(
    alignments: "Alignments", example: int, head: int | None, console: "Console", cell: str | None = None
) -> "Text":
    """Returns the heat map of one test sentence, with a title: the cell if there are several, else the sentence."""
    from rich.text import Text

    image = alignments.images.size > 0
    drawing = (_scene_map if image else _heat_map)(alignments, example, head, console)
    heads = alignments.heads.shape[1]
    which = "the mean of the heads" if head is None else f"head {head}"
    choice = f", {which} (--head H: 0 to {heads - 1})" if heads else ""
    above = f"Test {_example_name(alignments)} {example} (--example N: 0 to {len(alignments.source) - 1}){choice}"
    line = Text(f"{above}: {'the weights of its patches, per word' if image else 'source above, target at the left'}")
    # The empty line keeps the title apart from the source words above the map.
    return Text("\n").join([line if cell is None else Text(cell), Text(), drawing])


def _example_name(alignments: "Alignments") -> str:
    return "image" if alignments.images.size else "sentence"


def _heat_map(alignments: "Alignments", example: int, head: int | None, console: "Console") -> "Text":
    from attnbench.analysis.heatmap import heat_map

    return heat_map(
        alignments.weights[example] if head is None else alignments.heads[example, head],
        alignments.source[example],
        alignments.target[example],
        alignments.links[example] if _has_links(alignments) else None,
        _colour(console),
        console.width,
    )


def _scene_map(alignments: "Alignments", example: int, head: int | None, console: "Console") -> "Text":
    from attnbench.analysis.scene_map import scene_map

    return scene_map(
        alignments.images[example],
        alignments.weights[example] if head is None else alignments.heads[example, head],
        alignments.target[example],
        alignments.links[example] if _has_links(alignments) else None,
        alignments.possible[example] if alignments.possible.size else None,
        _colour(console),
        console.width,
    )
