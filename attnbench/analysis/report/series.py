"""The lines of the charts: decides which rows share a chart, and the colour and mark of each.

A chart has at most COLOURS lines, because more colours cannot be distinguished.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from attnbench.analysis.labels import Label, row_label, text
from attnbench.analysis.report.filters import Filters
from attnbench.analysis.report.markup import Html, element, joined, number
from attnbench.analysis.table.comparison import RowLabels
from attnbench.messages import NO_VALUE

COLOURS = 8  # in page.css as --c0 to --c7; each also has its own mark, for readers who cannot distinguish colours


@dataclass(frozen=True)
class Series:
    """A row of the tables as a line: its name, and its colour and mark (0 to COLOURS − 1)."""

    row: RowLabels
    label: str
    colour: int


@dataclass(frozen=True)
class Facet:
    """The lines of one group of charts, and the labels that they have in common ("" where there is one group)."""

    title: str
    series: tuple[Series, ...]


def facets(index: Sequence[str], rows: Sequence[RowLabels]) -> list[Facet]:
    """Divides the rows into facets, so that no chart has more lines than there are colours.

    Up to COLOURS rows are one facet. More rows are coloured by the axis with the most values, in most grids the score,
    and have one facet per combination of the other axes. The same value has the same colour in every facet.
    Where every axis has a single value or more values than there are colours, the rows are divided in their order.
    """
    if len(rows) <= COLOURS:
        return [Facet("", tuple(Series(row, row_label(index, row), i) for i, row in enumerate(rows)))]
    axis = _coloured_axis(index, rows)
    if axis is None:
        parts = [rows[first : first + COLOURS] for first in range(0, len(rows), COLOURS)]
        return [Facet(f"part {n} of {len(parts)}", facets(index, part)[0].series) for n, part in enumerate(parts, 1)]
    colours = {label: i for i, label in enumerate(dict.fromkeys(row[axis] for row in rows))}
    members: dict[RowLabels, list[RowLabels]] = {}
    for row in rows:
        members.setdefault((*row[:axis], *row[axis + 1 :]), []).append(row)
    others = [*index[:axis], *index[axis + 1 :]]

    def series(row: RowLabels) -> Series:
        return Series(row, _coloured_label(index[axis], row[axis]), colours[row[axis]])

    return [Facet(row_label(others, rest), tuple(map(series, own))) for rest, own in members.items()]


def legend(facet: Facet, filters: Filters, index: Sequence[str]) -> Html:
    """The legend of a facet: a sample of each line with its name."""
    items = [
        element(
            "li",
            _sample(series.colour),
            series.label,
            class_=f"s{series.colour}",
            data_series=series.colour,
            data_of=filters.of(dict(zip(index, series.row, strict=True))),
        )
        for series in facet.series
    ]
    return element("ul", *items, class_="legend")


def mark(colour: int, x: float, y: float, size: float, *title: Html) -> Html:
    """The mark of a colour, centred on a point: circle, square, diamond, triangle …"""
    points = " ".join(f"{number(x + dx * size)},{number(y + dy * size)}" for dx, dy in _MARKS[colour] or ())
    if not points:
        return element("circle", *title, cx=number(x), cy=number(y), r=number(size), class_="mark")
    return element("polygon", *title, points=points, class_="mark")


def _coloured_axis(index: Sequence[str], rows: Sequence[RowLabels]) -> int | None:
    """The place of the axis with the most values, among those with 2 to COLOURS values; None where there is none."""
    counts = [len({row[place] for row in rows}) for place in range(len(index))]
    fitting = [count for count in counts if 1 < count <= COLOURS]
    return counts.index(max(fitting)) if fitting else None


def _coloured_label(axis: str, label: Label) -> str:
    """The name of a line; where the score does not apply, "no score" is clearer than a dash."""
    return f"no {axis.rpartition('.')[2]}" if text(label) == NO_VALUE else row_label((axis,), (label,))


def _sample(colour: int) -> Html:
    """A short line with its mark, for the legend."""
    line = element("path", d="M1 6H23", class_="line")
    return element("svg", joined(line, mark(colour, 12, 6, 3.4)), viewBox="0 0 24 12", aria_hidden="true")


# The corners of each mark around its centre, in units of its size; None is a circle.
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
