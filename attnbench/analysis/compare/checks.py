"""The checks of what a comparison was asked for, and their errors."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from attnbench.analysis.compare.pairing import measured, others
from attnbench.analysis.labels import Label, label_columns, label_hint, labels_written, nothing_done, text, values_of
from attnbench.analysis.table.lengths import metric_hint
from attnbench.errors import AttnbenchError, did_you_mean, fail
from attnbench.metrics import Metric, is_metric, metric_of

if TYPE_CHECKING:
    import pandas as pd


MOST_VALUES = 5  # of a column that are listed


def nothing_shared(frame: "pd.DataFrame", axis: str, metric: str, against: str, name: str) -> AttnbenchError:
    """The error where no value can be paired with the reference, with the settings in which the cells differ."""
    varying = [c for c in others(measured(frame, metric), axis) if len(set(values_of(frame, c))) > 1]
    if apart := _never_shared(frame, axis, against, ["task", "seed", *varying]):
        hint = f"{'; '.join(apart.values())}: train both with the same values"
        if axes := [column for column in apart if column not in ("task", "seed")]:
            hint += f", or compare another axis: --axis {' or '.join(axes)}"
        return fail(f"no cell can be paired with one of {against}", name or "--against", hint)
    hint = "they have no task and seed in common" + " with the same settings" * bool(varying)
    if varying:
        hint += f": the cells also vary in {', '.join(varying)}; select some of them with --where COLUMN=VALUE"
    return fail(f"no value shares a setting and a seed with {against}", name or "--against", hint)


def _never_shared(frame: "pd.DataFrame", axis: str, against: str, columns: Sequence[str]) -> dict[str, str]:
    """The columns in which no cell has a value of the reference, each with a text of the values on both sides."""
    labels = [text(value) == text(against) for value in values_of(frame, axis)]
    found = {}
    for column in dict.fromkeys(columns):
        values = [_written(value) for value in values_of(frame, column)]
        own = dict.fromkeys(value for value, of in zip(values, labels, strict=True) if of)
        rest = dict.fromkeys(value for value, of in zip(values, labels, strict=True) if not of)
        if not own.keys() & rest.keys():
            found[column] = f"{column} is {_listed(own)} in {against} and {_listed(rest)} in the rest"
    return found


def _written(value: Label) -> str:
    # A column of whole numbers has floats where one of two runs has no value.
    return text(int(value) if isinstance(value, float) and value.is_integer() else value)


def _listed(values: Iterable[str]) -> str:
    first = list(values)
    return ", ".join([*first[:MOST_VALUES], *["…"] * (len(first) > MOST_VALUES)])


def checked_metric(frame: "pd.DataFrame", axis: str, metric: str, name: str) -> Metric:
    """The metric, after checking that axis and metric exist, that it has a better direction, and that cells have it."""
    labels = [column for column in label_columns(frame) if column != "seed"]
    if axis not in labels:
        raise fail(f"there is no axis {axis!r}", "--axis", did_you_mean(axis, labels))
    if metric not in frame.columns or not is_metric(metric):
        known = [column for column in frame.columns if is_metric(column)]
        raise fail(f"there is no metric {metric!r}", "--metric", metric_hint(metric, known))
    about = metric_of(metric)
    if not about.better:
        raise fail(f"{metric} has no better direction", "--metric", "choose a metric that has one, e.g. exact_match")
    if measured(frame, metric).empty:
        raise nothing_done(frame, name, metric)
    return about


def named(values: Sequence[Label], against: str) -> Label:
    """The value with this name."""
    if not (found := labels_written(against, values)):
        raise fail(f"no finished cell has {against!r}", "--against", label_hint(against, values))
    return found[0]


def single_value(frame: "pd.DataFrame", axis: str, name: str) -> AttnbenchError:
    """The error where the axis has a single value with results; it names the axes that have several."""
    several = [c for c in label_columns(frame) if c != "seed" and len(set(values_of(frame, c))) > 1]
    hint = f"choose another axis: {', '.join(several)}" if several else "the finished cells differ in nothing but seeds"
    return fail(f"{axis} has fewer than two values with finished cells", name or "--axis", hint)
