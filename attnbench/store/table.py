"""The rows of table.csv as a DataFrame, from a plan and the summaries of its cells."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attnbench.cell import LABELS
from attnbench.escapes import spreadsheet
from attnbench.metrics import METRICS, metric_of
from attnbench.store.index import CellSummary

if TYPE_CHECKING:
    import pandas as pd

_NAMES = tuple(METRICS)
_AT_LENGTH = re.compile(rf"({'|'.join(_NAMES)})@(\d+)")


def frame_of(plan: Mapping[str, Any], summaries: Mapping[str, CellSummary]) -> "pd.DataFrame":
    """The finished cells of a plan, in its order.

    Args:
        plan: the content of plan.json, as returned by `Store.plan`.
        summaries: the finished cells, by id.
    """
    import pandas as pd

    cells = [cell for cell in plan["cells"] if cell["id"] in summaries]
    finished = [summaries[cell["id"]] for cell in cells]
    by_length, others = _length_columns(finished)
    columns: dict[str, Any] = {
        "cell": _label_column([cell["id"] for cell in cells]),
        "status": _label_column([summary.status for summary in finished]),
    }
    for name in (*LABELS, *plan["axes"]):
        columns[name] = _label_column([cell["labels"][name] for cell in cells])
    for name in (*METRICS, *by_length):
        columns[name] = pd.Series([summary.metrics.get(name) for summary in finished], dtype=_dtype(name))
    columns["error"] = pd.Series([summary.error for summary in finished], dtype="object")
    # Not in table.csv. Cells that were trained together have one measurement of their time.
    packs = {cell: pack["ids"][0] for pack in plan.get("packs", []) for cell in pack["ids"]}
    columns["pack"] = pd.Series([packs.get(cell["id"]) for cell in cells], dtype="object")
    # Not in table.csv: how many sentences a test set has decides which differences can be seen.
    columns["test_examples"] = pd.Series([summary.test_examples for summary in finished], dtype="Int64")
    for name in others:
        columns[name] = pd.Series([summary.metrics.get(name) for summary in finished], dtype=_dtype(name))
    return pd.DataFrame(columns)


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


def _dtype(column: str) -> str:
    return "Int64" if metric_of(column).whole else "float64"


def _length_columns(summaries: list[CellSummary]) -> tuple[list[str], list[str]]:
    """The `exact_match@N` columns in the order of N, and those of the other metrics, in the order of METRICS."""
    names = {name for summary in summaries for name in summary.metrics}
    # A failed cell has no metrics, but its test lengths have columns too: they must not depend on what failed.
    names |= {f"exact_match@{length}" for summary in summaries for length in summary.test_lengths}
    keys = sorted((_NAMES.index(match[1]), int(match[2])) for n in names if (match := _AT_LENGTH.fullmatch(n)))
    columns = [f"{_NAMES[metric]}@{length}" for metric, length in keys]
    first = [name for name in columns if name.startswith("exact_match@")]
    return first, columns[len(first) :]
