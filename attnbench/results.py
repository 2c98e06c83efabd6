"""Runs read back in Python: `attnbench.load` gives a run whose tables, statistics and report are methods."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from attnbench.analysis.stats import Statistic
from attnbench.errors import AttnbenchError, did_you_mean, fail
from attnbench.outcome import Alignments
from attnbench.store.results_folder import results_folder
from attnbench.store.store import Store

if TYPE_CHECKING:
    import pandas as pd


def load(run: str | Path, results: str | Path | None = None) -> "Run":
    """Opens a run; it trains nothing.

    Args:
        run: the name of a grid in `results`, the folder of a run, or its grid file.
        results: the folder that holds all runs; default: the environment variable ATTNBENCH_RESULTS, or else "results".

    Raises:
        AttnbenchError: if there is no such run, with the nearest name that exists.
    """
    return Run(Store.open(str(run), results_folder(results)))


@dataclass(frozen=True)
class Table:
    """A table for people and for programs: `print` shows it as text, a notebook as HTML.

    Attributes:
        frame: its numbers in full precision; the columns are those of the command's `--format csv`.
        text: the table with title and caption, in Markdown.
        html: the same as a <table> element.
    """

    frame: "pd.DataFrame"
    text: str
    html: str

    def __str__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self.html


class Run:
    """The results of one grid, as they were when they were first read; call `load` again to see newer ones."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def name(self) -> str:
        """The name of the grid."""
        return self._store.name

    @property
    def folder(self) -> Path:
        """The folder of the run."""
        return self._store.folder

    @cached_property
    def frame(self) -> "pd.DataFrame":
        """The rows of table.csv: the finished and failed cells of the grid, in its order.

        Raises:
            AttnbenchError: if the plan of the run cannot be read.
        """
        return self._store.frame()

    @cached_property
    def notes(self) -> list[str]:
        """What the tables do not show: unfinished cells, skipped combinations, unreadable files."""
        from attnbench.analysis.notes import notes_of

        return notes_of(self._store)

    def table(
        self,
        rows: str | None = None,
        columns: str = "task",
        metric: str = "exact_match",
        where: str | Iterable[str] = (),
        statistic: Statistic = "mean",
        with_stale: bool = False,
        cost: bool = False,
    ) -> Table:
        """The comparison table, as `attnbench table` prints it.

        Args:
            rows, columns: label columns of the frame, or "length"; default of rows: score, or model where the run has
                several.
            metric: a column of the frame.
            where: one or several conditions such as "scope=global".
            statistic: mean, iqm or median.
            with_stale: show stale cells, whose code had changed at the last run, in rows of their own.
            cost: show parameters, floating-point operations of a training step, and seconds per cell as well.

        Raises:
            AttnbenchError: if a name is unknown, or no cell is finished.
        """
        import pandas as pd

        from attnbench.analysis.notes import seeds_are_fixed
        from attnbench.analysis.table import formats
        from attnbench.analysis.table.comparison import comparison
        from attnbench.analysis.table.lengths import LENGTH, trained_lengths
        from attnbench.analysis.table.stale import with_code_column

        if statistic not in get_args(Statistic):
            hint = did_you_mean(str(statistic), get_args(Statistic))
            raise fail(f"there is no statistic {statistic!r}", "statistic", hint)
        frame = with_code_column(self.frame, self._store.stale()) if with_stale else self.frame
        trained = trained_lengths(self._store, self.frame["cell"]) if LENGTH in (rows, columns) else None
        conditions = _conditions(where)
        tested = seeds_are_fixed(self._store)
        found = comparison(
            frame, rows, columns, metric, conditions, self.name, self.notes, statistic, trained, tested, cost
        )
        return Table(pd.DataFrame(formats.records(found)), formats.to_markdown(found), formats.to_html(found))

    def compare(
        self,
        axis: str = "score",
        against: str | None = None,
        metric: str = "exact_match",
        where: str | Iterable[str] = (),
        margin: float | None = None,
    ) -> Table:
        """The values of an axis compared with one of them over paired seeds, as `attnbench compare` prints it.

        Args:
            axis: a label column of the frame.
            against: the value that the others are compared with; default: the best.
            metric: a column of the frame that has a better direction.
            where: one or several conditions such as "task=copy".
            margin: differences smaller than this are equivalent; default: .02 for accuracies and loss, 2 for bleu.

        Raises:
            AttnbenchError: if a name is unknown, or no two values share a setting and a seed.
        """
        import pandas as pd

        from attnbench.analysis.compare import formats
        from attnbench.analysis.compare.contrast import contrast
        from attnbench.analysis.labels import filtered

        conditions = _conditions(where)
        frame = filtered(self.frame, conditions, self.name) if conditions else self.frame
        found = contrast(frame, axis, against, metric, self.name, self.notes, margin)
        return Table(pd.DataFrame(formats.records(found)), formats.to_markdown(found), formats.to_html(found))

    def verify(self) -> Table:
        """The verdicts on the claims of the grid, a row per part, as `attnbench verify` prints them.

        Raises:
            AttnbenchError: if the grid has no claims, or cells that they are about are missing.
        """
        import pandas as pd

        from attnbench.analysis.claims import formats
        from attnbench.analysis.claims.results import results_of_run
        from attnbench.analysis.claims.verification import verify

        found = [verify(results_of_run(self._store))]
        return Table(pd.DataFrame(formats.part_records(found)), formats.to_markdown(found), formats.to_html(found))

    def report(self) -> str:
        """The report as one HTML page, as `attnbench report` writes it.

        Raises:
            AttnbenchError: if no cell is finished.
        """
        from attnbench.analysis.report.page import report

        return report(self._store)

    def alignments(self, cell: str) -> Alignments | None:
        """The attention weights of a cell on some test sentences or images; None where it has none.

        Args:
            cell: an id of the frame's column `cell`, or its beginning.

        Raises:
            AttnbenchError: if there is no such cell, or its file cannot be read.
        """
        return self._store.alignments(self._store.find(cell))

    def __repr__(self) -> str:
        try:
            counts, notes = self.frame["status"].value_counts().to_dict(), self.notes
        except AttnbenchError as error:  # a debugger or a notebook shows the run, whatever is wrong with its files
            return f"<attnbench run {self.name!r}: {error}>"
        cells = ", ".join(f"{count} {status}" for status, count in counts.items()) or "no cell finished"
        return "\n".join([f"<attnbench run {self.name!r}: {cells}>", *notes])

    def _repr_html_(self) -> str:
        from html import escape

        try:
            return self.table().html
        except AttnbenchError as error:  # no cell is finished, which is no reason to fail in a notebook
            return f"<pre>{escape(str(error))}</pre>"


def _conditions(where: str | Iterable[str]) -> tuple[str, ...]:
    # A single condition is a str, which is also an iterable of its letters.
    return (where,) if isinstance(where, str) else tuple(where)
