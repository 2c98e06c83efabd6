"""Line charts as SVG: decides scales, ticks, and how lines, bands and marks are drawn.

The charts can be read without colours (each line has its own mark) and without seeing them (each has a description).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from attnbench.analysis.report.markup import Html, element, joined, number
from attnbench.analysis.report.series import mark

WIDTH, HEIGHT = 300, 190
LEFT, RIGHT, TOP, BOTTOM = 42, 10, 10, 34  # margins for the axes and their names
MOST_MARKS = 24  # a line with more points has only one mark, at its end: more would overlap
MOST_POINTS = 150  # of a line: they are then two pixels apart


class Point(NamedTuple):
    """A point of a line, the ends of its band (None: no band), and the description shown when it is pointed at."""

    x: float
    y: float
    low: float | None
    high: float | None
    description: str


@dataclass(frozen=True)
class Line:
    """A line of one colour; its points are sorted by x."""

    colour: int
    label: str
    points: list[Point]


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


def chart(
    title: str, lines: Sequence[Line], x: Scale, y: Scale, shaded: Iterable[tuple[float, float, str]] = ()
) -> Html:
    """A figure with a caption.

    Args:
        title: the caption.
        lines: the first is drawn on top.
        x, y: the axes.
        shaded: ranges of x as (low, high, name).
    """
    areas = [_area(x, *range_) for range_ in shaded]
    drawn = [_line(line, x, y) for line in reversed(lines)]
    ends = "; ".join(f"{line.label} {line.points[-1].description}" for line in lines)
    picture = element(
        "svg",
        *areas,
        _axes(x, y),
        *drawn,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=f"{title}: {y.name} by {x.name}. {ends}",
    )
    return element("figure", element("figcaption", title), picture, class_="chart")


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


def _x(scale: Scale, value: float) -> float:
    return LEFT + scale.share(value) * (WIDTH - LEFT - RIGHT)


def _y(scale: Scale, value: float) -> float:
    return HEIGHT - BOTTOM - scale.share(value) * (HEIGHT - TOP - BOTTOM)


def _tick(value: float) -> str:
    """A number in a short form: 0.001, 20, 10k."""
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    return "1" if value == 1 else f"{value:.5g}"


def _axes(x: Scale, y: Scale) -> Html:
    """Horizontal lines at the ticks of y, the ticks of x, and the name of x; the y axis is named by the section."""
    parts = []
    for value in y.ticks:
        at = number(_y(y, value))
        parts.append(element("path", d=f"M{LEFT} {at}H{WIDTH - RIGHT}", class_="grid"))
        parts.append(element("text", _tick(value), x=LEFT - 5, y=at, dy="0.32em", class_="end"))
    bottom = HEIGHT - BOTTOM
    for value in x.ticks:
        at = number(_x(x, value))
        parts.append(element("path", d=f"M{at} {bottom}v4", class_="tick"))
        parts.append(element("text", _tick(value), x=at, y=bottom + 14, class_="middle"))
    parts.append(element("path", d=f"M{LEFT} {bottom}H{WIDTH - RIGHT}", class_="tick"))
    parts.append(element("text", x.name, x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 4, class_="middle name"))
    return joined(*parts)


def _area(x: Scale, low: float, high: float, name: str) -> Html:
    """A shaded range of x; its name is shown when it is pointed at."""
    left, right = _x(x, low), _x(x, high)
    if right - left < 4:  # a single trained length would be invisible
        left, right = left - 2, left + 2
    height = HEIGHT - TOP - BOTTOM
    title = element("title", name)
    return element("rect", title, x=left, y=TOP, width=right - left, height=height, class_="shade")


def _line(line: Line, x: Scale, y: Scale) -> Html:
    """The band, the line and the marks of one series."""
    parts = [_band(line.points, x, y)]
    if len(line.points) > 1:
        path = "L".join(f"{number(_x(x, point.x))} {number(_y(y, point.y))}" for point in line.points)
        parts.append(element("path", d=f"M{path}", class_="line"))
    marked = line.points if len(line.points) <= MOST_MARKS else line.points[-1:]
    for point in marked:
        # Browsers show an SVG <title> when its element is pointed at, without a script.
        title = element("title", f"{line.label}: {point.description}")
        parts.append(mark(line.colour, _x(x, point.x), _y(y, point.y), 3.2, title))
    return element("g", *parts, class_=f"s{line.colour}", data_series=line.colour)


def _band(points: Sequence[Point], x: Scale, y: Scale) -> Html:
    """The band around a line; a vertical line where only one point has a band."""
    known = [(point.x, point.low, point.high) for point in points if point.low is not None and point.high is not None]
    if len(known) < 2:
        ends = (f"M{number(_x(x, at))} {number(_y(y, low))}V{number(_y(y, high))}" for at, low, high in known)
        return joined(*(element("path", d=d, class_="whisker") for d in ends))
    above = [f"{number(_x(x, at))} {number(_y(y, high))}" for at, _, high in known]
    below = [f"{number(_x(x, at))} {number(_y(y, low))}" for at, low, _ in reversed(known)]
    return element("path", d=f"M{'L'.join([*above, *below])}Z", class_="band")
