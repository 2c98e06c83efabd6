"""The labels of a run's cells, and the cells that fulfil a condition on them."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from attnbench.errors import AttnbenchError, Problem, did_you_mean, fail
from attnbench.outcome import METRICS

if TYPE_CHECKING:
    import pandas as pd

NOTHING = "–"
KIND = "model.kind"
Label = str | int | float | bool | None


def text(label: Any) -> str:
    """A label as the grid file would say it, and a dash for none."""
    if label is None:
        return NOTHING
    return str(label).lower() if isinstance(label, bool) else str(label)


def label_columns(frame: "pd.DataFrame") -> list[str]:
    """The columns that say what a cell is: model, score, scope, task, seed and the axes of the grid."""
    columns = list(frame.columns)
    return columns[columns.index("status") + 1 : columns.index(METRICS[0])]


def values_of(frame: "pd.DataFrame", column: str) -> list[Any]:
    """The column as Python values, None where nothing is."""
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
    """The rows whose labels are among those of the conditions; `where` is how they were written."""
    for column, values in conditions.items():
        frame = frame[[text(value) in values for value in values_of(frame, column)]]
    if frame.empty:
        raise fail(f"no finished cell has {' and '.join(where)}", name, "ask for fewer conditions")
    return frame


def conditions_of(
    frame: "pd.DataFrame", labels: list[str], where: Iterable[str]
) -> tuple[dict[str, set[str]], list[Problem]]:
    """The values wanted of each column, and what is wrong with the conditions."""
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
