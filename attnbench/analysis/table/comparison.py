"""The comparison of a metric over two axes of a run, as plain data: what every table shows."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from attnbench.analysis.labels import KIND, Label, conditions_of, fulfilling, label_columns, values_of
from attnbench.analysis.stats import Statistic
from attnbench.analysis.table.lengths import LENGTH, Range, by_length, lengths_of
from attnbench.analysis.table.summary import STYLES, Seeds, Style, Summary, TooFew, compared_to_best, show_mean, summary
from attnbench.errors import AttnbenchError, Problem, did_you_mean, fail
from attnbench.outcome import METRICS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["STYLES", "Comparison", "Key", "Row", "Style", "Summary", "comparison", "show_mean"]

Row = tuple[Label, ...]
Key = tuple[Row, Label]  # the row and the head of a cell
APART = ("task", LENGTH)  # axes along which nothing competes: a task may be easier than another


@dataclass(frozen=True)
class Comparison:
    """A metric by rows and columns.

    Attributes:
        name: of the run.
        metric: a name of METRICS, or `<metric>@<length>`.
        index: the axes that name a row: the one asked for, then every other that varies, but the seed.
        columns: the axis that names a column.
        rows: the labels of each row, in the plan's order, one per axis of `index`.
        heads: the label of each column, in the plan's order.
        cells: by (row, head); a combination that the run does not have is absent.
        n: the number of seeds behind most cells.
        notes: what the table does not show, a sentence each.
        statistic: what the cells say of their seeds.
        apart: the axes of `index` of which each label has a best of its own.
        too_few: that no row can be told from the best, where that is so for every column.
        trained: the lengths trained on, each range once, where `length` is an axis and they are known.
        beyond: the lengths of which every cell is longer than those that it was trained on.
    """

    name: str
    metric: str
    index: tuple[str, ...]
    columns: str
    rows: list[Row]
    heads: list[Label]
    cells: dict[Key, Summary]
    n: int
    notes: tuple[str, ...] = ()
    statistic: Statistic = "mean"
    apart: tuple[str, ...] = ()
    too_few: TooFew | None = None
    trained: tuple[Range, ...] = ()
    beyond: frozenset[Label] = frozenset()

    @property
    def style(self) -> Style:
        """How the metric is shown."""
        return STYLES[self.metric.split("@")[0]]


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
) -> Comparison:
    """Summarises a metric over the seeds, by rows and columns.

    Nothing but the seed is averaged over: any other axis that varies becomes part of the rows, but for one that says
    the same as another, as axes of a `zip` may.

    Args:
        frame: the rows of table.csv.
        rows, columns: two of its label columns (model, score, scope, task, seed, or an axis of the grid), or `length`,
            for a metric that has `<metric>@<length>`. Rows are scores unless given, or models where there are several.
        metric: a name of METRICS, or `<metric>@<length>`.
        where: conditions `column=value`; several values of one column are alternatives.
        name: of the run, for the title.
        notes: what to say below the table.
        statistic: mean, iqm or median.
        trained: the lengths that each cell was trained on, by its id; it matters where `length` is an axis.

    Raises:
        AttnbenchError: when a column, a metric or a value is unknown, all such at once; or when nothing is left.
    """
    if LENGTH in (rows, columns) and not frame.empty:
        frame = by_length(frame, metric)
    labels = label_columns(frame)
    frame = _chosen(frame, labels, rows, columns, metric, tuple(where), name)
    index, same = _index(frame, labels, rows or _default_rows(frame, columns), columns)
    groups = _grouped(frame, index, columns, metric)
    apart = [place for place, axis in enumerate(index) if axis in APART]
    cells = {key: summary(*group, metric, statistic) for key, group in groups.items()}
    cells, ranges = _beyond(cells, frame, (*index, columns), trained or {})
    cells, too_few = _held_against_best(cells, groups, apart, STYLES[metric.split("@")[0]])
    ordered = _in_order(row for row, _ in groups)
    return Comparison(
        name=name,
        metric=metric,
        index=index,
        columns=columns,
        rows=ordered,
        heads=list(dict.fromkeys(head for _, head in groups)),
        cells=cells,
        n=Counter(cell.of for cell in cells.values()).most_common(1)[0][0],
        notes=(*(f"{axis} goes with {other}" for axis, other in same.items()), *notes),
        statistic=statistic,
        apart=tuple(index[place] for place in apart if len({row[place] for row in ordered}) > 1),
        too_few=too_few,
        trained=tuple(sorted(set(ranges.values()))),
        beyond=_lengths_beyond(cells, (*index, columns)),
    )


def _chosen(
    frame: "pd.DataFrame",
    labels: list[str],
    rows: str | None,
    columns: str,
    metric: str,
    where: tuple[str, ...],
    name: str,
) -> "pd.DataFrame":
    """The rows of the frame that fulfil the conditions, once everything that was asked for is known to exist."""
    if frame.empty:
        raise fail("no cell is finished yet", name, "attnbench run carries on with what is missing")
    conditions, problems = conditions_of(frame, labels, where)
    problems = [*_unknown(frame, labels, rows, columns, metric), *problems]
    if problems:
        raise AttnbenchError(*problems)
    return fulfilling(frame, conditions, where, name)


def _index(frame: "pd.DataFrame", labels: list[str], rows: str, columns: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """The axes that name a row, and those left out of them, each with the one that says the same."""
    named = {rows, columns, "seed", KIND}  # the column model says the kind already
    named |= {"model"} if KIND in (rows, columns) else set()
    varying = [c for c in labels if c not in named and len(set(values_of(frame, c))) > 1]
    same = _same_as_another(frame, [columns, rows], varying)
    return (rows, *(axis for axis in varying if axis not in same)), same


def _default_rows(frame: "pd.DataFrame", columns: str) -> str:
    """Models where several are compared, else scores; tasks where the columns are those already."""
    several = len(set(values_of(frame, "model"))) > 1 and columns not in ("model", KIND)
    return "model" if several else "task" if columns == "score" else "score"


def _same_as_another(frame: "pd.DataFrame", shown: list[str], varying: list[str]) -> dict[str, str]:
    """The axes of the grid, among those that vary, that change only with one that is shown or stands before them."""
    found: dict[str, str] = {}
    for place, axis in enumerate(varying):
        others = [*shown, *(other for other in varying[:place] if other not in found)]
        if "." in axis and (other := next((o for o in others if _one_to_one(frame, axis, o)), None)):
            found[axis] = other
    return found


def _one_to_one(frame: "pd.DataFrame", first: str, second: str) -> bool:
    pairs = set(zip(values_of(frame, first), values_of(frame, second), strict=True))
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def _grouped(
    frame: "pd.DataFrame", index: tuple[str, ...], columns: str, metric: str
) -> dict[Key, tuple[Seeds, int, int]]:
    """The values of the seeds that have one, how many seeds there are, and how many failed, by row and head."""
    groups: dict[Key, tuple[Seeds, int, int]] = {}
    results = zip(values_of(frame, "seed"), frame["status"].tolist(), values_of(frame, metric), strict=True)
    for key, (seed, status, value) in zip(_keys(frame, index, columns), results, strict=True):
        seeds, of, failed = groups.get(key, ({}, 0, 0))
        if status == "done" and value is not None:
            seeds[seed] = float(value)
        groups[key] = seeds, of + 1, failed + (status == "failed")
    return groups


def _keys(frame: "pd.DataFrame", index: tuple[str, ...], columns: str) -> list[Key]:
    """The row and the head of every row of the frame."""
    rows = zip(*(values_of(frame, column) for column in index), strict=True)
    return list(zip(rows, values_of(frame, columns), strict=True))


def _beyond(
    cells: dict[Key, Summary], frame: "pd.DataFrame", axes: tuple[str, ...], trained: Mapping[str, Range]
) -> tuple[dict[Key, Summary], dict[Key, Range]]:
    """Marks the cells whose length is longer than any trained on, and says what was, where that is known."""
    if LENGTH not in axes:
        return cells, {}
    keys = zip(_keys(frame, axes[:-1], axes[-1]), frame["cell"].tolist(), strict=True)
    ranges = {key: trained[cell] for key, cell in keys if cell in trained}
    longer = {key for key, (_, longest) in ranges.items() if _length(key, axes) > longest}
    return {key: replace(cell, beyond=key in longer) for key, cell in cells.items()}, ranges


def _lengths_beyond(cells: dict[Key, Summary], axes: tuple[str, ...]) -> frozenset[Label]:
    if LENGTH not in axes:
        return frozenset()
    within = {_length(key, axes) for key, cell in cells.items() if not cell.beyond}
    return frozenset({_length(key, axes) for key in cells} - within)


def _length(key: Key, axes: tuple[str, ...]) -> int:
    """What a cell's label says on the axis `length`."""
    return int(str((*key[0], key[1])[axes.index(LENGTH)]))


