"""A metric against an axis of numbers, such as the width or the learning rate: charts with the axis across."""

from attnbench.analysis.labels import Label, text
from attnbench.analysis.report.charts import UNIT, Line, Scale, at_values, chart, linear
from attnbench.analysis.report.curves import MOST_ROWS, gallery, point_of
from attnbench.analysis.report.data import LEAD, ReportData
from attnbench.analysis.report.markup import Html, element, joined
from attnbench.analysis.report.series import Facet, Series
from attnbench.analysis.table.comparison import Comparison, RowLabels

NOTE = "Lines: the mean over the seeds. Bands: its interval."


def against_numbers(data: ReportData) -> Html | None:
    """Every metric against every axis of the rows that has several numbers; None where there is no such axis."""
    parts = []
    for place, axis in enumerate(data.layout.index):
        if len({number_of(row[place]) for row in data.layout.rows} - {None}) < 2:
            continue
        metrics = [
            element(
                "details",
                element("summary", metric),
                charts,
                class_="metric",
                data_metric=metric,
                open=metric == LEAD,
            )
            for metric in data.metrics
            if "@" not in metric and (charts := _charts(data, place, metric)) is not None
        ]
        if metrics:
            parts += [element("h3", f"Against {axis}"), element("div", *metrics, class_="metrics")]
    return joined(element("p", NOTE, class_="note"), *parts) if parts else None


def _charts(data: ReportData, place: int, metric: str) -> Html | None:
    """The charts of a metric, with a line per combination of the other axes; None without any value."""
    comparison = data.comparisons[metric]
    index = data.layout.index
    others = (*index[:place], *index[place + 1 :])
    # By line, its rows by the number.
    by_line: dict[RowLabels, dict[float, RowLabels]] = {}
    for row in data.layout.rows:
        if (at := number_of(row[place])) is not None:
            by_line.setdefault((*row[:place], *row[place + 1 :]), {})[at] = row
    # A combination that has a single number is not drawn: it shows no change.
    by_line = {line: dict(sorted(rows.items())) for line, rows in by_line.items() if len(rows) > 1}
    drawn = [row for rows in by_line.values() for row in rows.values()]
    y = _vertical(comparison, drawn)
    if y is None:
        return None
    x = at_values((at for rows in by_line.values() for at in rows), index[place])

    def line_of(series: Series, head: Label) -> Line | None:
        cells = [(at, comparison.cells.get((row, head))) for at, row in by_line[series.row].items()]
        format = f",.{comparison.about.decimals}f"
        points = [point_of(at, cell, format) for at, cell in cells if cell is not None and cell.mean is not None]
        of = data.filters.of(dict(zip(others, series.row, strict=True)))
        return Line(series.colour, series.label, points, of) if points else None

    def draw(facet: Facet, head: Label) -> Html | None:
        lines = [line for series in facet.series if (line := line_of(series, head)) is not None]
        return chart(text(head), lines, x, y, of=data.of_column(head)) if lines else None

    return gallery(data, others, list(by_line)[:MOST_ROWS], draw)


def _vertical(comparison: Comparison, rows: list[RowLabels]) -> Scale | None:
    """The vertical axis: from 0 to 1 for shares, else from 0 to the largest value; None without any value."""
    cells = [cell for row in rows for head in comparison.heads if (cell := comparison.cells.get((row, head)))]
    ends = [end for cell in cells if cell.mean is not None for end in (cell.mean, cell.high) if end is not None]
    if not ends:
        return None
    name = comparison.metric.replace("_", " ")
    return Scale(0, 1, UNIT, name) if comparison.about.high == 1 else linear([0, *ends], name)


def number_of(label: Label) -> float | None:
    """A label that is a number; its type is kept, so that 16 is shown as 16."""
    return label if isinstance(label, int | float) and not isinstance(label, bool) else None
