"""The results folder of one grid: a file per finished cell, read back as one table.

DIR/<name>/grid.yaml             the grid as it was run
DIR/<name>/plan.json             the planned cells, in grid order, with their labels
DIR/<name>/cells/<id>.json       a done or failed cell, with the fingerprint of the code that trained it
DIR/<name>/alignments/<id>.npz   its test alignments
DIR/<name>/table.csv             one row per finished cell of the plan
DIR/<name>/checkpoints/<id>.npz  a pack in training, by its first cell
"""

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from attnbench.errors import AttnbenchError, fail
from attnbench.files import cause, read_file, write_atomically
from attnbench.fingerprint import Fingerprint, changed, describe_changes, stale_note
from attnbench.grid.packs import Composition
from attnbench.outcome import Alignments, Outcome
from attnbench.store.alignments import file_digest, fitting, read_alignments, write_alignments
from attnbench.store.atomic import UNREADABLE, make_writable, write_json
from attnbench.store.checkpoints import delete_checkpoints
from attnbench.store.commit import CHECKPOINTS, Unplaced, pending_packs, recover, write_together
from attnbench.store.index import CellSummary, Index
from attnbench.store.plan import PLAN, every_cell, read_plan, write_plan
from attnbench.store.record import Record, read_record, record_of
from attnbench.store.results_folder import no_such_run, run_of_grid
from attnbench.store.table import frame_of, table_text

if TYPE_CHECKING:
    import pandas as pd

    from attnbench.grid.plan import Plan, PlannedCell

MOST_BYTES = 16_000_000  # of the grid file, which --set may have made larger than the 1 MB that a user may write
MOST_NAMED = 5  # files without a digest
NOT_READ = "not read"  # the beginning of the remark on a broken file


