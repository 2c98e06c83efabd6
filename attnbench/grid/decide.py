"""`decide`: seeds until every two values of an axis are told apart or shown to be equivalent (semantics.md §14)."""

from collections.abc import Mapping

from pydantic import Field, PositiveFloat

from attnbench.cell import Section
from attnbench.errors import did_you_mean
from attnbench.grid.document import Document
from attnbench.grid.labels import Label
from attnbench.metrics import METRICS, is_metric, metric_of

EXAMPLE = "decide: {axis: score, metric: exact_match, margin: 0.02}"
RANGE = "seeds: {at_least: 8, at_most: 30}"


class SeedRange(Section):
    """The numbers of seeds that `decide` may train."""

    at_least: int = 2
    at_most: int


class Decide(Section):
    """The section `decide` of a grid file."""

    axis: str = Field(description="the axis whose values are compared with each other, within each setting of the rest")
    metric: str = Field("exact_match", description="the metric to compare by, e.g. exact_match or exact_match@20")
    margin: PositiveFloat | None = Field(
        None, description="differences of the metric that are smaller do not matter; default: that of the metric"
    )

    @property
    def smallest(self) -> float:
        """The margin, or that of the metric."""
        margin = self.margin if self.margin is not None else metric_of(self.metric).margin
        assert margin is not None  # checked with the grid
        return margin


def check_decide(
    document: Document,
    decide: Decide | None,
    seeds: object,
    axes: Mapping[str, list[Label] | None],
    lengths: set[int] | None,
) -> None:
    """Records what is wrong with `decide`, in itself or for this grid.

    Args:
        document: of the grid file.
        decide: the section.
        seeds: what the file has as seeds.
        axes: the axes of the grid, each with its labels; None where they are not all known.
        lengths: the test lengths; None where they are not known.
    """
    note = document.problems.add
    if decide is None:
        # Else a problem of decide is recorded already.
        if isinstance(seeds, SeedRange) and not document.is_set(("decide",)):
            note(document.place(("seeds",)), "seeds from at_least to at_most need decide", f"add {EXAMPLE}")
        return
    # A mapping with a problem is recorded already.
    if not isinstance(seeds, SeedRange) and not isinstance(document.data.get("seeds"), dict):
        place = document.place(("seeds",) if document.is_set(("seeds",)) else ("decide",), key=True)
        note(place, "decide needs the smallest and the largest number of seeds", f"write {RANGE}")
    _check_axis(document, decide.axis, axes)
    _check_metric(document, decide, lengths)


def _check_axis(document: Document, axis: str, axes: Mapping[str, list[Label] | None]) -> None:
    place = document.place(("decide", "axis"))
    several = [name for name, labels in axes.items() if name != "task" and (labels is None or len(labels) > 1)]
    if axis in ("task", "seed", "seeds"):
        what = f"decide compares the values of an axis within each task and seed, and cannot compare {axis}s"
        document.problems.add(place, what.replace("seedss", "seeds"), _one_of(several))
    elif axis not in axes:
        document.problems.add(place, f"the grid has no axis {axis!r}", did_you_mean(axis, several))
    elif axis not in several:
        what = f"the axis {axis} has a single value in this grid: there is nothing to compare"
        document.problems.add(place, what, _one_of(several))


def _one_of(several: list[str]) -> str:
    return f"choose {' or '.join(several)}" if several else "give an axis of the grid several values"


def _check_metric(document: Document, decide: Decide, lengths: set[int] | None) -> None:
    place = document.place(("decide", "metric"))
    name, _, length = decide.metric.partition("@")
    if not is_metric(decide.metric):
        document.problems.add(place, f"unknown metric {decide.metric!r}", did_you_mean(name, METRICS))
        return
    metric = metric_of(decide.metric)
    if not metric.better or metric.per_pack:
        reason = "is measured once for all seeds that are trained together" if metric.better else "has no better side"
        document.problems.add(place, f"decide cannot compare by {decide.metric}, which {reason}", "use exact_match")
    elif length and lengths is not None and int(length) not in lengths:
        what = f"{decide.metric} is not measured: {length} is not in data.test_lengths"
        document.problems.add(place, what, f"add {length} to data.test_lengths")
    elif decide.margin is None and metric.margin is None:
        what = f"decide needs a margin for {decide.metric}, the largest difference that does not matter"
        example = f"decide: {{axis: {decide.axis}, metric: {decide.metric}, margin: 100}}"  # in training steps
        document.problems.add(document.place(("decide",), key=True), what, f"e.g. {example}")
