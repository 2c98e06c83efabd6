"""Accuracy against length, and learning curves: decides the points, bands and axes of the report's line charts.

There is one chart per column of the tables (one per task in most runs) in each facet of the rows (see series.py).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from attnbench.analysis.labels import Label, text
from attnbench.analysis.report.charts import UNIT, Line, Point, Scale, chart, linear, logarithmic, thinned
from attnbench.analysis.report.data import LEAD, ReportData
from attnbench.analysis.report.markup import Html, element, joined
from attnbench.analysis.report.series import Facet, Series, facets, legend
from attnbench.analysis.table.cell import TableCell
from attnbench.analysis.table.comparison import Comparison, RowLabels

MOST_ROWS = 64  # of a run that are drawn; the tables have all of them
BY_LENGTH = (
    "Lines: exact match by source length, mean over the seeds. Bands: its interval. Shaded: the trained lengths."
)


def by_length(data: ReportData) -> Html | None:
    """Exact match by source length, with the trained lengths shaded; None where no length was tested separately."""
    lengths = data.lengths
    if not lengths:
        return None
    trained = [(low, high) for low, high in map(_trained, data.records.values()) if low is not None]
    ends = [end for range_ in trained for end in range_]
    # Ticks that are too close to an earlier one are left out, so the longest tested length comes first.
    x = linear([*lengths, *ends], "source length", [*reversed(lengths), *ends])
    y = Scale(0, 1, UNIT, LEAD.replace("_", " "))
    compared = [(length, data.comparisons[f"{LEAD}@{length}"]) for length in lengths]

    def draw(facet: Facet, head: Label) -> Html | None:
        lines = [line for series in facet.series if (line := _length_line(data, series, head, compared))]
        ranges = {_trained(record) for series in facet.series for record in data.done((series.row, head))}
        shaded = [(low, high, f"trained on {low} to {high}") for low, high in sorted(ranges) if low is not None]
        return chart(text(head), lines, x, y, shaded, data.of_column(head)) if lines else None

    return gallery(data, data.layout.index, data.layout.rows[:MOST_ROWS], draw)


def learning(data: ReportData, metric: str, log: bool) -> Html | None:
    """A validation metric by training step: the mean over the seeds, and a band from the lowest to the highest seed.

    The band is no interval: a curve is there to show every seed that went wrong.

    Args:
        data: the run.
        metric: a key of the histories, such as valid/loss.
        log: True for a logarithmic axis, False for an axis from 0 to 1.

    Returns:
        The charts; None where no cell has the metric.
    """
    curves = {key: curve for key in data.groups if (curve := _curve(data.done(key), metric))}
    points = [point for curve in curves.values() for point in curve]
    if not points:
        return None
    x = linear([0, *(point.x for point in points)], "training step", most_ticks=4)
    name = metric.replace("valid/", "").replace("_", " ")
    ends = [end for point in points for end in (point.y, point.low, point.high) if end is not None]
    y = logarithmic(ends, name) if log else Scale(0, 1, UNIT, name)

    def draw(facet: Facet, head: Label) -> Html | None:
        lines = [
            Line(series.colour, series.label, thinned(curve), data.of_row(series.row))
            for series in facet.series
            if (curve := curves.get((series.row, head)))
        ]
        return chart(text(head), lines, x, y, of=data.of_column(head)) if lines else None

    return gallery(data, data.layout.index, data.layout.rows[:MOST_ROWS], draw)


def left_out(data: ReportData) -> str | None:
    """A note about the rows that are not drawn; None where all are."""
    rows = len(data.layout.rows)
    note = f"The charts show the first {MOST_ROWS} of {rows} rows. The tables show all of them."
    return note if rows > MOST_ROWS else None


def gallery(
    data: ReportData, index: Sequence[str], rows: Sequence[RowLabels], draw: Callable[[Facet, Label], Html | None]
) -> Html:
    """The charts of every facet of the rows, one per column of the tables, below the facet's legend."""
    parts = []
    for facet in facets(index, rows):
        charts = [figure for head in data.layout.heads if (figure := draw(facet, head)) is not None]
        if charts:
            title = element("h4", facet.title) if facet.title else Html()
            names = legend(facet, data.filters, index)
            parts.append(joined(title, names, element("div", *charts, class_="charts")))
    return joined(*(element("div", part, class_="facet") for part in parts))


def _trained(record: dict[str, Any]) -> tuple[Any, Any]:
    """The shortest and the longest trained source; None and None where the record does not have them."""
    data = record["config"].get("data") or {}
    ends = data.get("min_length"), data.get("max_length")
    return ends if None not in ends else (None, None)


def _length_line(
    data: ReportData, series: Series, head: Label, compared: Iterable[tuple[int, Comparison]]
) -> Line | None:
    points = []
    for length, comparison in compared:
        cell = comparison.cells.get((series.row, head))
        if cell is not None and cell.mean is not None:
            points.append(point_of(length, cell, ".3f"))
    return Line(series.colour, series.label, points, data.of_row(series.row)) if points else None


def point_of(x: float, cell: TableCell, format: str) -> Point:
    """The mean of a cell with its interval as a point; the cell has a mean."""
    assert cell.mean is not None
    description = f"{cell.mean:{format}} at {x}"
    if cell.low is not None and cell.high is not None:
        description += f" ({cell.low:{format}} to {cell.high:{format}})"
    return Point(x, cell.mean, cell.low, cell.high, description)


def _curve(records: Iterable[dict[str, Any]], metric: str) -> list[Point]:
    """The mean, lowest and highest value over the seeds, at every step that any of them logged."""
    by_step: dict[int, list[float]] = {}
    for record in records:
        for entry in record["history"]:
            value = entry.get(metric)  # absent where it was not finite
            if value is not None:
                by_step.setdefault(int(entry["step"]), []).append(value)
    return [_point(step, values) for step, values in sorted(by_step.items())]


def _point(step: int, values: list[float]) -> Point:
    mean, low, high = sum(values) / len(values), min(values), max(values)
    several = f" ({low:.3g} to {high:.3g})" if len(values) > 1 else ""
    return Point(step, mean, low, high, f"{mean:.3g} at step {step}{several}")
