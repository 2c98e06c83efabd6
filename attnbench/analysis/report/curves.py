"""Accuracy against length, and the learning curves: a chart per task, and per setting where there are many rows."""

from collections.abc import Callable, Iterable
from typing import Any

from attnbench.analysis.labels import Label, text
from attnbench.analysis.report.charts import UNIT, Line, Point, Scale, chart, linear, logarithmic, thinned
from attnbench.analysis.report.data import LEAD, ReportData
from attnbench.analysis.report.markup import Html, element, joined
from attnbench.analysis.report.series import Facet, Series, facets, legend
from attnbench.analysis.table.comparison import Comparison

MOST_ROWS = 64  # that are drawn; the tables have them all
BY_LENGTH = "Exact match by source length, mean over the seeds with its interval as a band; trained lengths are shaded."


def by_length(data: ReportData) -> Html | None:
    """Exact match by source length, the trained lengths shaded; None where no length was tested by itself."""
    lengths = data.lengths
    if not lengths:
        return None
    trained = [(low, high) for low, high in map(_trained, data.records.values()) if low is not None]
    ends = [end for stretch in trained for end in stretch]
    x = linear([*lengths, *ends], "source length", [*reversed(lengths), *ends])
    y = Scale(0, 1, UNIT, LEAD.replace("_", " "))
    compared = [(length, data.comparisons[f"{LEAD}@{length}"]) for length in lengths]

    def draw(facet: Facet, head: Label) -> Html | None:
        lines = [line for series in facet.series if (line := _length_line(series, head, compared))]
        stretches = {_trained(record) for series in facet.series for record in data.done((series.row, head))}
        shaded = [(low, high, f"trained on {low} to {high}") for low, high in sorted(stretches) if low is not None]
        return chart(text(head), lines, x, y, shaded) if lines else None

    return _gallery(data, draw)


def learning(data: ReportData, metric: str, log: bool) -> Html | None:
    """A metric of the validation by training step: the mean over the seeds and, as a band, all of them.

    Args:
        data: the run.
        metric: a key of the histories, such as valid/loss.
        log: whether its axis is logarithmic, and not from 0 to 1.
    """
    curves = {key: found for key in data.groups if (found := _curve(data.done(key), metric))}
    points = [point for curve in curves.values() for point in curve]
    if not points:
        return None
    x = linear([0, *(point.x for point in points)], "training step", most_ticks=4)
    name = metric.replace("valid/", "").replace("_", " ")
    ends = [end for point in points for end in (point.y, point.low, point.high) if end is not None]
    y = logarithmic(ends, name) if log else Scale(0, 1, UNIT, name)

    def draw(facet: Facet, head: Label) -> Html | None:
        found = [(series, curves.get((series.row, head))) for series in facet.series]
        lines = [Line(series.colour, series.label, thinned(curve)) for series, curve in found if curve]
        return chart(text(head), lines, x, y) if lines else None

    return _gallery(data, draw)


def left_out(data: ReportData) -> str | None:
    """What to say when there are more rows than are drawn."""
    rows = len(data.layout.rows)
    return f"Drawn are the first {MOST_ROWS} of {rows} rows; the tables have them all." if rows > MOST_ROWS else None


def _gallery(data: ReportData, draw: Callable[[Facet, Label], Html | None]) -> Html:
    """The charts of every facet, one per column of the tables, under the facet's legend."""
    parts = []
    for facet in facets(data.layout.index, data.layout.rows[:MOST_ROWS]):
        charts = [drawn for head in data.layout.heads if (drawn := draw(facet, head)) is not None]
        if charts:
            title = element("h4", facet.title) if facet.title else Html()
            parts.append(joined(title, legend(facet), element("div", *charts, class_="charts")))
    return joined(*(element("div", part, class_="facet") for part in parts))


def _trained(record: dict[str, Any]) -> tuple[Any, Any]:
    """The shortest and the longest source that was trained on; None where the record does not tell."""
    data = record["config"].get("data") or {}
    ends = data.get("min_length"), data.get("max_length")
    return ends if None not in ends else (None, None)


def _length_line(series: Series, head: Label, compared: Iterable[tuple[int, Comparison]]) -> Line | None:
    points = []
    for length, comparison in compared:
        cell = comparison.cells.get((series.row, head))
        if cell is not None and cell.mean is not None:
            says = f"{cell.mean:.3f} at {length}"
            if cell.low is not None and cell.high is not None:
                says += f" ({cell.low:.3f} to {cell.high:.3f})"
            points.append(Point(length, cell.mean, cell.low, cell.high, says))
    return Line(series.colour, series.label, points) if points else None


def _curve(records: Iterable[dict[str, Any]], metric: str) -> list[Point]:
    """Mean, least and greatest over the seeds, at every step that any of them logged."""
    by_step: dict[int, list[float]] = {}
    for record in records:
        for entry in record["history"]:
            value = entry.get(metric)
            if value is not None:
                by_step.setdefault(int(entry["step"]), []).append(value)
    return [_point(step, values) for step, values in sorted(by_step.items())]


def _point(step: int, values: list[float]) -> Point:
    mean, low, high = sum(values) / len(values), min(values), max(values)
    several = f" ({low:.3g} to {high:.3g})" if len(values) > 1 else ""
    return Point(step, mean, low, high, f"{mean:.3g} at step {step}{several}")
