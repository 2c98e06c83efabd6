"""The tables of the report: a comparison per metric, bars, failed cells, and versions."""

import json
from collections import Counter
from dataclasses import replace
from typing import Any

from attnbench.analysis.labels import Label, row_label, text
from attnbench.analysis.report.data import LEAD, ReportData, short_names
from attnbench.analysis.report.downloads import links, plain_links
from attnbench.analysis.report.markup import Html, element, joined
from attnbench.analysis.table.cell import TableCell
from attnbench.analysis.table.comparison import Comparison, RowLabels
from attnbench.analysis.table.formats import caption, to_csv, to_latex
from attnbench.analysis.table.texts import cell_parts


def metric_tables(data: ReportData) -> Html:
    """A table per metric. The script shows only the chosen one; without JavaScript each can be unfolded."""
    tables = []
    for metric, comparison in data.comparisons.items():
        parts = (element("summary", metric), _explained(comparison), _sortable(data, comparison, bars=False))
        tables.append(element("details", *parts, class_="metric", data_metric=metric, open=metric == LEAD))
    return element("div", *tables, class_="metrics")


def bar_table(data: ReportData, metric: str) -> Html | None:
    """The comparison of a metric between 0 and 1 with a bar per cell; None where no cell has the metric."""
    comparison = data.comparisons.get(metric)
    if comparison is None:
        return None
    return joined(_explained(comparison), _sortable(data, comparison, bars=True))


def failures(data: ReportData) -> Html | None:
    """The failed cells with their errors; None where no cell failed."""
    failed = [record for record in data.records.values() if record["status"] == "failed"]
    if not failed:
        return None
    layout = data.layout
    names = ("cell", "configuration", layout.columns, "seed", "error")
    header = element("tr", *(element("th", name, scope="col") for name in names))
    rows, saved = [], []
    for record in failed:
        labels = record["labels"]
        row = tuple(labels[axis] for axis in layout.index)
        values = (row_label(layout.index, row), text(labels[layout.columns]), text(labels["seed"]))
        error = record["error"] or ""
        cells = [*(element("td", value) for value in values), element("td", error, class_="error")]
        of = data.filters.of(data.labels(row, labels[layout.columns]))
        cell = element("th", element("code", record["cell"]), scope="row")
        rows.append(element("tr", cell, *cells, data_of=of))
        saved.append(dict(zip(names, (record["cell"], *values, error), strict=True)))
    table = element("table", element("thead", header), element("tbody", *rows), class_="plain")
    return joined(scrollable(table), plain_links(f"{data.store.name}-failed", saved))


def versions(data: ReportData) -> Html:
    """The versions of the packages that the cells were trained with; the number of cells of each, where they differ."""
    by_package: dict[str, Counter[str]] = {}
    for record in data.records.values():
        for name, value in sorted(record["versions"].items()):
            by_package.setdefault(name, Counter())[_plain(value)] += 1
    if not by_package:
        return element("p", "The cells do not record the versions that they were trained with.", class_="note")
    rows, saved = [], []
    for name, counts in by_package.items():
        differ = len(counts) > 1
        shown = [f"{value} ({count} cell{'s' * (count > 1)})" if differ else value for value, count in counts.items()]
        rows.append(element("tr", element("th", name, scope="row"), element("td", "; ".join(shown))))
        saved.append({"package": name, "version": "; ".join(shown)})
    table = element("table", element("tbody", *rows), class_="plain")
    return joined(scrollable(table), plain_links(f"{data.store.name}-versions", saved))


def _explained(comparison: Comparison) -> Html:
    """The meaning of the metric, and which direction is better."""
    _, _, length = comparison.metric.partition("@")
    about = comparison.about
    better = f"{about.direction.capitalize()} is better." if about.direction else ""
    sentences = [about.meaning, f"On sources of {length} words." if length else "", better]
    return element("p", " ".join(sentence for sentence in sentences if sentence), class_="meaning")


