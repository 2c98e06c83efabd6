"""What a run holds, read once: its table, the records behind it, and who stands in which row and column."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from attnbench.analysis.labels import Label, text
from attnbench.analysis.table.comparison import Comparison, Key, RowLabels, comparison
from attnbench.cell import KINDS
from attnbench.messages import NO_VALUE
from attnbench.metrics import METRICS

if TYPE_CHECKING:
    import pandas as pd

    from attnbench.store.store import Store

LEAD = "exact_match"  # the metric that comes first, and decides rows and columns


@dataclass(frozen=True)
class ReportData:
    """A run as the report sees it.

    Attributes:
        store: of the run.
        frame: the rows of table.csv.
        layout: the comparison of exact match: its rows and columns are those of every table and picture.
        records: the content of each finished cell's file, by its id, in the plan's order.
        groups: the ids of the finished cells, one per seed, by row and column.
    """

    store: "Store"
    frame: "pd.DataFrame"
    layout: Comparison
    records: dict[str, dict[str, Any]]
    groups: dict[Key, list[str]]

    @cached_property
    def metrics(self) -> list[str]:
        """The metrics that any cell has a value of, exact match first and always, exact match per length last."""
        at_length = [name for name in self.frame.columns if name.startswith(f"{LEAD}@")]
        return [name for name in (*METRICS, *at_length) if name == LEAD or self.frame[name].notna().any()]

    @cached_property
    def lengths(self) -> list[int]:
        """The source lengths that were tested each by itself."""
        return [int(name.split("@")[1]) for name in self.metrics if "@" in name]

    @cached_property
    def comparisons(self) -> dict[str, Comparison]:
        """The comparison of every metric, each of the same rows and columns."""
        others = {name: comparison(self.frame, metric=name, name=self.store.name) for name in self.metrics[1:]}
        return {LEAD: self.layout, **others}

    def done(self, key: Key) -> list[dict[str, Any]]:
        """The records of a row and column that are done, in the order of their seeds."""
        records = (self.records[cell] for cell in self.groups.get(key, ()))
        return [record for record in records if record["status"] == "done"]


def read(store: "Store") -> ReportData:
    """Reads a run.

    Raises:
        AttnbenchError: when no cell is finished, or the plan cannot be read.
    """
    frame = store.frame()
    layout = comparison(frame, name=store.name)
    records = {cell: store.read(cell) for cell in frame["cell"]}
    labels = {cell["id"]: cell["labels"] for cell in store.plan()["cells"]}
    groups: dict[Key, list[str]] = {}
    for cell in sorted(records, key=lambda cell: labels[cell]["seed"]):
        row = tuple(labels[cell][axis] for axis in layout.index)
        groups.setdefault((row, labels[cell][layout.columns]), []).append(cell)
    return ReportData(store, frame, layout, records, groups)


def row_label(index: Sequence[str], row: RowLabels) -> str:
    """A row in one line: "transformer · cosine · self · heads 4"; what does not apply is left out."""
    words = [_word(axis, label) for axis, label in zip(index, row, strict=True) if text(label) != NO_VALUE]
    return " · ".join(words) or NO_VALUE


def short_names(index: Sequence[str]) -> str:
    """The axes in one line, each by the last part of its path."""
    return " · ".join(axis.rpartition(".")[2] for axis in index)


def _word(axis: str, label: Label) -> str:
    return text(label) if axis in KINDS else f"{axis.rpartition('.')[2]} {text(label)}"
