"""Plots for MLflow: a panel per score and task, and a heat map of exact match.

Every colour scale is from 0 to 1, so that any two plots can be compared. The plots are drawn with matplotlib's Agg
canvas and not with pyplot, which opens windows and has global state. matplotlib is only imported when a plot is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from attnbench.analysis.colours import COLOURS, GOLD, WITH_ZERO, ZERO, label_zero, mappable
from attnbench.analysis.fonts import MONO, drawable, style
from attnbench.analysis.heatmap import columns
from attnbench.analysis.labels import label_columns
from attnbench.analysis.scene_axes import draw_scene
from attnbench.cell import KINDS, LABELS
from attnbench.messages import NO_VALUE

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

P = ParamSpec("P")
T = TypeVar("T")

# The width of a letter of MONO relative to the font size; all have the same, so margins can be computed. Chinese
# characters, which other fonts have, take less than two of them.
LETTER = 0.602
DPI = 100
MOST_PANELS = 24  # of a heat map


@dataclass(frozen=True)
class Panel:
    """One alignment. Shapes: weights (T,S); links (T,S), the gold links, or None where the task has none.

    Where the source is an image, it is in `image` (H,W), and `possible` (T,S) are the links that are not wrong.
    """

    weights: np.ndarray
    source: Sequence[str]
    target: Sequence[str]
    links: np.ndarray | None = None
    possible: np.ndarray | None = None
    image: np.ndarray | None = None


def in_own_style(draw: Callable[P, T]) -> Callable[P, T]:
    """Draws with matplotlib's defaults: a matplotlibrc file of the user, or of the working folder, may use LaTeX."""

    @wraps(draw)
    def drawn(*args: P.args, **options: P.kwargs) -> T:
        from matplotlib.style import context

        with context("default"):
            return draw(*args, **options)

    return drawn


@in_own_style
def alignment_panels(items: Mapping[tuple[str, str], Panel], title: str = "") -> Figure:
    """A figure with a panel per row and column; words are only drawn where they differ from the panel above.

    A missing panel is marked by a dash.

    Args:
        items: the alignment of each (row label, column label), in the order of display.
        title: the figure's title.
    """
    rows = list(dict.fromkeys(row for row, _ in items))
    columns = list(dict.fromkeys(column for _, column in items))
    width, height = (3.6, 2.2) if any(panel.image is not None for panel in items.values()) else (2.0, 1.75)  # inches
    figure = new_figure(1.1 + width * len(columns), 1.2 + height * len(rows))
    grid = figure.subplots(len(rows), len(columns), squeeze=False)
    above: dict[str, Any] = {}
    for r, row in enumerate(rows):
        for c, column in enumerate(columns):
            panel = items.get((row, column))
            _draw_panel(grid[r, c], panel, with_words=panel is not None and above.get(column) != _words(panel))
            above[column] = _words(panel) if panel is not None else above.get(column)
            if c == 0:
                grid[r, c].set_ylabel(drawable(row), fontsize=11, **style(row))
            if r == 0:
                grid[r, c].set_title(drawable(column), fontsize=11, **style(column))
    _shared_scale(figure, list(grid.flat), "attention weight", with_zero=True)
    figure.suptitle(drawable(title), fontsize=12, **style(title))
    return figure


