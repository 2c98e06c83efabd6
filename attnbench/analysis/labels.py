"""The labels of a run's cells, and the selection of cells by conditions on them."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from attnbench.errors import AttnbenchError, Problem, did_you_mean, fail
from attnbench.messages import NO_VALUE
from attnbench.metrics import METRICS

if TYPE_CHECKING:
    import pandas as pd

KIND = "model.kind"
Label = str | int | float | bool | None


def text(label: Any) -> str:
    """A label as it is written in the grid file; a dash for None."""
    if label is None:
        return NO_VALUE
    return str(label).lower() if isinstance(label, bool) else str(label)


def label_columns(frame: "pd.DataFrame") -> list[str]:
    """The columns that identify a cell: model, score, scope, task, seed and the axes of the grid."""
    columns = list(frame.columns)
    return columns[columns.index("status") + 1 : columns.index(next(iter(METRICS)))]


def values_of(frame: "pd.DataFrame", column: str) -> list[Any]:
    """The column as Python values; None for a missing value."""
    return [
        None if missing else value for value, missing in zip(frame[column].tolist(), frame[column].isna(), strict=True)
    ]


def filtered(frame: "pd.DataFrame", where: Iterable[str], name: str) -> "pd.DataFrame":
    """The rows that fulfil conditions such as "scope=global"; several values of one column are alternatives.

    Raises:
        AttnbenchError: for a condition that cannot be read or that nothing fulfils.
    """
    where = tuple(where)
    conditions, problems = conditions_of(frame, label_columns(frame), where)
    if problems:
        raise AttnbenchError(*problems)
    return fulfilling(frame, conditions, where, name)


def fulfilling(
    frame: "pd.DataFrame", conditions: dict[str, set[str]], where: tuple[str, ...], name: str
) -> "pd.DataFrame":
    """The rows whose labels are among those of the conditions; `where` has the conditions as written."""
    for column, values in conditions.items():
        frame = frame[[text(value) in values for value in values_of(frame, column)]]
    if frame.empty:
        raise fail(f"no finished cell has {' and '.join(where)}", name, "remove a condition")
    return frame


def conditions_of(
    frame: "pd.DataFrame", labels: list[str], where: Iterable[str]
) -> tuple[dict[str, set[str]], list[Problem]]:
    """The accepted values of each column, and the problems of the conditions."""
    conditions: dict[str, set[str]] = {}
    problems = []
    for condition in where:
        column, equals, value = condition.partition("=")
        if not equals:
            hint = "write it as column=value, e.g. scope=global"
            problems.append(Problem(f"{condition!r} is not a condition", "--where", hint))
        elif column not in labels:
            problems.append(Problem(f"there is no column {column!r}", "--where", did_you_mean(column, labels)))
        elif value not in (known := {text(label) for label in values_of(frame, column)}):
            problems.append(Problem(f"no finished cell has {condition}", "--where", did_you_mean(value, known)))
        conditions.setdefault(column, set()).add(value)
    return conditions, problems
