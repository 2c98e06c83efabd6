"""The comparison of a metric over two axes of a run, as plain data; every output format shows this."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from attnbench.analysis.labels import (
    KIND,
    Label,
    conditions_of,
    fulfilling,
    label_columns,
    nothing_done,
    values_of,
)
from attnbench.analysis.learned import accuracy_of, resolution_of
from attnbench.analysis.parameters import most_and_fewest
from attnbench.analysis.per_pack import measurements
from attnbench.analysis.stats import Statistic
from attnbench.analysis.table.cell import SeedResults, TableCell, TooFew, compared_to_best, summarise
from attnbench.analysis.table.cost import COST, means
from attnbench.analysis.table.lengths import LENGTH, Range, by_length, lengths_of, metric_hint
from attnbench.analysis.table.stale import CODE
from attnbench.analysis.verdict import Verdict
from attnbench.errors import AttnbenchError, Problem, did_you_mean
from attnbench.metrics import METRICS, Metric, is_metric, metric_of

if TYPE_CHECKING:
    import pandas as pd

RowLabels = tuple[Label, ...]
Key = tuple[RowLabels, Label]  # the row and the column of a cell
# Axes whose values are not compared with each other, since one task or length may be easier than another.
SEPARATE = ("task", LENGTH, CODE)


@dataclass(frozen=True)
class Comparison:
    """A metric by rows and columns.

    Attributes:
        name: of the run.
        metric: a name of METRICS, or `<metric>@<length>`.
        index: the axes of the rows: the requested one, then every other axis that varies, except the seed.
        columns: the axis of the columns.
        rows: the labels of each row, one per axis of `index`, in the plan's order.
        heads: the label of each column, in the plan's order.
        cells: by (row, head); a combination that the run does not have is absent.
        notes: what the table does not show, one sentence each.
        statistic: of the seeds of a cell: mean, iqm or median.
        separate: the axes of `index` that have a best cell for each of their labels.
        too_few: set where the seeds are too few to distinguish any row of any column from the best.
        trained: the ranges of trained lengths, where `length` is an axis and they are known.
        cost: the metrics of `cost.COST` by cell; empty unless they are shown.
    """

    name: str
    metric: str
    index: tuple[str, ...]
    columns: str
    rows: list[RowLabels]
    heads: list[Label]
    cells: dict[Key, TableCell]
    notes: tuple[str, ...] = ()
    statistic: Statistic = "mean"
    separate: tuple[str, ...] = ()
    too_few: TooFew | None = None
    trained: tuple[Range, ...] = ()
    cost: Mapping[str, Mapping[Key, float]] = field(default_factory=dict)

    @cached_property
    def n(self) -> int:
        """The most common number of seeds per cell."""
        return Counter(cell.of for cell in self.cells.values()).most_common(1)[0][0]

    @cached_property
    def beyond(self) -> frozenset[Label]:
        """The lengths that are longer than the trained lengths in every cell."""
        axes = (*self.index, self.columns)
        if LENGTH not in axes:
            return frozenset()
        within = {_length(key, axes) for key, cell in self.cells.items() if not cell.beyond}
        return frozenset({_length(key, axes) for key in self.cells} - within)

    @property
    def about(self) -> Metric:
        """The facts about the metric: its direction and how it is shown."""
        return metric_of(self.metric)


def comparison(
    frame: "pd.DataFrame",
    rows: str | None = None,
    columns: str = "task",
    metric: str = "exact_match",
    where: Iterable[str] = (),
    name: str = "",
    notes: Iterable[str] = (),
    statistic: Statistic = "mean",
    trained: Mapping[str, Range] | None = None,
    tested: bool = True,
    cost: bool = False,
) -> Comparison:
    """Summarises a metric over the seeds, by rows and columns.

    Only seeds are averaged: every other axis that varies becomes part of the rows, unless another axis determines it.

    Args:
        frame: the rows of table.csv.
        rows, columns: two of its label columns (model, score, scope, task, seed, or an axis of the grid), or `length`
            for a metric with `<metric>@<length>`. Default of rows: model where there are several, else score.
        metric: a name of METRICS, or `<metric>@<length>`.
        where: conditions `column=value`; several values of one column are alternatives.
        name, notes: the title begins with the name of the run; the notes are printed below the table.
        statistic: mean, iqm or median.
        trained: the range of trained lengths of each cell, by its id; used where `length` is an axis.
        tested: whether to compare all cells with the best one. The test is for a number of seeds that was fixed before
            any result was seen, and thus not for runs with `decide`.
        cost: whether to show what the cells cost: parameters, operations of a training step, seconds.

    Raises:
        AttnbenchError: when a column, metric or value is unknown (all of them in one error), or no cell is left.
    """
    frame = _chosen(frame, rows, columns, metric, tuple(where), name)
    index, same = _index(frame, rows or _default_rows(frame, columns), columns)
    groups = _grouped(frame, index, columns, metric)
    separate = [place for place, axis in enumerate(index) if axis in SEPARATE]
    cells = {key: summarise(group, metric_of(metric), statistic) for key, group in groups.items()}
    cells, too_few = _compared_to_best(cells, groups, separate, metric_of(metric), resolution_of(frame, metric))
    if not tested:
        cells = {key: replace(cell, verdict=None) if not cell.best else cell for key, cell in cells.items()}
        too_few = None
    cells, ranges = _beyond(cells, frame, (*index, columns), trained or {})
    vary = [f"{axis} varies with {other}" for axis, other in same.items()]
    ordered = _in_order(row for row, _ in groups)
    costs = {name: means(_grouped(frame, index, columns, name)) for name in (COST if cost else COST[:1])}
    sizes = {(*row, head): size for (row, head), size in costs["parameters"].items() if cells[row, head].n}
    return Comparison(
        name=name,
        metric=metric,
        index=index,
        columns=columns,
        rows=ordered,
        heads=list(dict.fromkeys(head for _, head in groups)),
        cells=cells,
        notes=(*vary, *most_and_fewest((*index, columns), sizes, SEPARATE), *notes),
        statistic=statistic,
        separate=tuple(index[place] for place in separate if len({row[place] for row in ordered}) > 1),
        too_few=too_few,
        trained=tuple(sorted(set(ranges.values()))),
        cost=costs if cost else {},
    )


def _chosen(
    frame: "pd.DataFrame", rows: str | None, columns: str, metric: str, where: tuple[str, ...], name: str
) -> "pd.DataFrame":
    """The rows of the frame that fulfil the conditions, after checking that every requested name exists."""
    if frame.empty:
        raise nothing_done(frame, name)
    if LENGTH in (rows, columns):
        frame = by_length(frame, metric)
    labels = label_columns(frame)
    conditions, problems = conditions_of(frame, labels, where)
    problems = [*_unknown(frame, labels, rows, columns, metric), *problems]
    if problems:
        raise AttnbenchError(*problems)
    return fulfilling(frame, conditions, where, name)


def _index(frame: "pd.DataFrame", rows: str, columns: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """The axes of the rows; and the axes left out, each with the axis that it has a one-to-one relation with."""
    named = {rows, columns, "seed", KIND}  # the column model has the kind
    named |= {"model"} if KIND in (rows, columns) else set()
    varying = [c for c in label_columns(frame) if c not in named and len(set(values_of(frame, c))) > 1]
    same = _same_as_another(frame, [columns, rows], varying)
    return (rows, *(axis for axis in varying if axis not in same)), same


def _default_rows(frame: "pd.DataFrame", columns: str) -> str:
    """Models where the run has several, else scores; tasks where scores are the columns."""
    several = len(set(values_of(frame, "model"))) > 1 and columns not in ("model", KIND)
    return "model" if several else "task" if columns == "score" else "score"


def _same_as_another(frame: "pd.DataFrame", shown: list[str], varying: list[str]) -> dict[str, str]:
    """The varying axes of the grid that have a one-to-one relation with an axis that is shown or comes before them."""
    found: dict[str, str] = {}
    for place, axis in enumerate(varying):
        others = [*shown, *(other for other in varying[:place] if other not in found)]
        if "." in axis and (other := next((o for o in others if _one_to_one(frame, axis, o)), None)):
            found[axis] = other
    return found


def _one_to_one(frame: "pd.DataFrame", first: str, second: str) -> bool:
    pairs = set(zip(values_of(frame, first), values_of(frame, second), strict=True))
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def _grouped(frame: "pd.DataFrame", index: tuple[str, ...], columns: str, metric: str) -> dict[Key, SeedResults]:
    """The results of the seeds, by row and head."""
    about = metric_of(metric)
    if "seed" not in (*index, columns):
        frame = measurements(frame, metric)
    groups: dict[Key, SeedResults] = {}
    accuracies = accuracy_of(frame, metric)
    known = any(accuracy is not None for accuracy in accuracies)
    rows = zip(
        _keys(frame, index, columns),
        values_of(frame, "seed"),
        frame["status"].tolist(),
        values_of(frame, metric),
        accuracies,
        strict=True,
    )
    for key, seed, status, value, accuracy in rows:
        group = groups.setdefault(key, SeedResults())
        group.of += 1
        group.failed += status == "failed"
        if accuracy is not None:
            group.accuracy[seed] = accuracy
        elif status == "failed" and known:
            group.accuracy[seed] = 0.0  # it did not learn
        if status == "done" and value is not None:
            group.values[seed] = float(value)
        elif (status == "failed" and not about.per_pack) or about.missing_is_worst:
            group.missing.add(seed)
    return groups


def _keys(frame: "pd.DataFrame", index: tuple[str, ...], columns: str) -> list[Key]:
    """The row and the head of every row of the frame."""
    rows = zip(*(values_of(frame, column) for column in index), strict=True)
    return list(zip(rows, values_of(frame, columns), strict=True))


def _beyond(
    cells: dict[Key, TableCell], frame: "pd.DataFrame", axes: tuple[str, ...], trained: Mapping[str, Range]
) -> tuple[dict[Key, TableCell], dict[Key, Range]]:
    """Marks the cells whose test length is longer than the trained lengths; and the trained range of each cell."""
    if LENGTH not in axes:
        return cells, {}
    keys = zip(_keys(frame, axes[:-1], axes[-1]), frame["cell"].tolist(), strict=True)
    ranges = {key: trained[cell] for key, cell in keys if cell in trained}
    longer = {key for key, (_, longest) in ranges.items() if _length(key, axes) > longest}
    return {key: replace(cell, beyond=key in longer) for key, cell in cells.items()}, ranges


def _length(key: Key, axes: tuple[str, ...]) -> int:
    """The label of a cell on the axis `length`."""
    return int(str((*key[0], key[1])[axes.index(LENGTH)]))


def _compared_to_best(
    cells: dict[Key, TableCell],
    groups: Mapping[Key, SeedResults],
    separate: list[int],
    metric: Metric,
    resolution: float,
) -> tuple[dict[Key, TableCell], TooFew | None]:
    """Marks the best cell of every column and task, and adds the comparison of the other cells with it."""
    families: dict[tuple[Label, ...], list[Key]] = {}
    for row, head in cells:
        families.setdefault((head, *(row[place] for place in separate)), []).append((row, head))
    marked: dict[Key, TableCell] = {}
    reasons: list[TooFew | None] = []
    for family in families.values():
        results = {key: groups[key] for key in family}
        found, too_few = compared_to_best({key: cells[key] for key in family}, results, metric, resolution)
        marked |= found
        if any(cell.verdict not in (None, Verdict.BEST) for cell in found.values()):
            reasons.append(too_few)
    least = max((reason for reason in reasons if reason), key=lambda reason: reason.needed, default=None)
    return {key: marked[key] for key in cells}, least if all(reasons) else None


def _unknown(frame: "pd.DataFrame", labels: list[str], rows: str | None, columns: str, metric: str) -> list[Problem]:
    axes = [*labels, *([LENGTH] if lengths_of(frame, metric) and LENGTH not in labels else [])]
    problems = [
        Problem(f"there is no column {column!r}", option, did_you_mean(column, axes))
        for option, column in (("--rows", rows), ("--columns", columns))
        if column is not None and column not in labels
    ]
    if rows == columns:
        problems.append(Problem(f"rows and columns are both {rows!r}", "--columns", "choose two different axes"))
    metrics = [*METRICS, *(column for column in frame.columns if is_metric(column) and column not in METRICS)]
    if metric not in metrics:
        problems.append(Problem(f"there is no metric {metric!r}", "--metric", metric_hint(metric, metrics)))
    return problems


def _in_order(rows: Iterable[RowLabels]) -> list[RowLabels]:
    """The rows sorted by their first label, then their second, and so on; labels in their order of appearance."""
    unique = list(dict.fromkeys(rows))
    ranks = [{label: rank for rank, label in enumerate(dict.fromkeys(level))} for level in zip(*unique, strict=True)]
    return sorted(unique, key=lambda row: [rank[label] for rank, label in zip(ranks, row, strict=True)])
