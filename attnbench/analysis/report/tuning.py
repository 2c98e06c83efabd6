"""Tuning in the report: what was chosen, and charts of the validation metrics against each tuned field."""

from attnbench.analysis.labels import Label, text
from attnbench.analysis.report.charts import UNIT, Line, Point, Scale, at_values, chart, linear
from attnbench.analysis.report.curves import MOST_ROWS, gallery
from attnbench.analysis.report.data import ReportData
from attnbench.analysis.report.markup import Html, element, joined
from attnbench.analysis.report.numeric_axes import number_of
from attnbench.analysis.report.series import Facet, Series
from attnbench.analysis.table.comparison import RowLabels
from attnbench.analysis.tuning import Curve, chosen_notes, sensitivity

NOTE = (
    "Lines: the mean over the seeds of tuning on validation data; with several tuned fields, of the best candidate "
    "that has the value. The chosen value is named where a line is pointed at."
)


def tuning(data: ReportData) -> Html | None:
    """What was chosen for each combination, and how much depends on it; None for a run without tuning."""
    notes = chosen_notes(data.store.plan())
    if not notes:
        return None
    parts = [element("ul", *(element("li", note) for note in notes)), element("p", NOTE, class_="note")]
    for (field, metric), curves in sensitivity(data.store).items():
        if (charts := _charts(data, field, metric, curves)) is not None:
            parts += [element("h3", f"{metric.replace('_', ' ').capitalize()} against {field}"), charts]
    return joined(*parts)


def _charts(data: ReportData, field: str, metric: str, curves: list[Curve]) -> Html | None:
    """The charts of a metric against a field, with a line per combination; None where its values are not numbers."""
    values = [number for curve in curves for value in curve.points if (number := number_of(value)) is not None]
    if len(set(values)) < 2:
        return None
    x = at_values(values, field)
    name = metric.replace("_", " ")
    means = [mean for curve in curves for mean in curve.points.values()]
    y = Scale(0, 1, UNIT, name) if metric != "loss" else linear([0, *means], name)
    index, columns = data.layout.index, data.layout.columns
    found = {(tuple(c.labels[axis] for axis in index), c.labels[columns]): c for c in curves}

    def line_of(series: Series, head: Label) -> Line | None:
        curve = found.get((series.row, head))
        points = _points(curve) if curve is not None else []
        return Line(series.colour, series.label, points, data.of_row(series.row)) if points else None

    def draw(facet: Facet, head: Label) -> Html | None:
        lines = [line for series in facet.series if (line := line_of(series, head)) is not None]
        return chart(text(head), lines, x, y, of=data.of_column(head)) if lines else None

    rows: list[RowLabels] = list(dict.fromkeys(row for row, _ in found))
    return gallery(data, index, rows[:MOST_ROWS], draw)


def _points(curve: Curve) -> list[Point]:
    """The points of a curve, by the value of the field."""
    found = sorted((at, mean) for value, mean in curve.points.items() if (at := number_of(value)) is not None)
    chosen = number_of(curve.chosen)
    return [
        Point(at, mean, None, None, f"{mean:.3f} at {at:g}{' (chosen)' if at == chosen else ''}") for at, mean in found
    ]
