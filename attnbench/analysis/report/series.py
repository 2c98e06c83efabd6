"""Who gets which colour: the rows of a run as lines, few enough in one chart to be told apart."""

from collections.abc import Sequence
from dataclasses import dataclass

from attnbench.analysis.labels import Label, text
from attnbench.analysis.report.data import row_label
from attnbench.analysis.report.markup import Html, element, joined, number
from attnbench.analysis.table.comparison import RowLabels
from attnbench.messages import NO_VALUE

COLOURS = 8  # that can be told apart; each has its own mark as well, for those who do not see colours


@dataclass(frozen=True)
class Series:
    """A row of the tables as a line: its name, and its colour and mark (0 to COLOURS − 1)."""

    row: RowLabels
    label: str
    colour: int


@dataclass(frozen=True)
class Facet:
    """The lines of one chart, and what they have in common ("" where that goes without saying)."""

    title: str
    series: tuple[Series, ...]


def facets(index: Sequence[str], rows: Sequence[RowLabels]) -> list[Facet]:
    """Shares the rows out to charts, so that no chart has more lines than there are colours.

    Few rows share one chart. Many are told apart by colour along the axis of most values, the scores in most grids,
    and by chart along the others; the same value has the same colour in every chart.
    """
    if len(rows) <= COLOURS:
        return [Facet("", tuple(Series(row, row_label(index, row), i) for i, row in enumerate(rows)))]
    axis = _coloured_axis(index, rows)
    if axis is None:
        parts = [rows[first : first + COLOURS] for first in range(0, len(rows), COLOURS)]
        return [Facet(f"part {n} of {len(parts)}", facets(index, part)[0].series) for n, part in enumerate(parts, 1)]
    colours = {label: i for i, label in enumerate(dict.fromkeys(row[axis] for row in rows))}
    charts: dict[RowLabels, list[RowLabels]] = {}
    for row in rows:
        charts.setdefault((*row[:axis], *row[axis + 1 :]), []).append(row)
    others = [*index[:axis], *index[axis + 1 :]]

    def series(row: RowLabels) -> Series:
        return Series(row, _own(index[axis], row[axis]), colours[row[axis]])

    return [Facet(row_label(others, rest), tuple(map(series, members))) for rest, members in charts.items()]


def legend(facet: Facet) -> Html:
    """The names beside their colours and marks."""
    items = [
        element("li", _sample(series.colour), series.label, class_=f"s{series.colour}", data_series=series.colour)
        for series in facet.series
    ]
    return element("ul", *items, class_="legend")


def mark(colour: int, x: float, y: float, size: float, *title: Html) -> Html:
    """The mark of a colour around a point: circle, square, diamond, triangle …"""
    points = " ".join(f"{number(x + dx * size)},{number(y + dy * size)}" for dx, dy in _MARKS[colour] or ())
    if not points:
        return element("circle", *title, cx=number(x), cy=number(y), r=number(size), class_="mark")
    return element("polygon", *title, points=points, class_="mark")


def _coloured_axis(index: Sequence[str], rows: Sequence[RowLabels]) -> int | None:
    """The axis of most values, of those that have colours enough; the first of several, None where there is none."""
    counts = [len({row[place] for row in rows}) for place in range(len(index))]
    fitting = [count for count in counts if 1 < count <= COLOURS]
    return counts.index(max(fitting)) if fitting else None


def _own(axis: str, label: Label) -> str:
    return f"no {axis.rpartition('.')[2]}" if text(label) == NO_VALUE else row_label((axis,), (label,))


def _sample(colour: int) -> Html:
    """A bit of line with its mark."""
    line = element("path", d="M1 6H23", class_="line")
    return element("svg", joined(line, mark(colour, 12, 6, 3.4)), viewBox="0 0 24 12", aria_hidden="true")


_MARKS: tuple[tuple[tuple[float, float], ...] | None, ...] = (
    None,
    ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    ((0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)),
    ((0, -1.2), (1.15, 0.85), (-1.15, 0.85)),
    ((0, 1.2), (1.15, -0.85), (-1.15, -0.85)),
    ((-1.2, -1.2), (0, -0.5), (1.2, -1.2), (0.5, 0), (1.2, 1.2), (0, 0.5), (-1.2, 1.2), (-0.5, 0)),
    ((0, -1.5), (0.45, -0.45), (1.5, 0), (0.45, 0.45), (0, 1.5), (-0.45, 0.45), (-1.5, 0), (-0.45, -0.45)),
    ((-1.2, -1), (1.2, -1), (-1.2, 1), (1.2, 1)),
)
