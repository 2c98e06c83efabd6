"""The comparison table, in the six formats of `attnbench table`."""

import csv
import html
import io
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnbench.analysis.labels import NOTHING, Label, text
from attnbench.analysis.table.captions import BEYOND, caption, learned_in_part, mark, title
from attnbench.analysis.table.comparison import Comparison, Row, Summary, comparison, show_mean
from attnbench.analysis.table.lengths import LENGTH

if TYPE_CHECKING:
    from rich.console import Console, Group
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


def to_rich(comparison: Comparison, star: bool = False, narrow: bool = False) -> "Group":
    """Title, table and caption for the terminal.

    Args:
        comparison: what is shown.
        star: whether the best are marked by * as well, where bold cannot be seen.
        narrow: whether intervals stand below their means, and long names of axes are broken.
    """
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    star = star and any(cell.best for cell in comparison.cells.values())
    signs = any(mark(comparison, cell) for cell in comparison.cells.values())
    layout = _Layout(star, narrow, star or signs, _widths(comparison))
    padding = (0, 1, 0, 0) if narrow else (0, 1)
    table = Table(box=box.SIMPLE_HEAD, header_style="cyan", pad_edge=False, padding=padding)
    for name in comparison.index:
        table.add_column(Text(re.sub(r"([._])", r"\1\n", name) if narrow else name), no_wrap=True)
    for head in comparison.heads:
        table.add_column(Text(_head(comparison, head)), overflow="fold")
    above: Row = ()
    for row in comparison.rows:
        same = next((i for i, (label, old) in enumerate(zip(row, above, strict=False)) if label != old), len(above))
        names = [Text("" if level < same else label) for level, label in enumerate(_names(comparison, row))]
        table.add_row(*names, *(_rich_cell(comparison, row, head, layout) for head in comparison.heads))
        above = row
    below = Text("\n".join(caption(comparison, "*" if star else "bold")), style="dim")
    return Group(Text(title(comparison), style="bold"), table, below)


@dataclass(frozen=True)
class _Layout:
    """How cells stand in a terminal: as `to_rich` was asked, with a place for signs or not, and how wide means are."""

    star: bool
    narrow: bool
    signs: bool
    widths: dict[Label, int]


def _widths(comparison: Comparison) -> dict[Label, int]:
    """The length of the longest mean of each column."""
    widths = dict.fromkeys(comparison.heads, 0)
    for (_, head), cell in comparison.cells.items():
        if cell.mean is not None:
            widths[head] = max(widths[head], len(show_mean(cell.mean, comparison.style)))
    return widths


def _rich_cell(comparison: Comparison, row: Row, head: Label, layout: _Layout) -> "Text":
    """One cell; the means of a column stand one below the other, whatever comes after them."""
    from rich.text import Text

    said, *rest = _parts(comparison, row, head)
    cell = comparison.cells.get((row, head))
    if cell is None or cell.mean is None:
        return Text(said, style="red" if cell and cell.failed else "dim")
    shown = Text(show_mean(cell.mean, comparison.style).rjust(layout.widths[head]))
    if cell.best:
        shown.stylize("bold green")
    if layout.signs:
        shown.append(mark(comparison, cell) or ("*" if layout.star and cell.best else " "))
    for part in rest:
        style = "red" if "/" in part else "dim"
        if layout.narrow:
            part = "\n" + part.replace(" ", "\n")
        else:  # who learned stands below, for it is long and rare
            part = f"{chr(10) if part.endswith('learned') else ' '}{part}"
        shown.append(part, style=style)
    return shown


def print_table(comparison: Comparison, console: "Console") -> None:
    """Prints the rich table; off a terminal at its full width, with a star where bold cannot be seen."""
    star = console.color_system is None
    shown, given = to_rich(comparison, star), console.width
    console.width = 10_000  # what is measured is never wider than the console
    whole, table = console.measure(shown).maximum, console.measure(shown.renderables[1]).maximum
    console.width = given if console.is_terminal else max(given, whole)
    if table > console.width:  # title and caption may wrap
        shown = to_rich(comparison, star, narrow=True)
    console.print(shown)
    console.width = given


def to_markdown(comparison: Comparison) -> str:
    """A GitHub table with its title above and its caption below."""

    def line(items: list[str]) -> str:
        return f"| {' | '.join(item.replace('|', chr(92) + '|') for item in items)} |"

    ruler = ["---"] * len(comparison.index) + ["---:"] * len(comparison.heads)
    grid = _grid(comparison, lambda part: part, lambda mean: f"**{mean}**")
    table = "\n".join(map(line, [_header(comparison), ruler, *grid]))
    return "\n\n".join([f"**{title(comparison)}**", table, "  \n".join(caption(comparison))]) + "\n"


