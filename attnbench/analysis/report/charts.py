"""Line charts as SVG: decides scales, ticks, and how lines, bands and marks are drawn.

The charts can be read without colours (each line has its own mark) and without seeing them (each has a description).
They are as wide as their place on the page: positions are percentages, so that texts and marks keep their size. The
margins with the numbers are those of the style sheet, outside of the SVG.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from attnbench.analysis.report.markup import Html, element, joined, number
from attnbench.analysis.report.series import mark

UNITS = 1000  # the width and the height of the space in which lines and bands are drawn
MOST_MARKS = 24  # a line with more points has only one mark, at its end: more would overlap
MOST_POINTS = 150  # of a line: they are then at least two pixels apart


class Point(NamedTuple):
    """A point of a line, the ends of its band (None: no band), and the description shown when it is pointed at."""

    x: float
    y: float
    low: float | None
    high: float | None
    description: str


@dataclass(frozen=True)
class Line:
    """A line of one colour; its points are sorted by x. `of` is what it shows, for the filters."""

    colour: int
    label: str
    points: list[Point]
    of: str | None = None


@dataclass(frozen=True)
class Scale:
    """An axis from `low` to `high`. A logarithmic one starts above 0; smaller values are drawn at its low end."""

    low: float
    high: float
    ticks: tuple[float, ...]
    name: str
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """The position of a value, from 0 at the low end to 1 at the high end."""
        if self.logarithmic:
            value, low, high = (math.log10(max(end, self.low)) for end in (value, self.low, self.high))
        else:
            low, high = self.low, self.high
        return min(1.0, max(0.0, (value - low) / (high - low)))


UNIT = (0.0, 0.5, 1.0)  # the ticks of an axis from 0 to 1


def linear(values: Iterable[float], name: str, ticks: Sequence[float] = (), most_ticks: int = 5) -> Scale:
    """A scale that contains all values. Its ticks are round numbers or, where `ticks` are given, those that fit."""
    low, high = _ends(values)
    if low == high:
        low, high = low - 1, high + 1
    if ticks:
        return Scale(low, high, tuple(sorted(_spaced(ticks, (high - low) / 12))), name)
    smallest = (high - low) / most_ticks
    power = 10.0 ** math.floor(math.log10(smallest))
    step = next(digit * power for digit in (1, 2, 5, 10) if digit * power >= smallest * 0.999)  # .999 for rounding
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return Scale(low, high, tuple(n * step for n in range(first, last + 1)), name)


def logarithmic(values: Iterable[float], name: str) -> Scale:
    """A scale of whole decades that contains all values above 0."""
    low, high = _ends(value for value in values if value > 0)
    bottom, top = math.floor(math.log10(low)), math.ceil(math.log10(high))
    top = max(top, bottom + 1)
    every = -(-(top - bottom) // 5)
    return Scale(10.0**bottom, 10.0**top, tuple(10.0**n for n in range(bottom, top + 1, every)), name, True)


def at_values(values: Iterable[float], name: str) -> Scale:
    """A scale with ticks at the values, logarithmic where the largest is at least four times the smallest."""
    known = sorted(set(values))
    low, high = known[0], known[-1]
    if low <= 0 or high / low < 4:
        return linear(known, name, [high, *known])
    spaced = _spaced([math.log10(value) for value in (high, *known)], math.log10(high / low) / 10)
    ticks = [next(value for value in known if math.log10(value) == at) for at in spaced]
    return Scale(low, high, tuple(sorted(ticks)), name, True)


def chart(
    title: str,
    lines: Sequence[Line],
    x: Scale,
    y: Scale,
    shaded: Iterable[tuple[float, float, str]] = (),
    of: str | None = None,
) -> Html:
    """A figure with a caption.

    Args:
        title: the caption.
        lines: the first is drawn on top.
        x, y: the axes.
        shaded: ranges of x as (low, high, name).
        of: what the figure shows, for the filters.
    """
    areas = [_area(x, *range_) for range_ in shaded]
    drawn = [_line(line, x, y) for line in reversed(lines)]
    ends = "; ".join(f"{line.label} {line.points[-1].description}" for line in lines)
    description = f"{title}: {y.name} by {x.name}. {ends}"
    picture = element("svg", *areas, _axes(x, y), *drawn, role="img", aria_label=description)
    return element("figure", element("figcaption", title), picture, class_="chart", data_of=of)


def thinned(points: Sequence[Point]) -> list[Point]:
    """At most MOST_POINTS points, each in place of a group of neighbours; the band contains the bands of the group."""
    size = -(-len(points) // MOST_POINTS)
    if size <= 1:
        return list(points)
    first = len(points) % size or size  # the first group is the short one, so that the last point is kept
    ends = range(first, len(points) + 1, size)
    return [_merged(points[max(0, end - size) : end]) for end in ends]


def _merged(group: Sequence[Point]) -> Point:
    """The last point of a group, with the lowest and the highest end of the group's bands."""
    lows = [point.low for point in group if point.low is not None]
    highs = [point.high for point in group if point.high is not None]
    return group[-1]._replace(low=min(lows, default=None), high=max(highs, default=None))