def _sortable(data: ReportData, comparison: Comparison, bars: bool) -> Html:
    """The comparison as a table that the script makes sortable, with its caption below."""
    if bars:  # most rows of a grid may have no alignment
        comparison = replace(comparison, rows=[row for row in comparison.rows if _has_value(comparison, row)])
    names = [
        element("th", short_names(comparison.index), scope="col", class_="whole"),
        *(element("th", name, scope="col", class_="part") for name in comparison.index),
    ]
    first = "ascending" if comparison.about.better < 0 else "descending"
    heads = [
        element("th", text(head), scope="col", data_first=first, data_of=data.of_column(head))
        for head in comparison.heads
    ]
    body = [_row(data, comparison, row, bars) for row in comparison.rows]
    means = [cell.mean for cell in comparison.cells.values() if cell.mean is not None]
    characters = max((len(comparison.about.show(mean)) for mean in means), default=1)
    description = f"{comparison.metric} by {', '.join(comparison.index)} and {comparison.columns}"
    table = element(
        "table",
        element("caption", description),  # only for screen readers: the style hides it
        element("thead", element("tr", *names, *heads)),
        element("tbody", *body),
        class_=f"sortable{' bars' if bars else ''}",
        style=f"--mean-width: {0.64 * characters:.2f}em",  # the widest digits of common fonts (Verdana)
    )
    saved = links(f"{comparison.name}-{comparison.metric}", CSV=to_csv(comparison), LaTeX=to_latex(comparison))
    return joined(scrollable(table), saved, *(element("p", line, class_="note") for line in caption(comparison)))


def _has_value(comparison: Comparison, row: RowLabels) -> bool:
    cells = (comparison.cells.get((row, head)) for head in comparison.heads)
    return any(cell is not None and cell.mean is not None for cell in cells)


def _row(data: ReportData, comparison: Comparison, row: RowLabels, bars: bool) -> Html:
    """A row with its name twice, in one cell and in a cell per axis: the style shows the first on narrow screens."""
    names = [
        element("th", row_label(comparison.index, row), scope="row", class_="whole"),
        *(element("th", text(label), scope="row", class_="part") for label in row),
    ]
    cells = [_cell(data, comparison, row, head, bars) for head in comparison.heads]
    return element("tr", *names, *cells, data_of=data.of_row(row))


def _cell(data: ReportData, comparison: Comparison, row: RowLabels, head: Label, bars: bool) -> Html:
    """A cell, with the mean to sort by in full precision; cells without one are sorted last."""
    cell = comparison.cells.get((row, head))
    mean, *rest = cell_parts(comparison, row, head)
    of = data.of_column(head)
    if cell is None or cell.mean is None:
        failed = cell is not None and cell.failed > 0
        return element("td", mean, class_="failed" if failed else "missing", data_of=of)
    shown = [element("strong" if cell.best else "span", mean, class_="mean")]
    shown += [element("small", part) for part in rest]
    picture = [_bar(cell)] if bars else []
    return element(
        "td", *picture, joined(*(joined(part, " ") for part in shown)), data_sort=repr(cell.mean), data_of=of
    )


def _bar(cell: TableCell) -> Html:
    """A bar whose full width is 1, with the interval as a thin line."""
    parts = [
        element("rect", x=0, y=0, width=100, height=10, class_="track"),
        element("rect", x=0, y=0, width=100 * (cell.mean or 0.0), height=10, class_="filled"),
    ]
    if cell.low is not None and cell.high is not None:
        low, width = 100 * cell.low, 100 * (cell.high - cell.low)
        parts.append(element("rect", x=low, y=4, width=width, height=2, class_="interval"))
    return element("svg", *parts, viewBox="0 0 100 10", preserveAspectRatio="none", class_="bar", aria_hidden="true")


def scrollable(table: Html) -> Html:
    """A table in a box that scrolls sideways; it can be focused, so that the arrow keys scroll it."""
    return element("div", table, class_="scroll", tabindex=0)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
