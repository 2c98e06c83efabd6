"""The labels of a run's cells, and the selection of cells by conditions on them."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attnbench.cell import KINDS
from attnbench.errors import AttnbenchError, Problem, did_you_mean, fail
from attnbench.messages import NO_VALUE
from attnbench.metrics import METRICS

if TYPE_CHECKING:
    import pandas as pd

KIND = "model.kind"
NONE = "none"  # how a user writes the label that is shown as a dash
Label = str | int | float | bool | None


def text(label: Any) -> str:
    """A label as it is written in the grid file; a dash for None."""
    if label is None:
        return NO_VALUE
    return str(label).lower() if isinstance(label, bool) else str(label)


def row_label(index: Iterable[str], row: Iterable[Label], between: str = " · ") -> str:
    """A row's labels on one line: "transformer · cosine · self · heads 4"; labels without a value are left out."""
    parts = [_with_axis(axis, label) for axis, label in zip(index, row, strict=True) if text(label) != NO_VALUE]
    return between.join(parts) or NO_VALUE


def _with_axis(axis: str, label: Label) -> str:
    """A label, after the name of its axis where the label does not explain itself: "dot", but "heads 4"."""
    return text(label) if axis in KINDS else f"{axis.rpartition('.')[2]} {text(label)}"


def listed(labels: Sequence[Label]) -> str:
    """ "a", "a and b", "a, b and c"."""
    names = [text(label) for label in labels]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def varying(rows: Sequence[Mapping[str, Label]], apart: Collection[str] = ()) -> list[str]:
    """The axes by which combinations are distinguished; the score if nothing varies.

    Args:
        rows: the labels of each combination, by axis.
        apart: axes that are named elsewhere.
    """
    axes = [axis for axis in rows[0] if axis not in ("seed", KIND, *apart)]  # the column model has the kind
    return [axis for axis in axes if len({row[axis] for row in rows}) > 1] or ["score"]


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
        column, equals, value = (part.strip() for part in condition.partition("="))
        if not equals:
            hint = "write it as column=value, e.g. scope=global"
            problems.append(Problem(f"{condition!r} is not a condition", "--where", hint))
        elif column not in labels:
            problems.append(Problem(f"there is no column {column!r}", "--where", did_you_mean(column, labels)))
        elif not (accepted := labels_written(value, known := values_of(frame, column))):
            problems.append(Problem(f"no finished cell has {condition}", "--where", label_hint(value, known)))
        else:
            conditions.setdefault(column, set()).update(map(text, accepted))
    return conditions, problems


def labels_written(value: str, labels: Iterable[Label]) -> list[Label]:
    """The labels that a user means by a value: those that are written so; else numbers that are equal, such as 1 and
    1.0, or what is shown as a dash, for `none` or `null`.
    """
    # By type as well, because True equals 1.
    labels = list({(type(label), label): label for label in labels}.values())
    return [label for label in labels if text(label) == value] or [label for label in labels if _equal(value, label)]


def label_hint(value: str, labels: Iterable[Label]) -> str:
    """The nearest label, or all of them; those that are shown as a dash as `none`, which can be typed."""
    return did_you_mean(value, {NONE if label in (None, NO_VALUE) else text(label) for label in labels})


def _equal(value: str, label: Label) -> bool:
    if label in (None, NO_VALUE):
        return value.lower() in (NONE, "null", "-")
    if isinstance(label, bool | str) or label is None:
        return False
    try:
        return float(value) == label
    except ValueError:
        return False


def nothing_done(frame: "pd.DataFrame", name: str, metric: str = "") -> AttnbenchError:
    """The error where no cell is done, or none has the metric: it says whether they failed, and why."""
    failed = frame[frame["status"] == "failed"]
    if len(failed) and len(failed) == len(frame):
        reason = Counter(failed["error"]).most_common(1)[0][0]
        hint = "correct the cause, then train them again: attnbench run GRID.yaml --retry-failed"
        return fail(f"all {len(failed)} finished cells failed: {reason}", name, hint)
    if len(frame) and metric:
        return fail(f"no cell is done and has {metric}", name, "choose another metric, or other cells with --where")
    return fail("no cell is finished yet", name, "attnbench run trains the missing cells")
