"""The source length as an axis of a table, for a metric that was measured separately at several lengths."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from attnbench.analysis.labels import label_columns
from attnbench.errors import did_you_mean, fail
from attnbench.metrics import METRICS

if TYPE_CHECKING:
    import pandas as pd

    from attnbench.store.store import Store

LENGTH = "length"  # the label column
Range = tuple[int, int]  # the shortest and the longest trained source


def lengths_of(frame: "pd.DataFrame", metric: str) -> list[int]:
    """The lengths at which a metric was measured, ascending."""
    parts = (column.partition("@") for column in frame.columns)
    return sorted(int(length) for name, at, length in parts if at and name == metric)


def metric_hint(metric: str, known: Iterable[str]) -> str:
    """What to ask for in place of a metric that does not exist: another length, or another name.

    Args:
        metric: what was asked for.
        known: the metrics that exist.
    """
    known = list(known)
    name, at, _ = metric.partition("@")
    if not at or name not in METRICS:
        return did_you_mean(metric, known)
    lengths = sorted(int(one.partition("@")[2]) for one in known if one.startswith(f"{name}@"))
    if not lengths:
        return f"{name} was not measured by {LENGTH}: set data.test_lengths in the grid"
    return f"tested lengths: {', '.join(map(str, lengths))}"


def by_length(frame: "pd.DataFrame", metric: str) -> "pd.DataFrame":
    """The rows of a frame repeated for each length, with a label column `length` and the metric at that length.

    Raises:
        AttnbenchError: when the metric was not measured by length.
    """
    import pandas as pd

    lengths = lengths_of(frame, metric)
    if not lengths:
        measured = [name for name in METRICS if lengths_of(frame, name)]
        name, at, _ = metric.partition("@")
        if at and name in measured:
            raise fail(f"{metric} is for one length already", "--metric", f"use --metric {name} with the axis {LENGTH}")
        hint = f"measured by {LENGTH}: {', '.join(measured)}" if measured else "set data.test_lengths in the grid"
        raise fail(f"{metric!r} was not measured by {LENGTH}", "--metric", hint)
    place = list(frame.columns).index(label_columns(frame)[-1]) + 1
    parts = []
    for length in lengths:
        part = frame.assign(**{metric: frame[f"{metric}@{length}"]})
        part.insert(place, LENGTH, length)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def trained_lengths(store: "Store", cells: Iterable[str]) -> dict[str, Range]:
    """The range of trained lengths of each cell, by its id; it is unknown for a user's own sentence pairs.

    Raises:
        AttnbenchError: when a cell cannot be read.
    """
    data = {cell: store.read(cell)["config"].get("data") or {} for cell in cells}
    return {
        cell: (of["min_length"], of["max_length"])
        for cell, of in data.items()
        if not of.get("path") and {"min_length", "max_length"} <= of.keys()
    }
