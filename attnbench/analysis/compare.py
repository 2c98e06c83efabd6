"""The comparison of a metric over two axes of a run, as plain data: what every table shows."""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from attnbench.analysis.labels import KIND, Label, conditions_of, fulfilling, label_columns, values_of
from attnbench.analysis.stats import mean_interval
from attnbench.errors import AttnbenchError, Problem, did_you_mean, fail
from attnbench.outcome import METRICS

if TYPE_CHECKING:
    import pandas as pd

Row = tuple[Label, ...]
Key = tuple[Row, Label]  # the row and the head of a cell


@dataclass(frozen=True)
class Style:
    """How a metric is shown: decimals of the mean and of the interval's ends, and which way is better (0: neither)."""

    decimals: int
    interval_decimals: int | None
    better: int


_UP, _DOWN = 1, -1
STYLES = {
    "exact_match": Style(3, 2, _UP),
    "token_accuracy": Style(3, 2, _UP),
    "loss": Style(3, 3, _DOWN),
    "bleu": Style(1, 1, _UP),
    "aer": Style(3, 2, _DOWN),
    "alignment_mass": Style(3, 2, _UP),
    "alignment_entropy": Style(3, 2, 0),
    "steps_to_95": Style(0, 0, _DOWN),
    "parameters": Style(0, None, 0),
    "seconds": Style(1, 1, _DOWN),
    "tokens_per_second": Style(0, 0, _UP),
    "exact_match_unseen": Style(3, 2, _UP),
}


@dataclass(frozen=True)
class Summary:
    """One cell of a table: the mean over n of `of` seeds, the ends of its interval, how many seeds failed.

    Without a value (n = 0) the numbers are None.
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int
    of: int
    failed: int
    best: bool = False


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
) -> Comparison:
    """Summarises a metric over the seeds, by rows and columns.

    Nothing but the seed is averaged over: any other axis that varies becomes part of the rows, but for one that says
    the same as another, as axes of a `zip` may.

    Args:
        frame: the rows of table.csv.
        rows, columns: two of its label columns (model, score, scope, task, seed, or an axis of the grid). Rows are
            scores unless given, or models where there are several.
        metric: a name of METRICS, or `<metric>@<length>`.
        where: conditions `column=value`; several values of one column are alternatives.
        name: of the run, for the title.
        notes: what to say below the table.

    Raises:
        AttnbenchError: when a column, a metric or a value is unknown, all such at once; or when nothing is left.
    """
    labels = label_columns(frame)
    frame = _chosen(frame, labels, rows, columns, metric, tuple(where), name)
    rows = rows or _default_rows(frame, columns)
    named = {rows, columns, "seed", KIND}  # the column model says the kind already
    named |= {"model"} if KIND in (rows, columns) else set()
    varying = [c for c in labels if c not in named and len(set(values_of(frame, c))) > 1]
    same = _same_as_another(frame, [columns, rows], varying)
    index = (rows, *(axis for axis in varying if axis not in same))
    groups = _grouped(frame, index, columns, metric)
    cells = {key: _summary(group) for key, group in groups.items()}
    heads = list(dict.fromkeys(head for _, head in groups))
    return Comparison(
        name=name,
        metric=metric,
        index=index,
        columns=columns,
        rows=_in_order(row for row, _ in groups),
        heads=heads,
        cells=_mark_best(cells, heads, STYLES[metric.split("@")[0]]),
        n=Counter(cell.of for cell in cells.values()).most_common(1)[0][0],
        notes=(*(f"{axis} goes with {other}" for axis, other in same.items()), *notes),
    )


def show_mean(value: float, style: Style) -> str:
    """The mean with the metric's decimals."""
    return f"{value:,.{style.decimals}f}"


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
) -> dict[Key, list[tuple[str, float | None]]]:
    """Status and value of every seed, by row and head."""
    groups: dict[Key, list[tuple[str, float | None]]] = {}
    keys = zip(*(values_of(frame, column) for column in index), strict=True)
    results = zip(frame["status"].tolist(), values_of(frame, metric), strict=True)
    for row, head, result in zip(keys, values_of(frame, columns), results, strict=True):
        groups.setdefault((row, head), []).append(result)
    return groups


def _unknown(frame: "pd.DataFrame", labels: list[str], rows: str | None, columns: str, metric: str) -> list[Problem]:
    problems = [
        Problem(f"there is no column {column!r}", option, did_you_mean(column, labels))
        for option, column in (("--rows", rows), ("--columns", columns))
        if column is not None and column not in labels
    ]
    if rows == columns:
        problems.append(Problem(f"rows and columns are both {rows!r}", "--columns", "choose two different axes"))
    metrics = [*METRICS, *(column for column in frame.columns if column.split("@")[0] in METRICS and "@" in column)]
    if metric not in metrics:
        problems.append(Problem(f"there is no metric {metric!r}", "--metric", did_you_mean(metric, metrics)))
    return problems


def _summary(group: Sequence[tuple[str, float | None]]) -> Summary:
    """One cell, from the status and the value of each of its seeds."""
    values = [value for status, value in group if status == "done" and value is not None]
    failed = sum(status == "failed" for status, _ in group)
    if not values:
        return Summary(None, None, None, 0, len(group), failed)
    estimate = mean_interval(values)
    return Summary(estimate.mean, estimate.low, estimate.high, estimate.n, len(group), failed)


def _in_order(rows: Iterable[Row]) -> list[Row]:
    """The rows, sorted by their first label, then their second …, each in its order of appearance."""
    unique = list(dict.fromkeys(rows))
    ranks = [{label: rank for rank, label in enumerate(dict.fromkeys(level))} for level in zip(*unique, strict=True)]
    return sorted(unique, key=lambda row: [rank[label] for rank, label in zip(ranks, row, strict=True)])


def _mark_best(cells: dict[Key, Summary], heads: Sequence[Hashable], style: Style) -> dict[Key, Summary]:
    """Marks the best of each column, with all that look the same.

    A mean over only some of the seeds does not compete: the missing ones are those that failed or never got there.
    """
    marked = dict(cells)
    for head in heads if style.better else ():
        rivals = {key: c.mean for key, c in cells.items() if key[1] == head and c.mean is not None and c.n == c.of}
        if len(rivals) > 1:
            best = show_mean(max(rivals.values(), key=lambda mean: style.better * mean), style)
            winners = [key for key, mean in rivals.items() if show_mean(mean, style) == best]
            marked |= {key: replace(cells[key], best=True) for key in winners}
    return marked
