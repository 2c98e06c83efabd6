"""The data of a report, read once: decides which cells are in which row and column of every table and chart."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from attnbench.analysis.labels import Label
from attnbench.analysis.notes import seeds_are_fixed
from attnbench.analysis.report.filters import Filters, filters_of
from attnbench.analysis.table.comparison import Comparison, Key, RowLabels, comparison
from attnbench.metrics import METRICS

if TYPE_CHECKING:
    import pandas as pd

    from attnbench.store.store import Store

# The metric that comes first and decides rows and columns. Token accuracy may be high by guessing from the position.
LEAD = "exact_match"


@dataclass(frozen=True)
class ReportData:
    """The data of one run.

    Attributes:
        store: the run's store.
        frame: the rows of table.csv.
        layout: the comparison of exact match; every table and chart has its rows and columns.
        records: the content of each finished cell's file, by the cell's id, in the plan's order.
        groups: by row and column, the ids of the finished cells, in the order of their seeds.
    """

    store: "Store"
    frame: "pd.DataFrame"
    layout: Comparison
    records: dict[str, dict[str, Any]]
    groups: dict[Key, list[str]]

    @cached_property
    def metrics(self) -> list[str]:
        """The metrics with a value in any cell; exact match is always first, exact match by length last."""
        at_length = [name for name in self.frame.columns if name.startswith(f"{LEAD}@")]
        return [name for name in (*METRICS, *at_length) if name == LEAD or self.frame[name].notna().any()]

    @cached_property
    def lengths(self) -> list[int]:
        """The source lengths that were tested separately."""
        return [int(name.split("@")[1]) for name in self.metrics if "@" in name]

    @cached_property
    def comparisons(self) -> dict[str, Comparison]:
        """The comparison of every metric, all with the same rows and columns."""
        tested = seeds_are_fixed(self.store)
        others = {
            name: comparison(self.frame, metric=name, name=self.store.name, tested=tested) for name in self.metrics[1:]
        }
        return {LEAD: self.layout, **others}

    @cached_property
    def filters(self) -> Filters:
        """The axes by whose values parts of the page can be hidden."""
        return filters_of(self.labels(row, head) for row, head in self.layout.cells)

    def labels(self, row: RowLabels, *head: Label) -> dict[str, Label]:
        """The labels of a row, and of a column if given, by axis."""
        return dict(zip((*self.layout.index, self.layout.columns), (*row, *head), strict=False))

    def of_row(self, row: RowLabels) -> str | None:
        """What a row shows, for the filters."""
        return self.filters.of(self.labels(row))

    def of_column(self, head: Label) -> str | None:
        """What a column shows, for the filters."""
        return self.filters.of({self.layout.columns: head})

    def done(self, key: Key) -> list[dict[str, Any]]:
        """The records of the done cells of a row and column, in the order of their seeds."""
        records = (self.records[cell] for cell in self.groups.get(key, ()))
        return [record for record in records if record["status"] == "done"]


def read(store: "Store") -> ReportData:
    """Reads a run's results.

    Raises:
        AttnbenchError: if no cell is finished, or the plan cannot be read.
    """
    frame = store.frame()
    layout = comparison(frame, name=store.name, tested=seeds_are_fixed(store))
    records = {cell: store.read(cell) for cell in frame["cell"]}
    labels = {cell["id"]: cell["labels"] for cell in store.plan()["cells"]}
    groups: dict[Key, list[str]] = {}
    # By seed, so that the panels of all cells show the same seed where they can.
    for cell in sorted(records, key=lambda cell: labels[cell]["seed"]):
        row = tuple(labels[cell][axis] for axis in layout.index)
        groups.setdefault((row, labels[cell][layout.columns]), []).append(cell)
    return ReportData(store, frame, layout, records, groups)


def short_names(index: Sequence[str]) -> str:
    """The names of the axes on one line, each by the last part of its dotted path."""
    return " · ".join(axis.rpartition(".")[2] for axis in index)
