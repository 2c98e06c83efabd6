"""The tables of the report: the comparison by every metric, bars, failed cells, versions."""

import json
from collections import Counter
from dataclasses import replace
from typing import Any

from attnbench.analysis.labels import Label, text
from attnbench.analysis.report.data import LEAD, ReportData, row_label, short_names
from attnbench.analysis.report.markup import Html, element, joined
from attnbench.analysis.table.comparison import Comparison, RowLabels
from attnbench.analysis.table.formats import _parts as cell_parts
from attnbench.analysis.table.formats import caption
from attnbench.analysis.table.summary import TableCell


def metric_tables(data: ReportData) -> Html:
    """A table per metric, of which the script shows the chosen one; without it the others can be opened."""
    tables = []
    for metric, comparison in data.comparisons.items():
        parts = (element("summary", metric), _explained(comparison), _sortable(comparison, bars=False))
        tables.append(element("details", *parts, class_="metric", data_metric=metric, open=metric == LEAD))
    return element("div", *tables, class_="metrics")


def bar_table(data: ReportData, metric: str) -> Html | None:
    """A metric between 0 and 1 as bars; None where no cell has it."""
    comparison = data.comparisons.get(metric)
    if comparison is None:
        return None
    return joined(_explained(comparison), _sortable(comparison, bars=True))


def failures(data: ReportData) -> Html | None:
    """The cells that failed, each with its reason; None where there are none."""
    failed = [record for record in data.records.values() if record["status"] == "failed"]
    if not failed:
        return None
    layout = data.layout
    names = ("cell", "which", layout.columns, "seed", "error")
    header = element("tr", *(element("th", name, scope="col") for name in names))
    rows = []
    for record in failed:
        labels = record["labels"]
        which = row_label(layout.index, tuple(labels[axis] for axis in layout.index))
        values = (which, text(labels[layout.columns]), text(labels["seed"]))
        cells = [element("td", value) for value in values]
        reason = element("td", record["error"] or "", class_="error")
        rows.append(element("tr", element("th", element("code", record["cell"]), scope="row"), *cells, reason))
    return _boxed(element("table", element("thead", header), element("tbody", *rows), class_="plain"))


def versions(data: ReportData) -> Html:
    """What the cells were trained with; how many with which, where they differ."""
    found: dict[str, Counter[str]] = {}
    for record in data.records.values():
        for name, value in sorted(record["versions"].items()):
            found.setdefault(name, Counter())[_plain(value)] += 1
    if not found:
        return element("p", "The cells do not tell what they were trained with.", class_="note")
    rows = []
    for name, counts in found.items():
        many = len(counts) > 1
        shown = [f"{value} ({count} cell{'s' * (count > 1)})" if many else value for value, count in counts.items()]
        rows.append(element("tr", element("th", name, scope="row"), element("td", "; ".join(shown))))
    return _boxed(element("table", element("tbody", *rows), class_="plain"))


def _explained(comparison: Comparison) -> Html:
    """What the metric says, and which way is better."""
    _, _, length = comparison.metric.partition("@")
    about = comparison.about
    better = f"{about.direction.capitalize()} is better." if about.direction else ""
    words = [about.meaning, f"On sources of {length} words." if length else "", better]
    return element("p", " ".join(word for word in words if word), class_="meaning")


def _sortable(comparison: Comparison, bars: bool) -> Html:
    """The comparison as a table whose columns the script lets sort, with its caption below."""
    if bars:
        comparison = replace(comparison, rows=[row for row in comparison.rows if _has_value(comparison, row)])
    names = [
        element("th", short_names(comparison.index), scope="col", class_="whole"),
        *(element("th", name, scope="col", class_="part") for name in comparison.index),
    ]
    first = "ascending" if comparison.about.better < 0 else "descending"
    heads = [element("th", text(head), scope="col", data_first=first) for head in comparison.heads]
    body = [_row(comparison, row, bars) for row in comparison.rows]
    means = [cell.mean for cell in comparison.cells.values() if cell.mean is not None]
    wide = max((len(comparison.about.show(mean)) for mean in means), default=1)
    described = f"{comparison.metric} by {' and '.join(comparison.index)}, and {comparison.columns}"
    table = element(
        "table",
        element("caption", described),
        element("thead", element("tr", *names, *heads)),
        element("tbody", *body),
        class_=f"sortable{' bars' if bars else ''}",
        style=f"--wide: {0.64 * wide:.2f}em",
    )
    return joined(_boxed(table), *(element("p", line, class_="note") for line in caption(comparison)))


def _has_value(comparison: Comparison, row: RowLabels) -> bool:
    cells = (comparison.cells.get((row, head)) for head in comparison.heads)
    return any(cell is not None and cell.mean is not None for cell in cells)


def _row(comparison: Comparison, row: RowLabels, bars: bool) -> Html:
    """A row, named twice: in one cell, and with one per axis; the style shows what there is room for."""
    names = [
        element("th", row_label(comparison.index, row), scope="row", class_="whole"),
        *(element("th", text(label), scope="row", class_="part") for label in row),
    ]
    return element("tr", *names, *(_cell(comparison, row, head, bars) for head in comparison.heads))


def _cell(comparison: Comparison, row: RowLabels, head: Label, bars: bool) -> Html:
    """A cell with the value that it is sorted by; one without comes last whichever way."""
    cell = comparison.cells.get((row, head))
    mean, *rest = cell_parts(comparison, row, head)
    if cell is None or cell.mean is None:
        failed = cell is not None and cell.failed > 0
        return element("td", mean, class_="failed" if failed else "missing")
    shown = [element("strong" if cell.best else "span", mean, class_="mean")]
    shown += [element("small", part) for part in rest]
    picture = [_bar(cell)] if bars else []
    return element("td", *picture, joined(*(joined(part, " ") for part in shown)), data_sort=repr(cell.mean))


def _bar(cell: TableCell) -> Html:
    """A bar as long as the mean, 1 being the whole width, with its interval as a thin line."""
    parts = [
        element("rect", x=0, y=0, width=100, height=10, class_="track"),
        element("rect", x=0, y=0, width=100 * (cell.mean or 0.0), height=10, class_="filled"),
    ]
    if cell.low is not None and cell.high is not None:
        low, width = 100 * cell.low, 100 * (cell.high - cell.low)
        parts.append(element("rect", x=low, y=4, width=width, height=2, class_="interval"))
    return element("svg", *parts, viewBox="0 0 100 10", preserveAspectRatio="none", class_="bar", aria_hidden="true")


def _boxed(table: Html) -> Html:
    """A table that scrolls in its own box, also by keys."""
    return element("div", table, class_="scroll", tabindex=0)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
