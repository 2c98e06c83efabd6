"""The results folder of one grid: one file per finished cell, read back as a tidy table.

DIR/<name>/grid.yaml             the grid as it was run
DIR/<name>/plan.json             the cells it asks for, in grid order, with their labels
DIR/<name>/cells/<id>.json       a cell that is done or failed, with the code that trained it
DIR/<name>/alignments/<id>.npz   its test alignments
DIR/<name>/table.csv             one row per finished cell of the plan
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnbench.errors import did_you_mean, fail
from attnbench.outcome import Alignments, Outcome
from attnbench.store.atomic import (
    UNREADABLE,
    check_seal,
    make_writable,
    read_alignments,
    sealed,
    write_alignments,
    write_atomically,
    write_json,
)
from attnbench.store.commit import pending_packs, recover, write_together
from attnbench.store.index import CellSummary, Index
from attnbench.store.record import Record, file_digest, read_record, record_of
from attnbench.store.table import LABELS, frame_of

if TYPE_CHECKING:
    import pandas as pd

    from attnbench.grid.expand import Plan, PlannedCell


class Store:
    """The results of one grid. Reading needs no run to be over: what is not there yet is not done.

    A cell one of whose files is cut short, gone or edited by hand counts as not done; `broken` has, by cell, the file
    and the reason, after every `summaries()`, `states()` and `frame()`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broken: dict[str, str] = {}
        self._index = Index(folder)

    @classmethod
    def open(cls, run: str, results: Path) -> "Store":
        """The store of a run, given by its grid's name or by its folder.

        Raises:
            AttnbenchError: when there is no such run, with the nearest that there is.
        """
        for folder in (results / run, Path(run)):
            if (folder / "plan.json").is_file():
                return cls(folder)
        runs = [file.parent.name for file in results.glob("*/plan.json")]
        hint = did_you_mean(run, runs) if runs else "train one first: attnbench run GRID.yaml"
        raise fail(f"there is no run {run!r}", str(results), hint)

    @property
    def name(self) -> str:
        """The grid's name, which is the folder's."""
        return self.folder.resolve().name

    def start(self, plan: "Plan", grid_text: str) -> None:
        """Makes the folders and writes what is about to be run.

        Raises:
            AttnbenchError: when the folder cannot be written.
        """
        for folder in (self.folder, self.folder / "cells", self.folder / "alignments"):
            make_writable(folder)
        self._index.save()
        content = {
            "name": plan.name,
            "axes": list(plan.axes),
            "cells": [{"id": planned.id, "labels": planned.labels} for planned in plan.cells],
            "skipped": [{"labels": skipped.labels, "reason": skipped.reason} for skipped in plan.skipped],
        }
        write_atomically(self.folder / "grid.yaml", grid_text)
        write_json(self.folder / "plan.json", sealed(content))

    def recover(self) -> None:
        """Makes whole what a run that was killed was writing. For who holds the lock, before anything is read.

        Raises:
            AttnbenchError: when the folder cannot be written.
        """
        recover(self.folder)

    def write_pack(
        self, outcomes: Sequence[Outcome], planned: Sequence["PlannedCell"], code: Mapping[str, str]
    ) -> list[str]:
        """Keeps finished or failed cells that were trained together: all of them, or none if the run is killed.

        Args:
            outcomes: what training gave.
            planned: the cells, in the same order.
            code: the fingerprint of the code that trained them.

        Returns:
            The digest of each cell's file.

        Raises:
            AttnbenchError: when the disk refuses.
        """
        records: list[Record] = []

        def fill(folder: Path) -> None:
            for outcome, cell in zip(outcomes, planned, strict=True):
                arrays = folder / f"{outcome.cell}.npz"
                if outcome.alignments is not None:
                    write_alignments(arrays, outcome.alignments)
                digest = None if outcome.alignments is None else file_digest(arrays)
                records.append(record_of(outcome, cell, code, digest))
                write_json(folder / f"{outcome.cell}.json", records[-1])

        write_together(self.folder, outcomes[0].cell, fill)
        for record in records:
            if record["alignments"] is None:  # what an earlier training left
                with suppress(OSError):
                    self._arrays(record["cell"]).unlink(missing_ok=True)
        self._index.add(records)
        return [record["digest"] for record in records]

    def states(self) -> dict[str, str]:
        """`done` or `failed` for every cell that has sound files, whether the plan still asks for it or not."""
        return {cell: summary.status for cell, summary in self.summaries()}

    def summaries(self) -> Iterator[tuple[str, CellSummary]]:
        """What tables need of every cell that has sound files, one at a time: a large grid's do not fit into memory."""
        self.broken = {}
        for cell, found in self._index.scan():
            if isinstance(found, str):
                self.broken[cell] = found
            else:
                yield cell, found

    def read(self, cell: str) -> dict[str, Any]:
        """The content of one cell's file.

        Raises:
            AttnbenchError: when the cell is not finished, or its file cannot be read.
        """
        file = self._file(cell)
        if not file.exists():
            raise fail(f"the cell {cell} is not finished", self.name, "attnbench run carries on with what is missing")
        try:
            return read_record(file)
        except UNREADABLE as error:
            raise fail(f"cannot be read: {error}", str(file), "delete it, and run the grid again") from error

    def outcome(self, cell: str) -> Outcome:
        """What training gave for one cell.

        Raises:
            AttnbenchError: when the cell is not finished, or one of its files cannot be read.
        """
        record = self.read(cell)
        kept = {name: record[name] for name in ("cell", "status", "metrics", "history", "error", "versions")}
        return Outcome(**kept, seed=record["labels"]["seed"], alignments=self.alignments(cell))

    def alignments(self, cell: str) -> Alignments | None:
        """The alignments of one cell, or None where it has none.

        Raises:
            AttnbenchError: when the file cannot be read.
        """
        file = self._arrays(cell)
        if not file.exists() or (self._file(cell).exists() and self.read(cell).get("alignments", "") is None):
            return None
        return read_alignments(file)

    def find(self, prefix: str) -> str:
        """The id of the only cell, finished or planned, that begins so.

        Raises:
            AttnbenchError: when there is none, or several.
        """
        known = dict.fromkeys([*(cell["id"] for cell in self.plan()["cells"]), *self.states()])
        found = [cell for cell in known if cell.startswith(prefix)]
        if not found:
            raise fail(f"no cell begins with {prefix!r}", self.name, "the ids are the first column of table.csv")
        if len(found) > 1 and prefix not in found:
            some = ", ".join(found[:5]) + (", …" if len(found) > 5 else "")
            raise fail(f"{len(found)} cells begin with {prefix!r}: {some}", self.name, "give more of the id")
        return prefix if prefix in found else found[0]

    def grid_text(self) -> str:
        """The grid file as it was run.

        Raises:
            AttnbenchError: when it cannot be read.
        """
        file = self.folder / "grid.yaml"
        try:
            return file.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise fail(f"cannot be read: {error}", str(file), "run the grid again: what is done is kept") from error

    def plan(self) -> dict[str, Any]:
        """What the grid asks for: `axes`, `cells` (id and labels, in grid order) and `skipped` (labels and reason).

        Raises:
            AttnbenchError: when plan.json is missing or cannot be read.
        """
        file = self.folder / "plan.json"
        try:
            plan: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            needed = {*LABELS, *plan["axes"]}
            sound = all(needed <= cell["labels"].keys() and isinstance(cell["id"], str) for cell in plan["cells"])
            if not sound or not isinstance(plan["skipped"], list):
                raise ValueError("it is not the plan of a grid")
            check_seal(plan)
        except (*UNREADABLE, KeyError, TypeError, AttributeError) as error:
            raise fail(f"cannot be read: {error}", str(file), "run the grid again: what is done is kept") from error
        return plan

    def frame(self) -> "pd.DataFrame":
        """The rows of table.csv: the finished cells of the plan, in its order.

        Columns: the contract's, then every other `<metric>@<length>`. Metrics are float64, whole-number ones
        Int64, and missing where they have no meaning.
        """
        plan = self.plan()
        wanted = {cell["id"] for cell in plan["cells"]}
        return frame_of(plan, {cell: found for cell, found in self.summaries() if cell in wanted})

    def write_table(self) -> "pd.DataFrame":
        """Writes table.csv: the contract's columns alone, the same bytes for the same results. Gives the frame."""
        frame = self.frame()
        table = frame.loc[:, : frame.columns[list(frame.columns).index("error")]]
        write_atomically(self.folder / "table.csv", table.to_csv(index=False, lineterminator="\n"))
        return frame

    def notes(self) -> list[str]:
        """What a table does not show: cells to come, combinations skipped, files that cannot be read."""
        plan, states = self.plan(), self.states()
        cells = [cell["id"] for cell in plan["cells"]]
        waiting = sum(cell not in states for cell in cells)
        notes = [f"{waiting} of {len(cells)} cells are not finished"] if waiting else []
        if skipped := len(plan["skipped"]):
            notes.append(f"{skipped} combination{'s' * (skipped > 1)} skipped: attnbench expand says why")
        if packs := pending_packs(self.folder):
            notes.append(f"a run was killed while it kept {packs} pack{'s' * (packs > 1)}: attnbench run finishes that")
        return notes + [f"not read: {self.broken[cell]}" for cell in cells if cell in self.broken]

    def _file(self, cell: str) -> Path:
        return self.folder / "cells" / f"{cell}.json"

    def _arrays(self, cell: str) -> Path:
        return self.folder / "alignments" / f"{cell}.npz"
