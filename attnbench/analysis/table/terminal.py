"""The comparison table on a terminal, made narrower or split where it is too wide."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.analysis.labels import Label
from attnbench.analysis.table.captions import caption, mark, title
from attnbench.analysis.table.comparison import Comparison, RowLabels
from attnbench.analysis.table.cost import cost_heads, cost_parts
from attnbench.analysis.table.texts import cell_parts, head_text, row_names
from attnbench.analysis.width import natural_width, print_sentences, wide_enough
from attnbench.messages import NO_VALUE

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.table import Table
    from rich.text import Text


def to_rich(comparison: Comparison, star: bool = False, narrow: bool = False, width: int | None = None) -> "Group":
    """Title, table and caption for the terminal.

    Args:
        comparison: what is shown.
        star: whether to mark the best cells with * as well, for output without bold.
        narrow: whether to print intervals below their means and to break long names of axes.
        width: the table is split into several, each with some of the columns, that are at most this wide.
    """
    from rich.console import Group
    from rich.text import Text

    star = star and any(cell.best for cell in comparison.cells.values())
    signs = any(mark(comparison, cell) for cell in comparison.cells.values())
    layout = _Layout(star, narrow, star or signs, _widths(comparison))
    columns = _columns(comparison, layout)
    blocks = [columns] if width is None else _blocks(comparison, columns, layout, width)
    below = Text("\n".join(caption(comparison, "*" if star else "bold")), style="dim")
    tables = [_rich_table(comparison, block, layout) for block in blocks]
    return Group(Text(title(comparison), style="bold"), *tables, below)


@dataclass(frozen=True)
class _Column:
    """A column beside the names of the rows: its head, a cell for each row, and whether it is one of the costs."""

    head: str
    cells: list["Text"]
    cost: bool


def _columns(comparison: Comparison, layout: "_Layout") -> list[_Column]:
    """The columns of the metric, then those of the costs."""
    from rich.text import Text

    def shown(part: str) -> Text:
        return Text(part.replace("–", "–\n") if layout.narrow and part != NO_VALUE else part, style="dim")

    rows = comparison.rows
    metric = [
        _Column(head_text(comparison, head), [_rich_cell(comparison, row, head, layout) for row in rows], cost=False)
        for head in comparison.heads
    ]
    costs = zip(cost_heads(comparison), *(cost_parts(comparison, row) for row in rows), strict=True)
    return [*metric, *(_Column(head, list(map(shown, parts)), cost=True) for head, *parts in costs)]


def _rich_table(comparison: Comparison, columns: Sequence[_Column], layout: "_Layout") -> "Table":
    """The table of some of the columns."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    padding = (0, 1, 0, 0) if layout.narrow else (0, 1)
    table = Table(box=box.SIMPLE_HEAD, header_style="cyan", pad_edge=False, padding=padding)
    for name in comparison.index:
        table.add_column(Text(re.sub(r"([._])", r"\1\n", name) if layout.narrow else name), no_wrap=True)
    for column in columns:
        table.add_column(Text(column.head), overflow="fold", justify="right" if column.cost else "left")
    above: RowLabels = ()
    for number, row in enumerate(comparison.rows):
        same = next((i for i, (label, old) in enumerate(zip(row, above, strict=False)) if label != old), len(above))
        names = [Text("" if level < same else label) for level, label in enumerate(row_names(comparison, row))]
        table.add_row(*names, *(column.cells[number] for column in columns))
        above = row
    return table


def _blocks(comparison: Comparison, columns: Sequence[_Column], layout: "_Layout", width: int) -> list[list[_Column]]:
    """The columns in groups that fit a width; a column that does not even fit alone is a group of its own.

    Costs are apart from the metric, so that they are together.
    """
    from rich.console import Console

    console = Console()
    blocks: list[list[_Column]] = []
    for column in columns:
        longer = [*blocks[-1], column] if blocks and blocks[-1][-1].cost == column.cost else []
        if longer and natural_width(_rich_table(comparison, longer, layout), console) <= width:
            blocks[-1] = longer
        else:
            blocks.append([column])
    return blocks


@dataclass(frozen=True)
class _Layout:
    """How cells are laid out: the options of `to_rich`, whether there is a column for signs, and the width of means."""

    star: bool
    narrow: bool
    signs: bool
    widths: dict[Label, int]


def _widths(comparison: Comparison) -> dict[Label, int]:
    """The length of the longest mean of each column."""
    widths = dict.fromkeys(comparison.heads, 0)
    for (_, head), cell in comparison.cells.items():
        if cell.mean is not None:
            widths[head] = max(widths[head], len(comparison.about.show(cell.mean)))
    return widths


def _rich_cell(comparison: Comparison, row: RowLabels, head: Label, layout: _Layout) -> "Text":
    """One cell; the means of a column are aligned, whatever follows them."""
    from rich.text import Text

    first, *rest = cell_parts(comparison, row, head)
    cell = comparison.cells.get((row, head))
    if cell is None or cell.mean is None:
        return Text(first, style="red" if cell and cell.failed else "dim")
    shown = Text(comparison.about.show(cell.mean).rjust(layout.widths[head]))
    if cell.best:
        shown.stylize("bold green")
    if layout.signs:
        shown.append(mark(comparison, cell) or ("*" if layout.star and cell.best else " "))
    for part in rest:
        style = "red" if "/" in part else "dim"
        if layout.narrow:
            part = "\n" + part.replace(" ", "\n")
        else:  # long and rare: on a line of its own, so that columns stay narrow
            part = f"{chr(10) if part.endswith('learned') else ' '}{part}"
        shown.append(part, style=style)
    return shown


def print_table(comparison: Comparison, console: "Console") -> None:
    """Prints the rich table, with stars where there is no bold.

    Where it is too wide, intervals are printed below their means; where that does not suffice, the columns are split
    into several tables. Title and caption are wrapped.
    """
    star = console.color_system is None
    shown = to_rich(comparison, star)
    with wide_enough(console, _table_width(shown, console)):
        if _table_width(shown, console) > console.width:
            shown = to_rich(comparison, star, narrow=True)
        if _table_width(shown, console) > console.width:
            whole = to_rich(comparison, star, width=console.width)
            narrow = to_rich(comparison, star, narrow=True, width=console.width)
            shown = whole if _table_width(whole, console) <= console.width else narrow
        heading, *tables, below = shown.renderables
        print_sentences(console, heading)
        console.print(*tables, sep="\n")
        print_sentences(console, below)


def _table_width(shown: "Group", console: "Console") -> int:
    """The width of the widest table between title and caption."""
    return max(natural_width(table, console) for table in shown.renderables[1:-1])
