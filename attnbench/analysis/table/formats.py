"""The comparison table in the six formats of `attnbench table`."""

import html
import json
from typing import Any

from attnbench.analysis.csv_text import csv_text
from attnbench.analysis.numbers import rounded
from attnbench.analysis.stats import proportion_interval
from attnbench.analysis.table.captions import BEYOND, caption, title
from attnbench.analysis.table.cell import TableCell
from attnbench.analysis.table.comparison import Comparison, comparison
from attnbench.analysis.table.cost import cost_heads, cost_numbers, cost_parts
from attnbench.analysis.table.lengths import LENGTH
from attnbench.analysis.table.terminal import print_table, to_rich
from attnbench.analysis.table.texts import cell_parts, head_text, row_names
from attnbench.escapes import markdown, one_line

__all__ = [
    "Comparison", "caption", "comparison", "print_table", "title",
    "to_csv", "to_html", "to_json", "to_latex", "to_markdown", "to_rich",
]  # fmt: skip

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "·": r"$\cdot$", "≥": r"$\geq$",
    "≈": r"$\approx$", BEYOND: r"$\rangle$",
}  # fmt: skip


def to_markdown(comparison: Comparison) -> str:
    """A GitHub table with its title above and its caption below."""

    def line(items: list[str]) -> str:
        return f"| {' | '.join(items)} |"

    ruler = ["---"] * len(comparison.index) + ["---:"] * (len(comparison.heads) + len(comparison.cost))
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
        rf"\begin{{tabular}}{{{'l' * len(comparison.index)}{'r' * (len(comparison.heads) + len(comparison.cost))}}}",
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
    span = levels + len(comparison.heads) + len(comparison.cost)
    below = "<br>".join(html.escape(sentence) for sentence in caption(comparison))
    lines += ["</tbody>", f'<tfoot><tr><td colspan="{span}">{below}</td></tr></tfoot>', "</table>"]
    return "\n".join(lines) + "\n"


def to_csv(comparison: Comparison) -> str:
    """One line per cell of the table, unrounded.

    Its axes, then mean (or iqm, or median), low, high, n, failed, learned (the seeds that reached .5), tie (the verdict
    against the best of the column: best, worse, better, equivalent, no difference found or inconclusive; empty where
    nothing was compared), learned_low and learned_high (the exact 95 % interval of the share that learns), by length
    beyond (longer than the trained lengths) and, with its costs, parameters, flops and seconds.
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
                found.append(
                    labels
                    | {comparison.statistic: cell.mean}
                    | numbers
                    | verdict
                    | beyond
                    | cost_numbers(comparison, (row, head))
                )
    return found


def _share_learned(cell: TableCell) -> dict[str, float | None]:
    """The exact 95 % interval of the share of seeds that learn."""
    interval: tuple[float | None, float | None] = (None, None)
    if cell.learned is not None and cell.learned_of:
        interval = proportion_interval(cell.learned, cell.learned_of)
    return dict(zip(("learned_low", "learned_high"), interval, strict=True))


def _header(comparison: Comparison) -> list[str]:
    return [*comparison.index, *(head_text(comparison, head) for head in comparison.heads), *cost_heads(comparison)]


def _grid(comparison: Comparison, escape: Any, bold: Any) -> list[list[str]]:
    """The rows of a printed table: names and cells, with each part escaped and the best means marked."""
    lines = []
    for row in comparison.rows:
        line = [escape(label) for label in row_names(comparison, row)]
        for head in comparison.heads:
            mean, *rest = map(escape, cell_parts(comparison, row, head))
            cell = comparison.cells.get((row, head))
            line.append(" ".join([bold(mean) if cell and cell.best else mean, *rest]))
        lines.append([*line, *map(escape, cost_parts(comparison, row))])
    return lines


def latex(part: str) -> str:
    """The text with LaTeX's special characters escaped."""
    return "".join(_LATEX.get(letter, letter) for letter in one_line(part))
