"""The results folder of one grid: one atomic file per finished cell, read back as a tidy table.

DIR/<name>/grid.yaml             the grid as it was run
DIR/<name>/plan.json             the cells it asks for, in grid order, with their labels
DIR/<name>/cells/<id>.json       a cell that is done or failed, with the code that trained it
DIR/<name>/alignments/<id>.npz   its test alignments
DIR/<name>/table.csv             one row per finished cell of the plan
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnbench.errors import did_you_mean, fail
from attnbench.files import UNREADABLE, make_writable, read_alignments, write_alignments, write_atomically, write_json
from attnbench.outcome import METRICS, Alignments, Outcome

if TYPE_CHECKING:
    import pandas as pd

    from attnbench.grid.expand import Plan, PlannedCell

LABELS = ("model", "score", "scope", "task", "seed")
COUNTS = ("steps_to_95", "parameters")  # metrics that are whole numbers
_AT_LENGTH = re.compile(rf"({'|'.join(METRICS)})@(\d+)")


class Store:
    """The results of one grid. Reading needs no run to be over: what is not there yet is not done.

    A cell's file that is cut short or mended by hand into nonsense counts as not done; `broken` names it,
    with the reason, after every `states()` and `frame()`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broken: list[str] = []

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
        content = {
            "name": plan.name,
            "axes": list(plan.axes),
            "cells": [{"id": planned.id, "labels": planned.labels} for planned in plan.cells],
            "skipped": [{"labels": skipped.labels, "reason": skipped.reason} for skipped in plan.skipped],
        }
        write_atomically(self.folder / "grid.yaml", grid_text)
        write_json(self.folder / "plan.json", content)

    def write(self, outcome: Outcome, planned: "PlannedCell", code: Mapping[str, str]) -> None:
        """Keeps a finished or failed cell: the alignments first, so that a cell's file says that all is there.

        Args:
            outcome: what training gave.
            planned: the cell.
            code: the fingerprint of the code that trained it.
        """
        arrays = self.folder / "alignments" / f"{outcome.cell}.npz"
        if outcome.alignments is None:
            arrays.unlink(missing_ok=True)
        else:
            write_alignments(arrays, outcome.alignments)
        record = {
            "cell": outcome.cell,
            "status": outcome.status,
            "labels": planned.labels,
            "config": planned.cell.model_dump(mode="json"),
            "metrics": outcome.metrics,
            "history": outcome.history,
            "error": outcome.error,
            "versions": outcome.versions,
            "code": dict(code),
        }
        write_json(self._file(outcome.cell), record)

    def states(self) -> dict[str, str]:
        """`done` or `failed` for every cell that has a sound file, whether the plan still asks for it or not."""
        return {cell: record["status"] for cell, record in self.records()}

    def records(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The content of every sound file, one at a time, with its cell: a large grid's do not fit into memory."""
        self.broken = []
        for file in sorted((self.folder / "cells").glob("*.json")):
            try:
                record = _read_record(file)
            except UNREADABLE as error:
                self.broken.append(f"{file}: {error}")
            else:
                yield file.stem, record

    def read(self, cell: str) -> dict[str, Any]:
        """The content of one cell's file.

        Raises:
            AttnbenchError: when the cell is not finished, or its file cannot be read.
        """
        file = self._file(cell)
        if not file.exists():
            raise fail(f"the cell {cell} is not finished", self.name, "attnbench run carries on with what is missing")
        try:
            return _read_record(file)
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
        file = self.folder / "alignments" / f"{cell}.npz"
        return read_alignments(file) if file.exists() else None

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
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise fail(f"cannot be read: {error}", str(file), "run the grid again: what is done is kept") from error
        return plan

    def frame(self) -> "pd.DataFrame":
        """The rows of table.csv: the finished cells of the plan, in its order.

        Columns: the contract's, then every other `<metric>@<length>`. Metrics are float64, whole-number ones
        Int64, and missing where they have no meaning.
        """
        return self._frame(self.plan())

    def write_table(self) -> None:
        """Writes table.csv: the contract's columns alone, the same bytes for the same results."""
        frame = self.frame()
        table = frame.loc[:, : frame.columns[list(frame.columns).index("error")]]
        write_atomically(self.folder / "table.csv", table.to_csv(index=False, lineterminator="\n"))

    def notes(self) -> list[str]:
        """What a table does not show: cells to come, combinations skipped, files that cannot be read."""
        plan, states = self.plan(), self.states()
        waiting = sum(cell["id"] not in states for cell in plan["cells"])
        notes = [f"{waiting} of {len(plan['cells'])} cells are not finished"] if waiting else []
        if skipped := len(plan["skipped"]):
            notes.append(f"{skipped} combination{'s' * (skipped > 1)} skipped: attnbench expand says why")
        return notes + [f"not read: {name}" for name in self.broken]

    def _file(self, cell: str) -> Path:
        return self.folder / "cells" / f"{cell}.json"

    def _frame(self, plan: dict[str, Any]) -> "pd.DataFrame":
        import pandas as pd

        wanted = {cell["id"] for cell in plan["cells"]}
        records = {cell: _row_of(record) for cell, record in self.records() if cell in wanted}
        cells = [cell for cell in plan["cells"] if cell["id"] in records]
        finished = [records[cell["id"]] for cell in cells]
        labels = (*LABELS, *plan["axes"])
        by_length, others = _length_columns(finished)
        columns: dict[str, Any] = {
            "cell": _label_column([cell["id"] for cell in cells]),
            "status": _label_column([record["status"] for record in finished]),
        }
        for name in labels:
            columns[name] = _label_column([cell["labels"][name] for cell in cells])
        for name in (*METRICS, *by_length, "error", *others):
            values = [(record if name == "error" else record["metrics"]).get(name) for record in finished]
            columns[name] = pd.Series(values, dtype=_dtype(name))
        return pd.DataFrame(columns)


def _row_of(record: dict[str, Any]) -> dict[str, Any]:
    """What a row of the table needs of a cell's record."""
    lengths = (record["config"].get("data") or {}).get("test_lengths", ())
    return {key: record[key] for key in ("status", "metrics", "error")} | {"test_lengths": lengths}


def _label_column(values: list[Any]) -> "pd.Series[Any]":
    """The labels as they are: pandas may narrow a type that all share, but not turn 1 into 1.0 beside another."""
    import pandas as pd

    column = pd.Series(values, dtype=object)
    return column.infer_objects() if len(set(map(type, values))) == 1 else column


def _dtype(column: str) -> str:
    if column == "error":
        return "object"
    return "Int64" if column.split("@")[0] in COUNTS else "float64"


def _length_columns(records: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """The `exact_match@N` columns in the order of N, and those of the other metrics, in the metrics' order."""
    found = {match for record in records for name in record["metrics"] if (match := _AT_LENGTH.fullmatch(name))}
    # A failed cell has no metrics, but its lengths have their columns all the same.
    tested = {length for record in records for length in record["test_lengths"]}
    found |= {match for length in tested if (match := _AT_LENGTH.fullmatch(f"exact_match@{length}"))}
    keys = sorted({(METRICS.index(match[1]), int(match[2])) for match in found})
    names = [f"{METRICS[metric]}@{length}" for metric, length in keys]
    first = [name for name in names if name.startswith("exact_match@")]
    return first, names[len(first) :]


def _read_record(file: Path) -> dict[str, Any]:
    """A cell's file.

    Raises:
        ValueError: when it is not JSON, or not the record of that cell.
    """
    record = json.loads(file.read_text(encoding="utf-8"), parse_constant=_refuse)
    if not isinstance(record, dict) or record.get("cell") != file.stem:
        raise ValueError("it is not the record of this cell")
    if record.get("status") not in ("done", "failed"):
        raise ValueError(f"its status is {record.get('status')!r}, neither 'done' nor 'failed'")
    record.setdefault("code", {})  # what an earlier attnbench trained
    wanted: dict[str, type] = dict.fromkeys(("labels", "config", "metrics", "versions", "code"), dict)
    wanted["history"] = list
    for key, kind in wanted.items():
        if not isinstance(record.get(key), kind):
            raise ValueError(f"it has no sound {key!r}")
    if not isinstance(record.get("error"), str | None):
        raise ValueError("its error is not a text")
    for name, value in record["metrics"].items():
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"its {name} is {value!r}, not a number")
        if name.split("@")[0] in COUNTS and (value != int(value) or abs(value) > 2**53):
            raise ValueError(f"its {name} is {value!r}, not a whole number")
    return record


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number")
