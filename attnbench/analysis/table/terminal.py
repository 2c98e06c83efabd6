"""The comparison table on a terminal, made narrower or split where it is too wide."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.analysis.labels import Label
from attnbench.analysis.table.captions import caption, mark, title
from attnbench.analysis.table.comparison import Comparison, RowLabels
from attnbench.analysis.table.texts import cell_parts, head_text, row_names
from attnbench.analysis.width import natural_width, print_sentences, wide_enough

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
    blocks = [comparison.heads] if width is None else _blocks(comparison, layout, width)
    below = Text("\n".join(caption(comparison, "*" if star else "bold")), style="dim")
    tables = [_rich_table(comparison, heads, layout) for heads in blocks]
    return Group(Text(title(comparison), style="bold"), *tables, below)


def _rich_table(comparison: Comparison, heads: Sequence[Label], layout: "_Layout") -> "Table":
    """The table of some of the columns."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    padding = (0, 1, 0, 0) if layout.narrow else (0, 1)
    table = Table(box=box.SIMPLE_HEAD, header_style="cyan", pad_edge=False, padding=padding)
    for name in comparison.index:
        table.add_column(Text(re.sub(r"([._])", r"\1\n", name) if layout.narrow else name), no_wrap=True)
    for head in heads:
        table.add_column(Text(head_text(comparison, head)), overflow="fold")
    above: RowLabels = ()
    for row in comparison.rows:
        same = next((i for i, (label, old) in enumerate(zip(row, above, strict=False)) if label != old), len(above))
        names = [Text("" if level < same else label) for level, label in enumerate(row_names(comparison, row))]
        table.add_row(*names, *(_rich_cell(comparison, row, head, layout) for head in heads))
        above = row
    return table


def _blocks(comparison: Comparison, layout: "_Layout", width: int) -> list[list[Label]]:
    """The columns in groups that fit a width; a column that does not even fit alone is a group of its own."""
    from rich.console import Console

    console = Console()
    blocks: list[list[Label]] = []
    for head in comparison.heads:
        longer = [*blocks[-1], head] if blocks else []
        if longer and natural_width(_rich_table(comparison, longer, layout), console) <= width:
            blocks[-1] = longer
        else:
            blocks.append([head])
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
