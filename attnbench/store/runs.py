"""The runs in a results folder: which there are, how large they are, and how one is deleted."""

import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attnbench.errors import AttnbenchError, fail
from attnbench.grid.identity import DIGITS
from attnbench.store.commit import CHECKPOINTS, FOLDERS, WRITING, WRITTEN
from attnbench.store.index import INDEX
from attnbench.store.lock import HOLDER, LOCK
from attnbench.store.plan import every_cell
from attnbench.store.provenance import PROVENANCE
from attnbench.store.results_folder import run_names
from attnbench.store.store import Store

# What attnbench writes in the folder of a run, besides FOLDERS and packs that are being written. The plan comes last: a
# folder that has one is a run.
FILES = ("grid.yaml", "table.csv", "report.html", PROVENANCE, INDEX, HOLDER, "plan.json")
# A file of a cell, or one that a killed process was writing.
CELL_FILE = re.compile(rf"\.?[0-9a-f]{{{DIGITS}}}\.(json|npz)(\.\d+\.tmp)?")


@dataclass(frozen=True)
class RunSummary:
    """A run in numbers.

    Attributes:
        name: of its folder.
        cells: how many its grid has.
        done, failed, stale: how many of them are so, by the code of its last run; the others are not finished.
        orphaned: finished cells that its grid does not have any more; 0 while tuning is not finished, because it is not
            known before which cells the grid has.
        finished: all cells that are done or failed, also those of tuning.
        when: its last change.
        size: in bytes, with everything in its folder.
        problem: why its plan cannot be read; the numbers are 0 then.
    """

    name: str
    cells: int
    done: int
    failed: int
    stale: int
    orphaned: int
    finished: int
    when: datetime
    size: int
    problem: str | None = None


def summaries(results: Path) -> Iterator[RunSummary]:
    """Yields every run in a folder, by name."""
    for name in run_names(results):
        yield summary(Store(results / name))


def summary(store: Store) -> RunSummary:
    """One run in numbers."""
    files = list(_files_below(store.folder))
    when = datetime.fromtimestamp(max((file.st_mtime for file in files), default=0.0), UTC).astimezone()
    size = sum(file.st_size for file in files)
    try:
        plan = store.plan()
        planned = {cell["id"] for cell in plan["cells"]}
        states, stale = store.states(), store.stale().keys() & planned
    except AttnbenchError as error:
        return RunSummary(store.name, 0, 0, 0, 0, 0, 0, when, size, str(error))
    current = [state for cell, state in states.items() if cell in planned and cell not in stale]
    return RunSummary(
        store.name,
        cells=len(planned),
        done=current.count("done"),
        failed=current.count("failed"),
        stale=len(stale),
        orphaned=0 if _is_tuning(plan) else len(states.keys() - _planned(plan)),
        finished=len(states),
        when=when,
        size=size,
    )


def orphans(store: Store) -> list[str]:
    """The ids of the finished cells that the grid of a run does not have any more.

    Raises:
        AttnbenchError: if the plan cannot be read: then every cell would be taken for an orphan; or if tuning is not
            finished: then cells would be that the grid may have again.
    """
    plan = store.plan()
    if _is_tuning(plan):
        what = "tuning is not finished, and it is not known before which cells the grid has"
        raise fail(what, store.name, "attnbench run finishes it; orphaned cells can be deleted then")
    planned = _planned(plan)
    return [cell for cell in store.states() if cell not in planned]


def prune(store: Store, cells: list[str]) -> None:
    """Deletes finished cells. The caller must hold the lock.

    Raises:
        AttnbenchError: if a file cannot be deleted.
    """
    for cell in cells:
        # The record first: without its alignments a cell would count as broken.
        for ending in reversed(FOLDERS):
            _unlink(store.folder / FOLDERS[ending] / f"{cell}{ending}")


def delete(store: Store) -> list[Path]:
    """Deletes what attnbench wrote in the folder of a run. The caller must hold the lock.

    Returns:
        What else is in the folder, and is kept; without anything, the folder is deleted too.

    Raises:
        AttnbenchError: if a file cannot be deleted.
    """
    folder = store.folder
    for pattern in (f"{WRITING}*", f"{WRITTEN}*"):
        for pack in folder.glob(pattern):
            shutil.rmtree(pack, ignore_errors=True)
    for ending, name in [*FOLDERS.items(), (".npz", CHECKPOINTS)]:
        inside = folder / name
        # By their names, because the folder may be a link to one that has other files too.
        for file in inside.glob(f"*{ending}*"):
            if CELL_FILE.fullmatch(file.name):
                _unlink(file)
        if inside.is_symlink():
            _unlink(inside)
        elif inside.is_dir():
            with suppress(OSError):  # it is not empty: the user's own files are kept
                inside.rmdir()
    for name in FILES:
        _unlink(folder / name)
    others = [path for path in sorted(folder.iterdir()) if path.name != LOCK]
    if not others:
        _unlink(folder / LOCK)
        with suppress(OSError):
            folder.rmdir()
    return others


def _is_tuning(plan: Mapping[str, Any]) -> bool:
    """Whether the candidate of any configuration is not chosen yet."""
    return any(one["chosen"] is None for one in plan.get("tuned", []))


def _planned(plan: Mapping[str, Any]) -> set[str]:
    """The ids of all cells of a grid: those that are reported or not due, and those of tuning."""
    return {*(cell["id"] for cell in every_cell(plan)), *plan.get("not_due", [])}


def _files_below(folder: Path) -> Iterator[os.stat_result]:
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # a run in progress may delete it in the meantime
                state = Path(parent, name).stat()
                if stat.S_ISREG(state.st_mode):
                    yield state


def _unlink(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise fail(f"cannot be deleted: {error.strerror}", str(file)) from error
