"""A picture of a validation metric against a tuned field, for MLflow: a panel per task, a line per combination."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attnbench.analysis.fonts import drawable, style
from attnbench.analysis.labels import Label, row_label, text, varying
from attnbench.analysis.plots import in_own_style, new_figure
from attnbench.analysis.tuning import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS = 3  # panels beside each other
MOST_LINES = 20  # that the legend names


@in_own_style
def sensitivity_plot(field: str, metric: str, curves: Sequence[Curve]) -> "Figure":
    """The lines of all combinations; a filled mark is the chosen value. Values that are not numbers are equally spaced.

    Args:
        field: the tuned field.
        metric: exact_match or loss, on validation.
        curves: at least one.
    """
    tasks = list(dict.fromkeys(text(curve.labels["task"]) for curve in curves))
    positions = _positions([value for curve in curves for value in curve.points])
    axes = varying([curve.labels for curve in curves], apart=["task"])
    names = [row_label(axes, [curve.labels[axis] for axis in axes]) for curve in curves]
    colours = {name: f"C{number % 10}" for number, name in enumerate(dict.fromkeys(names))}
    across = min(len(tasks), ACROSS)
    down = -(-len(tasks) // across)
    figure = new_figure(3.2 * across + 2.4, 2.8 * down + 0.6)
    panels = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    for panel in panels.flat[len(tasks) :]:
        panel.set_axis_off()
    for panel, task in zip(panels.flat, tasks, strict=False):
        for curve, name in zip(curves, names, strict=True):
            if text(curve.labels["task"]) == task:
                _draw(panel, curve, positions, name, colours[name])
        panel.set_title(drawable(task), fontsize=11, **style(task))
        panel.set_xlabel(field)
        panel.set_ylabel(metric.replace("_", " "))
        _scale(panel, positions)
    lines = {str(line.get_label()): line for panel in panels.flat for line in panel.get_lines()}
    shown = {name: line for name, line in lines.items() if name in colours}
    labels = list(shown)[:MOST_LINES]
    figure.legend([shown[name] for name in labels], list(map(drawable, labels)), loc="outside right upper", fontsize=9)
    figure.suptitle(f"{metric.replace('_', ' ')} on validation against {field} (filled: chosen)", fontsize=12)
    return figure


def _draw(panel: "Axes", curve: Curve, positions: dict[Label, float], name: str, colour: str) -> None:
    values = sorted(curve.points, key=lambda value: positions[value])
    at, means = [positions[value] for value in values], [curve.points[value] for value in values]
    panel.plot(at, means, marker="o", markerfacecolor="white", label=name, color=colour)
    if curve.chosen in curve.points:
        panel.plot([positions[curve.chosen]], [curve.points[curve.chosen]], "o", color=colour)


def _positions(values: Sequence[Label]) -> dict[Label, float]:
    """Where each value is drawn: at itself, or at its number in the list if they are not all numbers."""
    distinct = list(dict.fromkeys(values))
    numbers = [value for value in distinct if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) == len(distinct):
        return {value: float(value) for value in numbers}
    return {value: float(place) for place, value in enumerate(distinct)}


def _scale(panel: "Axes", positions: dict[Label, float]) -> None:
    """Ticks at the values; logarithmic where they are numbers above 0 over a factor of four or more."""
    at = sorted(positions.values())
    if at[0] > 0 and at[-1] / at[0] >= 4:
        panel.set_xscale("log")
    panel.set_xticks(list(positions.values()), [text(value) for value in positions])
    panel.minorticks_off()
