"""The rows of table.csv as a DataFrame, from a plan and the summaries of its cells."""

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from attnbench.cell import LABELS
from attnbench.escapes import spreadsheet
from attnbench.metrics import METRICS, metric_of
from attnbench.store.index import CellSummary

if TYPE_CHECKING:
    import pandas as pd

_NAMES = tuple(METRICS)
_AT_LENGTH = re.compile(rf"({'|'.join(_NAMES)})@(\d+)")


def frame_of(plan: Mapping[str, Any], summaries: Iterable[tuple[str, CellSummary]]) -> "pd.DataFrame":
    """The finished cells of a plan, in its order.

    Args:
        plan: the content of plan.json, as returned by `Store.plan`.
        summaries: the finished cells with their ids; others than those of the plan are ignored.
    """
    import pandas as pd

    planned = plan["cells"]
    found = _Columns(len(planned))
    rows = {cell["id"]: row for row, cell in enumerate(planned)}
    for id_, summary in summaries:
        if (row := rows.get(id_)) is not None:
            found.add(row, summary)
    finished = [row for row, status in enumerate(found.status) if status]
    cells = [planned[row] for row in finished]
    columns: dict[str, Any] = {
        "cell": _label_column([cell["id"] for cell in cells]),
        "status": _label_column([found.status[row] for row in finished]),
    }
    for name in (*LABELS, *plan["axes"]):
        columns[name] = _label_column([cell["labels"][name] for cell in cells])
    by_length, others = _length_columns(found.names)
    for name in (*METRICS, *by_length):
        columns[name] = found.metric(name, finished)
    columns["error"] = pd.Series([found.error[row] for row in finished], dtype="object")
    # Not in table.csv. Cells that were trained together have one measurement of their time.
    packs = {cell: pack["ids"][0] for pack in plan.get("packs", []) for cell in pack["ids"]}
    columns["pack"] = pd.Series([packs.get(cell["id"]) for cell in cells], dtype="object")
    # Not in table.csv: how many sentences a test set has decides which differences can be seen.
    columns["test_examples"] = pd.Series([found.test_examples[row] for row in finished], dtype="Int64")
    for name in others:
        columns[name] = found.metric(name, finished)
    return pd.DataFrame(columns)


class _Columns:
    """What the summaries of the cells hold, in columns: the summaries of all cells of a large plan take gigabytes."""

    def __init__(self, rows: int) -> None:
        self.status: list[str | None] = [None] * rows
        self.error: list[str | None] = [None] * rows
        self.test_examples: list[int | None] = [None] * rows
        self.names: set[str] = set()  # of the metrics, and of the columns that the test lengths have
        self._metrics: dict[str, np.ndarray] = {}

    def add(self, row: int, summary: CellSummary) -> None:
        self.status[row], self.error[row] = summary.status, summary.error
        self.test_examples[row] = summary.test_examples
        self.names.update(summary.metrics)
        # A failed cell has no metrics, but its test lengths have columns too: they must not depend on what failed.
        self.names.update(f"exact_match@{length}" for length in summary.test_lengths)
        for name, value in summary.metrics.items():
            if value is not None:
                if name not in self._metrics:
                    self._metrics[name] = np.full(len(self.status), np.nan)
                self._metrics[name][row] = value

    def metric(self, name: str, rows: list[int]) -> "pd.Series[Any]":
        """A metric of some rows; missing where a cell does not have it."""
        import pandas as pd

        values = self._metrics[name][rows] if name in self._metrics else np.full(len(rows), np.nan)
        # A float holds the whole numbers that a record may have, which are up to 2**53.
        return pd.Series(values).astype("Int64" if metric_of(name).whole else "float64")


def table_text(frame: "pd.DataFrame") -> str:
    """The rows as the text of a CSV file; text that a spreadsheet would take for a formula is quoted."""
    import pandas as pd
    from pandas.api.types import is_numeric_dtype

    columns = [name for name in frame.columns if not is_numeric_dtype(frame[name])]
    # As objects: pandas would turn 1 beside 2.5 into 1.0.
    quoted = {name: pd.Series(list(map(spreadsheet, frame[name])), frame.index, dtype=object) for name in columns}
    return frame.assign(**quoted).to_csv(index=False, lineterminator="\n")


def _label_column(values: list[Any]) -> "pd.Series[Any]":
    """A column of labels. pandas may only infer a dtype if all have one type: it would turn 1 beside 2.5 into 1.0."""
    import pandas as pd

    column = pd.Series(values, dtype=object)
    return column.infer_objects() if len(set(map(type, values))) == 1 else column


def _length_columns(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """The `exact_match@N` columns in the order of N, and those of the other metrics, in the order of METRICS."""
    keys = sorted((_NAMES.index(match[1]), int(match[2])) for n in names if (match := _AT_LENGTH.fullmatch(n)))
    columns = [f"{_NAMES[metric]}@{length}" for metric, length in keys]
    first = [name for name in columns if name.startswith("exact_match@")]
    return first, columns[len(first) :]