class Store:
    """The results of one grid. They can be read while the grid is being run: cells without a file are not done.

    A cell with a truncated, missing or edited file counts as not done. After `summaries()`, `states()` or `frame()`,
    `broken` has a message per such cell, with the file and the reason, and `unsealed` the cells whose files have no
    digest. After `recover()` and `write_pack()`, `unplaced` has the packs that could not be moved to their place, and
    `cut` the cells whose alignments are too large to be stored whole.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broken: dict[str, str] = {}
        self.unsealed: list[str] = []
        self.unplaced: list[Unplaced] = []
        self.cut: list[str] = []
        self._index = Index(folder)

    @classmethod
    def open(cls, run: str, results: Path) -> "Store":
        """The store of an existing run.

        Args:
            run: the grid's name, the run's folder, or the grid file.
            results: the folder that holds all runs.

        Raises:
            AttnbenchError: if there is no such run; the message names the folder that was searched and its runs.
        """
        for folder in (results / run, Path(run)):
            if os.path.isfile(folder / PLAN):  # Path.is_file raises for a long name
                return cls(folder)
        if run.endswith((".yaml", ".yml")) and os.path.isfile(run):
            return cls(run_of_grid(Path(run), results))
        raise no_such_run(run, results)

    @property
    def name(self) -> str:
        """The grid's name, which is the name of the folder."""
        # Resolved, because the name of "." is empty.
        return self.folder.resolve().name

    def start(
        self,
        plan: "Plan",
        grid_text: str,
        packs: Sequence[Composition] = (),
        code: Mapping[str, Fingerprint] = MappingProxyType({}),
        decide: Mapping[str, Any] | None = None,
    ) -> None:
        """Creates the folders and writes the grid and the plan.

        Args:
            plan: the cells of the grid.
            grid_text: the grid file.
            packs: which cells are trained together. Earlier packs of which the grid has no cell any more are kept, for
                a grid that has them again.
            code: the fingerprint of each cell's present code, by id; tables compare it with that of the results.
            decide: what is decided; None for a grid with a fixed number of seeds.

        Raises:
            AttnbenchError: if the folder cannot be written.
        """
        for folder in (self.folder, self.folder / "cells", self.folder / "alignments", self.folder / CHECKPOINTS):
            make_writable(folder)
        self._index.save()
        now = {cell for pack in packs for cell in pack.ids}
        dropped = [composition for composition in self.packs() if not now.intersection(composition.ids)]
        write_atomically(self.folder / "grid.yaml", grid_text)
        # Last, because `open` takes a folder with a plan for a run.
        write_plan(self.folder, plan, code, [*packs, *dropped], decide)

    def packs(self) -> list[Composition]:
        """Which cells were trained together, or were planned to be; empty for a new run, or one of an older version."""
        try:
            return [Composition.read(pack) for pack in self.plan().get("packs", [])]
        except AttnbenchError:
            # There is no plan yet, or it was lost, damaged or edited; each record has its pack too.
            found = {pack["ids"][0]: pack for cell in self.states() if (pack := self.read(cell).get("pack"))}
            return [Composition.read(pack) for pack in found.values()]

    def recover(self) -> None:
        """Completes what a killed run was writing. Call it with the lock held, before anything is read."""
        self.unplaced = recover(self.folder)

    def write_pack(
        self,
        outcomes: Sequence[Outcome],
        planned: Sequence["PlannedCell"],
        code: Mapping[str, str],
        together: Composition | None = None,
        origins: Sequence[Mapping[str, str] | None] = (),
    ) -> list[str]:
        """Writes the cells of a pack, done or failed: all of them, or none if the process is killed.

        Args:
            outcomes: the results of training.
            planned: the cells, in the same order.
            code: the fingerprint of the code that trained them.
            together: all cells that were trained together; default: these.
            origins: where the cells were copied from, in the same order; none for cells that this run has trained.

        Returns:
            The digest of each cell's file.

        Raises:
            AttnbenchError: if the files cannot be written.
        """
        records: list[Record] = []
        sources = origins or [None] * len(outcomes)
        pack = together or Composition(tuple(o.cell for o in outcomes), tuple(o.seed for o in outcomes))

        def fill(folder: Path) -> None:
            for outcome, cell, origin in zip(outcomes, planned, sources, strict=True):
                arrays = folder / f"{outcome.cell}.npz"
                alignments = outcome.alignments and fitting(outcome.alignments)
                if alignments is not outcome.alignments:
                    self.cut.append(outcome.cell)
                if alignments is not None:
                    write_alignments(arrays, alignments)
                # Part of the record, so that a scan detects a lost or changed alignments file.
                digest = None if alignments is None else file_digest(arrays)
                records.append(record_of(outcome, cell, code, digest, pack, origin))
                write_json(folder / f"{outcome.cell}.json", records[-1])

        unplaced = write_together(self.folder, outcomes[0].cell, fill)
        delete_checkpoints(self.folder, pack.ids[:1])
        if unplaced is not None:
            self.unplaced.append(unplaced)
        else:
            for record in records:
                if record["alignments"] is None:  # delete those of an earlier training
                    with suppress(OSError):
                        self._arrays(record["cell"]).unlink(missing_ok=True)
            self._index.add(records)
        return [record["digest"] for record in records]

    def states(self) -> dict[str, str]:
        """`done` or `failed` for every cell that has valid files, also for cells that the plan no longer has."""
        return {cell: summary.status for cell, summary in self.summaries()}

    def summaries(self) -> Iterator[tuple[str, CellSummary]]:
        """Yields (id, summary) of every cell that has valid files: all of a large grid would not fit into memory."""
        self.broken, self.unsealed = {}, []
        for cell, found in self._index.scan():
            if isinstance(found, str):
                self.broken[cell] = found
                continue
            if not found.digest:
                self.unsealed.append(cell)
            yield cell, found

    def read(self, cell: str) -> dict[str, Any]:
        """The content of one cell's file.

        Raises:
            AttnbenchError: if the cell is not finished, or its file cannot be read.
        """
        file = self._file(cell)
        try:
            return read_record(file)
        except FileNotFoundError:
            hint = "attnbench run trains the missing cells"
            raise fail(f"the cell {cell} is not finished", self.name, hint) from None
        except UNREADABLE as error:
            raise fail(f"cannot be read: {cause(error)}", str(file), "delete it and run the grid again") from error

    def has(self, cell: str) -> bool:
        """Whether there is a file of this cell, valid or not."""
        return os.path.isfile(self._file(cell))

    def outcome(self, cell: str) -> Outcome:
        """The result of training one cell.

        Raises:
            AttnbenchError: if the cell is not finished, or one of its files cannot be read.
        """
        record = self.read(cell)
        kept = {name: record[name] for name in ("cell", "status", "metrics", "history", "error", "versions", "facts")}
        return Outcome(**kept, seed=record["labels"]["seed"], alignments=self.alignments(cell))

    def alignments(self, cell: str) -> Alignments | None:
        """The alignments of one cell; None if it has none.

        Raises:
            AttnbenchError: if the cell is not finished, or one of its files cannot be read or was changed.
        """
        record = self.read(cell)
        digest = record.get("alignments")
        # An early version did not record the digest. A file beside a record without alignments is of another training.
        if digest is None and ("alignments" in record or not os.path.exists(self._arrays(cell))):
            return None
        return read_alignments(self._arrays(cell), digest)

    def find(self, prefix: str) -> str:
        """The id of the only cell, finished or planned, that begins with this prefix.

        Raises:
            AttnbenchError: if there is no such cell, or several.
        """
        # A dict keeps the order of the plan and removes duplicates.
        known = dict.fromkeys([*(cell["id"] for cell in every_cell(self.plan())), *self.states()])
        found = [cell for cell in known if cell.startswith(prefix)]
        if not found:
            raise fail(f"no cell begins with {prefix!r}", self.name, "the ids are the first column of table.csv")
        if len(found) > 1 and prefix not in found:
            some = ", ".join(found[:5]) + (", …" if len(found) > 5 else "")
            raise fail(f"{len(found)} cells begin with {prefix!r}: {some}", self.name, "give more characters of the id")
        return prefix if prefix in found else found[0]

    def grid_text(self) -> str:
        """The grid file as it was run.

        Raises:
            AttnbenchError: if it cannot be read.
        """
        file = self.folder / "grid.yaml"
        try:
            return read_file(file, MOST_BYTES).decode("utf-8")
        except UNREADABLE as error:
            hint = "run the grid again: what is done is kept"
            raise fail(f"cannot be read: {cause(error)}", str(file), hint) from error

    def plan(self) -> dict[str, Any]:
        """The content of plan.json: `axes`, `cells` (id and labels, in grid order) and `skipped` (labels and reason).

        Raises:
            AttnbenchError: if plan.json is missing or invalid.
        """
        return read_plan(self.folder)

    def frame(self) -> "pd.DataFrame":
        """The rows of table.csv: the finished cells of the plan, in its order.

        Columns: those of table.csv, then every other `<metric>@<length>`. Metrics are float64, or Int64 if they are
        whole numbers; missing if they have no meaning for the cell.
        """
        return frame_of(self.plan(), self.summaries())

    def write_table(self) -> "pd.DataFrame":
        """Writes table.csv, with the same bytes for the same results, and returns the frame with all columns."""
        frame = self.frame()
        # The metrics per length other than exact match come after `error`, and are not part of the file.
        table = frame.loc[:, : frame.columns[list(frame.columns).index("error")]]
        write_atomically(self.folder / "table.csv", table_text(table))
        return frame

    def stale(self) -> dict[str, str]:
        """The finished cells whose code was another one at the last run of the grid: the changed files, by id.

        They include those of tuning.
        """
        plan = self.plan()
        codes: dict[str, Fingerprint] = plan.get("code", {})  # earlier versions did not write it
        planned = {cell["id"]: codes[cell["code"]] for cell in every_cell(plan) if cell.get("code") in codes}
        found = {
            cell: describe_changes(changed(summary.code, planned[cell]))
            for cell, summary in self.summaries()
            if cell in planned
        }
        return {cell: reason for cell, reason in found.items() if reason}

    def notes(self) -> list[str]:
        """Remarks on what a table does not show: unfinished and stale cells, skipped combinations, unreadable files."""
        plan, states = self.plan(), self.states()
        cells = [cell["id"] for cell in plan["cells"]]
        waiting = sum(cell not in states for cell in cells)
        notes = [f"{waiting} of {len(cells)} cells are not finished"] if waiting else []
        tuning = [cell["id"] for cell in plan.get("tuning", [])]
        if untuned := sum(cell not in states for cell in tuning):
            follow = f"{plan.get('waiting', 0)} reported cells follow"
            notes.append(f"tuning is not finished: {untuned} of its {len(tuning)} cells are missing; {follow}")
        notes += self._stale_notes(tuning)
        if skipped := len(plan["skipped"]):
            notes.append(f"{skipped} combination{'s' * (skipped > 1)} skipped: attnbench expand lists the reasons")
        if packs := pending_packs(self.folder):
            notes.append(f"a run was killed while saving {packs} pack{'s' * (packs > 1)}: attnbench run completes this")
        return notes + self.doubts()

    def _stale_notes(self, tuning: Collection[str]) -> list[str]:
        """A remark per change of code: on the reported cells, then on those of tuning."""
        stale, of_tuning = self.stale(), frozenset(tuning)
        reported = Counter(reason for cell, reason in stale.items() if cell not in of_tuning)
        tuned = Counter(reason for cell, reason in stale.items() if cell in of_tuning)
        return [
            *(stale_note(number, reason) for reason, number in reported.items()),
            *(stale_note(number, reason, "tuning cell") for reason, number in tuned.items()),
        ]

    def doubts(self, cells: Iterable[str] | None = None) -> list[str]:
        """Remarks on the files that the last `summaries()`, `states()` or `frame()` could not read or vouch for.

        Args:
            cells: the ids of the cells that matter; default: those of the plan, with those of tuning.
        """
        wanted = list(cells) if cells is not None else [cell["id"] for cell in every_cell(self.plan())]
        remarks = [f"{NOT_READ}: {self.broken[cell]}" for cell in wanted if cell in self.broken]
        if unsealed := sorted(set(self.unsealed) & set(wanted)):
            files = ", ".join(f"{cell}.json" for cell in unsealed[:MOST_NAMED])
            more = f" and {len(unsealed) - MOST_NAMED} more" if len(unsealed) > MOST_NAMED else ""
            remarks.append(
                f"{len(unsealed)} cell{'s' * (len(unsealed) > 1)} cannot be vouched for, because a file without a "
                f"digest may have been edited: {files}{more}"
            )
        return remarks

    def _file(self, cell: str) -> Path:
        return self.folder / "cells" / f"{cell}.json"

    def _arrays(self, cell: str) -> Path:
        return self.folder / "alignments" / f"{cell}.npz"
