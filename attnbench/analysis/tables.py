"""The comparison table, in the six formats of `attnbench table`."""

import csv
import html
import io
import json
import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attnbench.analysis.compare import Comparison, Row, Summary, comparison, show_mean
from attnbench.analysis.labels import NOTHING, Label, text

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.text import Text

__all__ = [
    "Comparison", "comparison", "print_table", "to_csv", "to_html", "to_json", "to_latex", "to_markdown", "to_rich",
]  # fmt: skip

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "·": r"$\cdot$", "≥": r"$\geq$",
}  # fmt: skip


def title(comparison: Comparison) -> str:
    """The run, the metric, which way is better, and the axes."""
    better = {1: " (higher is better)", -1: " (lower is better)", 0: ""}[comparison.style.better]
    name = f"{comparison.name}: " if comparison.name else ""
    return f"{name}{comparison.metric}{better} by {comparison.index[0]} and {comparison.columns}"


def caption(comparison: Comparison, best: str = "bold") -> list[str]:
    """The sentences below a table: how to read a cell, then the notes. `best` is how the best are marked."""
    cells, n = comparison.cells.values(), comparison.n
    mean = f"Mean over n = {n} seed{'s' * (n > 1)}"
    if any(cell.low is not None for cell in cells) and comparison.style.interval_decimals is not None:
        mean += f", then its 95 % bootstrap interval{' (at so small an n: the range of the seeds)' * (n in (2, 3))}"
    lines = [f"{mean}."]
    if any(0 < cell.n < cell.of for cell in cells):
        lines.append("n=a/b: only a of b seeds have a value; such a mean does not compete for the best.")
    if any(cell.n == cell.of != n for cell in cells):
        lines.append("n=a: over a seeds.")
    marked = f"{best[0].upper()}{best[1:]}: best of its column. " if any(cell.best for cell in cells) else ""
    gaps = any(_parts(comparison, row, head)[0] == NOTHING for row in comparison.rows for head in comparison.heads)
    lines.append(f"{marked}{f'{NOTHING}: nothing there.' if gaps else ''}".strip())
    return [line for line in [*lines, *comparison.notes] if line]


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
    padding = (0, 1, 0, 0) if narrow else (0, 1)
    table = Table(box=box.SIMPLE_HEAD, header_style="cyan", pad_edge=False, padding=padding)
    for name in comparison.index:
        table.add_column(Text(re.sub(r"([._])", r"\1\n", name) if narrow else name), no_wrap=True)
    for head in comparison.heads:
        table.add_column(Text(text(head)), overflow="fold")
    above: Row = ()
    for row in comparison.rows:
        same = next((i for i, (label, old) in enumerate(zip(row, above, strict=False)) if label != old), len(above))
        names = [Text("" if level < same else text(label)) for level, label in enumerate(row)]
        table.add_row(*names, *(_rich_cell(comparison, row, head, star, narrow) for head in comparison.heads))
        above = row
    below = Text("\n".join(caption(comparison, "*" if star else "bold")), style="dim")
    return Group(Text(title(comparison), style="bold"), table, below)


def _rich_cell(comparison: Comparison, row: Row, head: Label, star: bool, narrow: bool) -> "Text":
    """One cell; the means of a column stand one below the other, whatever comes after them."""
    from rich.text import Text

    mean, *rest = _parts(comparison, row, head)
    cell = comparison.cells.get((row, head))
    if cell is None or cell.mean is None:
        return Text(mean, style="red" if cell and cell.failed else "dim")
    means = (c.mean for (_, other), c in comparison.cells.items() if other == head and c.mean is not None)
    width = max(len(show_mean(value, comparison.style)) for value in means)
    shown = Text(mean.rjust(width), style="bold green" if cell.best else "")
    if star:
        shown.append("*" if cell.best else " ")
    for part in rest:
        shown.append(
            f"{chr(10) if narrow else ' '}{part}", style="not bold red" if "/" in part else "not bold dim default"
        )
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
    """One line per cell of the table: its axes, then mean, low, high, n, failed, in full precision."""
    out = io.StringIO()
    names = [*comparison.index, comparison.columns, "mean", "low", "high", "n", "failed"]
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_records(comparison))
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
                numbers = {name: getattr(cell, name) for name in ("mean", "low", "high", "n", "failed")}
                records.append(labels | numbers)
    return records


def _header(comparison: Comparison) -> list[str]:
    return [*comparison.index, *map(text, comparison.heads)]


def _grid(comparison: Comparison, escape: Any, bold: Any) -> list[list[str]]:
    """The rows of a printed table, names and cells, each part escaped and the best means marked."""
    lines = []
    for row in comparison.rows:
        line = [escape(text(label)) for label in row]
        for head in comparison.heads:
            mean, *rest = map(escape, _parts(comparison, row, head))
            cell = comparison.cells.get((row, head))
            line.append(" ".join([bold(mean) if cell and cell.best else mean, *rest]))
        lines.append(line)
    return lines


def _parts(comparison: Comparison, row: Row, head: Label) -> list[str]:
    """What a cell says: the mean, the interval where there is one, and n where it is not the common one."""
    cell = comparison.cells.get((row, head))
    if cell is None or cell.mean is None:
        return [f"failed {cell.failed}/{cell.of}"] if cell is not None and cell.failed else [NOTHING]
    parts = [show_mean(cell.mean, comparison.style)]
    if cell.low is not None and cell.high is not None and comparison.style.interval_decimals is not None:
        decimals = comparison.style.interval_decimals
        parts.append(f"{_end(cell.low, decimals, math.floor)}–{_end(cell.high, decimals, math.ceil)}")
    if (cell.n, cell.of) != (comparison.n, comparison.n):
        parts.append(_count(cell))
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