def _ends(values: Iterable[float]) -> tuple[float, float]:
    """The lowest and the highest value; without values, any."""
    known = list(values) or [1.0]
    return min(known), max(known)


def _spaced(values: Iterable[float], gap: float) -> list[float]:
    """The values in their order, without those that are closer than the gap to a value that was kept."""
    kept: list[float] = []
    for value in values:
        if all(abs(value - other) >= gap for other in kept):
            kept.append(value)
    return kept


def _across(scale: Scale, value: float) -> str:
    return f"{number(100 * scale.share(value))}%"


def _down(scale: Scale, value: float) -> str:
    return f"{number(100 - 100 * scale.share(value))}%"


def _place(x: Scale, y: Scale, across: float, value: float) -> str:
    """A point in the space of lines and bands."""
    return f"{number(UNITS * x.share(across))} {number(UNITS - UNITS * y.share(value))}"


def _tick(value: float) -> str:
    """A number in a short form: 0.001, 20, 10k."""
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    return "1" if value == 1 else f"{value:.5g}"


def _axes(x: Scale, y: Scale) -> Html:
    """Horizontal lines at the ticks of y, the ticks of x, and the name of x; the y axis is named by the section."""
    parts = []
    for value in y.ticks:
        at = _down(y, value)
        parts.append(element("line", x1=0, x2="100%", y1=at, y2=at, class_="grid"))
        parts.append(element("text", _tick(value), x=-5, y=at, dy="0.32em", class_="end"))
    parts += [element("text", _tick(one), x=_across(x, one), y="100%", dy=16, class_="middle") for one in x.ticks]
    parts.append(element("line", x1=0, x2="100%", y1="100%", y2="100%", class_="tick"))
    parts.append(element("text", x.name, x="50%", y="100%", dy=32, class_="middle name"))
    return joined(*parts)


def _area(x: Scale, low: float, high: float, name: str) -> Html:
    """A shaded range of x; its name is shown when it is pointed at. Its outline shows a single trained length."""
    width = f"{number(100 * (x.share(high) - x.share(low)))}%"
    return element("rect", element("title", name), x=_across(x, low), y=0, width=width, height="100%", class_="shade")


def _line(line: Line, x: Scale, y: Scale) -> Html:
    """The band, the line and the marks of one series."""
    paths = [_band(line.points, x, y)]
    if len(line.points) > 1:
        path = "L".join(_place(x, y, point.x, point.y) for point in line.points)
        paths.append(element("path", d=f"M{path}", class_="line"))
    space = element("svg", *paths, viewBox=f"0 0 {UNITS} {UNITS}", preserveAspectRatio="none")
    marked = line.points if len(line.points) <= MOST_MARKS else line.points[-1:]
    marks = []
    for point in marked:
        # Browsers show an SVG <title> when its element is pointed at, without a script.
        shown = mark(line.colour, 0, 0, 3.6, element("title", f"{line.label}: {point.description}"))
        marks.append(element("svg", shown, x=_across(x, point.x), y=_down(y, point.y)))
    return element("g", space, *marks, class_=f"s{line.colour}", data_series=line.colour, data_of=line.of)


def _band(points: Sequence[Point], x: Scale, y: Scale) -> Html:
    """The band around a line, without width at a point without a band; a vertical line where there is one point."""
    if all(point.low is None or point.high is None for point in points):
        return Html()
    ends = [
        (point.x, point.y if point.low is None else point.low, point.y if point.high is None else point.high)
        for point in points
    ]
    if len(ends) == 1:
        at, low, high = ends[0]
        return element("path", d=f"M{_place(x, y, at, low)}L{_place(x, y, at, high)}", class_="whisker")
    above = [_place(x, y, at, high) for at, _, high in ends]
    below = [_place(x, y, at, low) for at, low, _ in reversed(ends)]
    return element("path", d=f"M{'L'.join([*above, *below])}Z", class_="band")