def to_latex(comparison: Comparison) -> str:
    """A tabular for the package booktabs, with title and caption as comments."""

    def line(items: list[str]) -> str:
        return f"{' & '.join(items)} \\\\"

    grid = _grid(comparison, _latex, lambda mean: rf"\textbf{{{mean}}}")
    return "\n".join([
        f"% {title(comparison)}",
        *(f"% {sentence}" for sentence in caption(comparison)),
        rf"\begin{{tabular}}{{{'l' * len(comparison.index)}{'r' * len(comparison.heads)}}}",
        r"\toprule",
        line([_latex(name) for name in _header(comparison)]),
        r"\midrule",
        *map(line, grid),
        r"\bottomrule",
        r"\end{tabular}",
    ]) + "\n"  # fmt: skip


def to_html(comparison: Comparison) -> str:
    """A <table> to be put into a page; it brings no style of its own."""
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
    """One line per cell of the table, in full precision.

    Its axes, then mean (or iqm, or median), low, high, n, failed, learned (the seeds that reached .5), tie (best, tie,
    worse, better, untold; empty where nothing was compared) and, by length, beyond (longer than trained on).
    """
    out = io.StringIO()
    records = _records(comparison)
    writer = csv.DictWriter(out, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return out.getvalue()


def to_json(comparison: Comparison) -> str:
    """A list with one object per cell of the table, of the same names as the CSV's columns."""
    return json.dumps(_records(comparison), indent=1, ensure_ascii=False) + "\n"


def _records(comparison: Comparison) -> list[dict[str, Any]]:
    records = []
    for row in comparison.rows:
        for head in comparison.heads:
            if cell := comparison.cells.get((row, head)):
                labels = dict(zip((*comparison.index, comparison.columns), (*row, head), strict=True))
                numbers = {name: getattr(cell, name) for name in ("low", "high", "n", "failed", "learned", "tie")}
                beyond = {"beyond": cell.beyond} if LENGTH in labels else {}
                records.append(labels | {comparison.statistic: cell.mean} | numbers | beyond)
    return records


def _header(comparison: Comparison) -> list[str]:
    return [*comparison.index, *(_head(comparison, head) for head in comparison.heads)]


def _head(comparison: Comparison, head: Label) -> str:
    """The head of a column; a length beyond those trained on is marked."""
    return f"{text(head)} {BEYOND}" if comparison.columns == LENGTH and head in comparison.beyond else text(head)


def _names(comparison: Comparison, row: Row) -> list[str]:
    """The labels of a row, the length marked as in the head of a column."""
    return [
        f"{text(label)} {BEYOND}" if axis == LENGTH and label in comparison.beyond else text(label)
        for axis, label in zip(comparison.index, row, strict=True)
    ]


def _grid(comparison: Comparison, escape: Any, bold: Any) -> list[list[str]]:
    """The rows of a printed table, names and cells, each part escaped and the best means marked."""
    lines = []
    for row in comparison.rows:
        line = [escape(label) for label in _names(comparison, row)]
        for head in comparison.heads:
            mean, *rest = map(escape, _parts(comparison, row, head))
            cell = comparison.cells.get((row, head))
            line.append(" ".join([bold(mean) if cell and cell.best else mean, *rest]))
        lines.append(line)
    return lines


def _parts(comparison: Comparison, row: Row, head: Label) -> list[str]:
    """What a cell says: the mean and its mark, the interval where there is one, and what is not as in most cells."""
    cell = comparison.cells.get((row, head))
    if cell is None or cell.mean is None:
        return [f"failed {cell.failed}/{cell.of}"] if cell is not None and cell.failed else [NOTHING]
    parts = [show_mean(cell.mean, comparison.style) + mark(comparison, cell)]
    if cell.low is not None and cell.high is not None and comparison.style.interval_decimals is not None:
        decimals = comparison.style.interval_decimals
        parts.append(f"{_end(cell.low, decimals, math.floor)}–{_end(cell.high, decimals, math.ceil)}")
    if (cell.n, cell.of) != (comparison.n, comparison.n):
        parts.append(_count(cell))
    if learned_in_part(cell):
        parts.append(f"{cell.learned}/{cell.n} learned")
    if cell.beyond and comparison.beyond.isdisjoint({head} if comparison.columns == LENGTH else row):
        parts.append(BEYOND)
    return parts


def _count(cell: Summary) -> str:
    return f"n={cell.n}/{cell.of}" if cell.n < cell.of else f"n={cell.n}"


def _end(value: float, decimals: int, outward: Callable[[float], int]) -> str:
    """An end of an interval, rounded outward so that the mean lies inside: .97, and 1.0 for 1.00."""
    scale = 10**decimals
    shown = f"{outward(round(value * scale, 6)) / scale:,.{decimals}f}"
    if decimals < 2:
        return shown
    return shown[1:] if shown.startswith("0.") else shown[:-1] if shown == "1.00" else shown


def _latex(part: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in part)