@in_own_style
def accuracy_heatmap(frame: pd.DataFrame, metric: str = "exact_match") -> Figure:
    """The mean of a metric over the seeds, by score (down) and task (across), with a panel per setting of other axes.

    Args:
        frame: rows of table.csv; failed cells have no value and are left out.
        metric: a column with values in 0..1.
    """
    settings = list(by_setting(frame))
    shown = settings[:MOST_PANELS]
    across = min(len(shown), 3) or 1
    down = -(-len(shown) // across) or 1
    tables = [rows.pivot_table(metric, "score", "task", "mean", sort=False, dropna=False) for _, rows in shown]
    width = max((len(t.columns) for t in tables), default=1)
    height = max((len(t) for t in tables), default=1)
    figure = new_figure(across * (1.3 + 0.75 * width) + 0.8, down * (0.9 + 0.42 * height) + 0.6)
    grid = figure.subplots(down, across, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, (label, _), table in zip(grid.flat, shown, tables, strict=False):
        _draw_table(axes, table, label, height)
    _shared_scale(figure, list(grid.flat), metric.replace("_", " "))
    left_out = f" (the first {len(shown)} of {len(settings)} settings)" if len(shown) < len(settings) else ""
    heading = f"{metric.replace('_', ' ')}, mean over seeds{left_out}"
    figure.suptitle(heading, fontsize=12, **style(heading))
    return figure


def by_setting(frame: pd.DataFrame) -> Iterable[tuple[str, pd.DataFrame]]:
    """The rows of each setting of model, scope and other axes, with a name: the scope and the axes that vary.

    Example of a name: "local-p · model.width 64".
    """
    axes = ["model", "scope", *(column for column in label_columns(frame) if column not in LABELS)]
    for values, rows in frame.groupby(axes, sort=False, dropna=False):
        named = [(a, v) for a, v in zip(axes, values, strict=True) if a == "scope" or frame[a].nunique() > 1]
        yield " · ".join(str(v) if a in KINDS else f"{a} {v}" for a, v in named if v != NO_VALUE), rows


@in_own_style
def png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    from io import BytesIO

    file = BytesIO()
    figure.savefig(file, format="png", dpi=DPI)
    return file.getvalue()


def new_figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")
    canvas_of(figure)
    return figure


def canvas_of(figure: Figure) -> FigureCanvasAgg:
    """The canvas that draws a figure without a window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    return FigureCanvasAgg(figure)


def rotated(words: Sequence[str]) -> bool:
    """Whether source words are too long to fit above their columns horizontally."""
    return max(map(columns, words), default=1) > 2


def label_words(axes: Axes, source: Sequence[str], target: Sequence[str], size: float) -> None:
    """Writes the source words above the columns and the target words beside the rows, in points of `size`."""
    font = {"fontsize": size} | style((*source, *target), MONO)
    axes.set_xticks(range(len(source)), source, rotation=90 if rotated(source) else 0, **font)
    axes.set_yticks(range(len(target)), target, **font)
    axes.tick_params(length=0, pad=3, top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.spines[:].set_linewidth(0.5)


def _heat(axes: Axes, values: np.ndarray, with_zero: bool = False) -> Any:
    """Draws values in 0..1 as colours; with_zero: those that are exactly 0 in a colour of their own."""
    from matplotlib import colormaps

    colours = colormaps[COLOURS].with_extremes(bad=ZERO if with_zero else (0, 0, 0, 0))
    values = np.ma.masked_where(values == 0, values) if with_zero else values
    return axes.imshow(values, cmap=colours, vmin=0, vmax=1, aspect="auto", interpolation="nearest")


def outline(axes: Axes, links: np.ndarray | None) -> Any:
    """A frame around each gold link."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    positions = np.argwhere(links) if links is not None else np.empty((0, 2))
    frames = [Rectangle((s - 0.44, t - 0.44), 0.88, 0.88) for t, s in positions]
    return axes.add_collection(PatchCollection(frames, facecolor="none", edgecolor=GOLD, linewidth=1.5))


def _words(panel: Panel) -> tuple[list[str], list[str]]:
    return list(map(drawable, panel.source)), list(map(drawable, panel.target))


def _draw_panel(axes: Axes, panel: Panel | None, with_words: bool) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_linewidth(0.5)
    if panel is None:
        axes.text(0.5, 0.5, NO_VALUE, ha="center", va="center", fontsize=14, transform=axes.transAxes)
        axes.spines[:].set_visible(False)
        return
    if panel.image is not None:
        axes.spines[:].set_visible(False)
        draw_scene(axes, panel)
        return
    _heat(axes, panel.weights, with_zero=True)
    outline(axes, panel.links)
    if with_words:
        label_words(axes, *_words(panel), min(6.5, 72 / max(panel.weights.shape)))


def _draw_table(axes: Axes, table: pd.DataFrame, label: str, height: int) -> None:
    """Draws a table as a heat map, with space for `height` rows, so that the cells of all panels have the same size."""
    values = table.to_numpy(dtype=float)
    axes.set_axis_on()
    _heat(axes, values)
    axes.set_ylim(height - 0.5, -0.5)
    axes.spines[:].set_visible(False)
    axes.set_title(drawable(label), fontsize=10, **style(label))
    across, down = ([drawable(str(name)) for name in names] for names in (table.columns, table.index))
    axes.set_xticks(range(len(across)), across, fontsize=9, **style(across))
    axes.set_yticks(range(len(down)), down, fontsize=9, **style(down))
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    for (row, column), value in np.ndenumerate(values):
        text = NO_VALUE if np.isnan(value) else f"{value:.2f}"
        axes.text(column, row, text, ha="center", va="center", fontsize=9, color="white" if value > 0.6 else "black")


def _shared_scale(figure: Figure, axes: list[Axes], label: str, with_zero: bool = False) -> None:
    """Draws one colour bar for all panels."""
    more = WITH_ZERO | {"ticks": [0.2, 0.4, 0.6, 0.8, 1]} if with_zero else {}
    bar = figure.colorbar(mappable(), ax=axes, fraction=0.03, pad=0.02, aspect=35, **more)
    bar.set_label(label, fontsize=9, **style(label))
    bar.ax.tick_params(labelsize=8)
    if with_zero:
        label_zero(bar.ax)