def _held_against_best(
    cells: dict[Key, Summary], groups: Mapping[Key, tuple[Seeds, int, int]], apart: list[int], style: Style
) -> tuple[dict[Key, Summary], TooFew | None]:
    """Marks the best of every column, and how the others of the column compare to it, where they are of one task."""
    families: dict[tuple[Label, ...], list[Key]] = {}
    for row, head in cells:
        families.setdefault((head, *(row[place] for place in apart)), []).append((row, head))
    marked: dict[Key, Summary] = {}
    reasons: list[TooFew | None] = []
    for family in families.values():
        found, too_few = compared_to_best({k: cells[k] for k in family}, {k: groups[k][0] for k in family}, style)
        marked |= found
        if any(cell.tie not in (None, "best") for cell in found.values()):
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
    metrics = [*METRICS, *(column for column in frame.columns if column.split("@")[0] in METRICS and "@" in column)]
    if metric not in metrics:
        problems.append(Problem(f"there is no metric {metric!r}", "--metric", did_you_mean(metric, metrics)))
    return problems


def _in_order(rows: Iterable[Row]) -> list[Row]:
    """The rows, sorted by their first label, then their second …, each in its order of appearance."""
    unique = list(dict.fromkeys(rows))
    ranks = [{label: rank for rank, label in enumerate(dict.fromkeys(level))} for level in zip(*unique, strict=True)]
    return sorted(unique, key=lambda row: [rank[label] for rank, label in zip(ranks, row, strict=True)])
