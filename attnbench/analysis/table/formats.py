"""The comparison table in the six formats of `attnbench table`."""

import html
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnbench.analysis.csv_text import csv_text
from attnbench.analysis.labels import Label, text
from attnbench.analysis.numbers import rounded
from attnbench.analysis.stats import proportion_interval
from attnbench.analysis.table.captions import BEYOND, caption, mark, title
from attnbench.analysis.table.cell import TableCell
from attnbench.analysis.table.comparison import Comparison, RowLabels, comparison
from attnbench.analysis.table.lengths import LENGTH
from attnbench.analysis.width import natural_width, print_sentences, wide_enough
from attnbench.escapes import markdown, one_line
from attnbench.messages import NO_VALUE

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.table import Table
    from rich.text import Text

__all__ = [
    "Comparison", "caption", "comparison", "print_table", "title",
    "to_csv", "to_html", "to_json", "to_latex", "to_markdown", "to_rich",
]  # fmt: skip

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "·": r"$\cdot$", "≥": r"$\geq$",
    "≈": r"$\approx$", BEYOND: r"$\rangle$",
}  # fmt: skip


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
        table.add_column(Text(_head(comparison, head)), overflow="fold")
    above: RowLabels = ()
    for row in comparison.rows:
        same = next((i for i, (label, old) in enumerate(zip(row, above, strict=False)) if label != old), len(above))
        names = [Text("" if level < same else label) for level, label in enumerate(_names(comparison, row))]
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


def to_markdown(comparison: Comparison) -> str:
    """A GitHub table with its title above and its caption below."""

    def line(items: list[str]) -> str:
        return f"| {' | '.join(items)} |"

    ruler = ["---"] * len(comparison.index) + ["---:"] * len(comparison.heads)
    grid = _grid(comparison, markdown, lambda mean: f"**{mean}**")
    table = "\n".join(map(line, [[markdown(name) for name in _header(comparison)], ruler, *grid]))
    below = "  \n".join(map(markdown, caption(comparison)))
    return "\n\n".join([f"**{markdown(title(comparison))}**", table, below]) + "\n"


def to_latex(comparison: Comparison) -> str:
    """A tabular for the LaTeX package booktabs, with title and caption as comments."""

    def line(items: list[str]) -> str:
        return f"{' & '.join(items)} \\\\"

    grid = _grid(comparison, latex, lambda mean: rf"\textbf{{{mean}}}")
    return "\n".join([
        f"% {one_line(title(comparison))}",
        *(f"% {one_line(sentence)}" for sentence in caption(comparison)),
        rf"\begin{{tabular}}{{{'l' * len(comparison.index)}{'r' * len(comparison.heads)}}}",
        r"\toprule",
        line([latex(name) for name in _header(comparison)]),
        r"\midrule",
        *map(line, grid),
        r"\bottomrule",
        r"\end{tabular}",
    ]) + "\n"  # fmt: skip


def to_html(comparison: Comparison) -> str:
    """A <table> element without styles, to be embedded in a page."""
    levels = len(comparison.index)
    header = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in _header(comparison))
    lines = ["<table>", f"<caption>{html.escape(title(comparison))}</caption>", f"<thead><tr>{header}</tr></thead>"]
    lines.append("<tbody>")
    for items in _grid(comparison, html.escape, lambda mean: f"<strong>{mean}</strong>"):
        names = "".join(f'<th scope="row">{name}</th>' for name in items[:levels])
        lines.append(f"<tr>{names}{''.join(f'<td>{item}</td>' for item in items[levels:])}</tr>")
    span = levels + len(comparison.heads)
    below = "<br>".join(html.escape(sentence) for sentence in caption(comparison))
    lines += ["</tbody>", f'<tfoot><tr><td colspan="{span}">{below}</td></tr></tfoot>', "</table>"]
    return "\n".join(lines) + "\n"


def to_csv(comparison: Comparison) -> str:
    """One line per cell of the table, unrounded.

    Its axes, then mean (or iqm, or median), low, high, n, failed, learned (the seeds that reached .5), tie (the verdict
    against the best of the column: best, worse, better, equivalent, no difference found or inconclusive; empty where
    nothing was compared), learned_low and learned_high (the exact 95 % interval of the share that learns) and, by
    length, beyond (longer than the trained lengths).
    """
    return csv_text(_numbers(comparison))


def to_json(comparison: Comparison) -> str:
    """A list with one object per cell of the table; its keys are the columns of the CSV."""
    return json.dumps(_numbers(comparison), indent=1, ensure_ascii=False) + "\n"


def _numbers(comparison: Comparison) -> list[dict[str, Any]]:
    return rounded(records(comparison), (*comparison.index, comparison.columns))


def records(comparison: Comparison) -> list[dict[str, Any]]:
    """One record per cell of the table, with numbers in full precision."""
    found = []
    for row in comparison.rows:
        for head in comparison.heads:
            if cell := comparison.cells.get((row, head)):
                labels = dict(zip((*comparison.index, comparison.columns), (*row, head), strict=True))
                numbers = {name: getattr(cell, name) for name in ("low", "high", "n", "failed", "learned")}
                verdict = {"tie": cell.verdict} | _share_learned(cell)
                beyond = {"beyond": cell.beyond} if LENGTH in labels else {}
                found.append(labels | {comparison.statistic: cell.mean} | numbers | verdict | beyond)
    return found


def _share_learned(cell: TableCell) -> dict[str, float | None]:
    """The exact 95 % interval of the share of seeds that learn."""
    interval: tuple[float | None, float | None] = (None, None)
    if cell.learned is not None and cell.learned_of:
        interval = proportion_interval(cell.learned, cell.learned_of)
    return dict(zip(("learned_low", "learned_high"), interval, strict=True))


def _header(comparison: Comparison) -> list[str]:
    return [*comparison.index, *(_head(comparison, head) for head in comparison.heads)]


def _head(comparison: Comparison, head: Label) -> str:
    """The head of a column; a length beyond the trained lengths is marked."""
    return f"{text(head)} {BEYOND}" if comparison.columns == LENGTH and head in comparison.beyond else text(head)


def _names(comparison: Comparison, row: RowLabels) -> list[str]:
    """The labels of a row; a length is marked as in the head of a column."""
    return [
        f"{text(label)} {BEYOND}" if axis == LENGTH and label in comparison.beyond else text(label)
        for axis, label in zip(comparison.index, row, strict=True)
    ]


def _grid(comparison: Comparison, escape: Any, bold: Any) -> list[list[str]]:
    """The rows of a printed table: names and cells, with each part escaped and the best means marked."""
    lines = []
    for row in comparison.rows:
        line = [escape(label) for label in _names(comparison, row)]
        for head in comparison.heads:
            mean, *rest = map(escape, cell_parts(comparison, row, head))
            cell = comparison.cells.get((row, head))
            line.append(" ".join([bold(mean) if cell and cell.best else mean, *rest]))
        lines.append(line)
    return lines


def cell_parts(comparison: Comparison, row: RowLabels, head: Label) -> list[str]:
    """The parts of a cell: the mean and its mark, the interval if any, and whatever differs from most cells."""
    cell = comparison.cells.get((row, head))
    if cell is None or cell.mean is None:
        return [f"failed {cell.failed}/{cell.of}"] if cell is not None and cell.failed else [NO_VALUE]
    parts = [comparison.about.show(cell.mean) + mark(comparison, cell)]
    decimals = comparison.about.interval_decimals
    if cell.low is not None and cell.high is not None and decimals is not None:
        parts.append(f"{_end(cell.low, decimals, math.floor)}–{_end(cell.high, decimals, math.ceil)}")
    if (cell.n, cell.of) != (comparison.n, comparison.n):
        parts.append(_count(cell))
    if cell.two_groups:
        parts.append(f"{cell.learned}/{cell.learned_of} learned")
    if cell.beyond and comparison.beyond.isdisjoint({head} if comparison.columns == LENGTH else row):
        parts.append(BEYOND)
    return parts


def _count(cell: TableCell) -> str:
    return f"n={cell.n}/{cell.of}" if cell.n < cell.of else f"n={cell.n}"


def _end(value: float, decimals: int, outward: Callable[[float], int]) -> str:
    """An end of an interval, rounded outward so that it still contains the mean: .97, and 1.0 for 1.00."""
    scale = 10**decimals
    shown = f"{outward(round(value * scale, 6)) / scale:,.{decimals}f}"
    if decimals < 2:
        return shown
    return shown[1:] if shown.startswith("0.") else shown[:-1] if shown == "1.00" else shown


def latex(part: str) -> str:
    """The text with LaTeX's special characters escaped."""
    return "".join(_LATEX.get(letter, letter) for letter in one_line(part))
