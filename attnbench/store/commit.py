"""Commits the files of a pack together: a run that is killed at any moment has saved the whole pack or none of it.

The files are first written to a temporary folder `.writing-<name>`. Renaming it to `.written-<name>` is the commit.
Then the files are moved to `cells/` and `alignments/`. The next run completes moves that were interrupted, and deletes
folders that were not committed.

A pack is committed as a whole because its cells are trained together: if some of them were lost, they would be
trained again in a pack of another size, with other rounding errors.
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from attnbench.errors import AttnbenchError, Problem, fail
from attnbench.files import write_atomically

WRITING, WRITTEN = ".writing-", ".written-"
# Written by the driver alone, which holds the lock.
DRIVER_FILES = ("plan.json", "grid.yaml", "table.csv", "provenance.json", ".index", ".lock.json")
CHECKPOINTS = "checkpoints"  # the folder of packs in training
FOLDERS = {".npz": "alignments", ".json": "cells"}  # by suffix. Alignments are moved first: the .json completes a cell


@dataclass(frozen=True)
class Unplaced:
    """A pack that was committed, but could not be moved to its final place: its files are kept in `folder`.

    Attributes:
        folder: the committed folder.
        cells: the ids of the cells whose records are still there.
        problem: why they could not be moved.
    """

    folder: Path
    cells: tuple[str, ...]
    problem: Problem

    def problems(self) -> list[Problem]:
        """What a user should know: where the cells are kept, and what is in the way."""
        number = f"{len(self.cells)} finished cell{'s are' if len(self.cells) != 1 else ' is'}"
        return [
            Problem(f"{number} kept here, and could not be moved to the other cells", str(self.folder)),
            self.problem,
        ]


def write_together(run: Path, name: str, fill: Callable[[Path], Any]) -> Unplaced | None:
    """Commits the files that `fill` writes: all of them or none.

    Args:
        run: the run's folder.
        name: the name of the pack, unique among the packs being written.
        fill: writes <cell>.json and <cell>.npz files to the folder that it is called with.

    Returns:
        None; or where the pack is kept if its files could not be moved to their place.

    Raises:
        AttnbenchError: if the files cannot be written. The run is then unchanged.
    """
    writing = run / f"{WRITING}{name}"
    try:
        _delete(writing)
        writing.mkdir()
        fill(writing)
        # Before the rename, so that a committed folder has all its files even after a power cut.
        _sync_folder(writing)
        written = _free(run / f"{WRITTEN}{name}")
        writing.rename(written)
    except BaseException as error:
        shutil.rmtree(writing, ignore_errors=True)
        if isinstance(error, OSError):
            raise fail(f"cannot be written: {error.strerror}", str(run)) from error
        raise
    _sync_folder(run)
    return _move_into_place(run, written)


def pending_packs(run: Path) -> int:
    """The number of packs that a killed run has committed but not moved to their final place."""
    return len(_folders(run, WRITTEN))


def recover(run: Path) -> list[Unplaced]:
    """Completes the commits of a killed run, and deletes its temporary files. The caller must hold the lock.

    What is not a folder of its own is left alone: a link of such a name may lead to somebody's files.

    Returns:
        The packs that still cannot be moved to their place.
    """
    found = [_move_into_place(run, written) for written in _folders(run, WRITTEN)]
    for writing in _folders(run, WRITING):
        shutil.rmtree(writing, ignore_errors=True)
    patterns = [f"{folder}/.*.tmp" for folder in (*FOLDERS.values(), CHECKPOINTS)] + [
        f".{name}.*.tmp" for name in DRIVER_FILES
    ]
    for left in (file for pattern in patterns for file in run.glob(pattern)):
        with suppress(OSError):
            left.unlink()
    return [pack for pack in found if pack is not None]


def _folders(run: Path, prefix: str) -> list[Path]:
    """The real folders whose names begin so, in order; not links to folders."""
    try:
        with os.scandir(run) as entries:
            return sorted(
                Path(entry.path)
                for entry in entries
                if entry.name.startswith(prefix) and entry.is_dir(follow_symlinks=False)
            )
    except OSError:  # there is no such folder yet
        return []


def _free(place: Path) -> Path:
    """The path, or the next one with a number at its end at which there is nothing."""
    names = (place.with_name(f"{place.name}{f'.{number}' * (number > 1)}") for number in count(1))
    return next(path for path in names if not os.path.lexists(path))


def _delete(path: Path) -> None:
    """Deletes what a killed run or another program has left at this path; of a link only the link."""
    shutil.rmtree(path, ignore_errors=True)
    with suppress(FileNotFoundError):
        path.unlink()


def _move_into_place(run: Path, written: Path) -> Unplaced | None:
    """Moves the files of a committed pack to their final place. Can be repeated after an interruption."""
    try:
        moves = list(_moves(run, written))
        for folder in FOLDERS.values():
            (run / folder).mkdir(exist_ok=True)
        for _, place in moves:  # before the first move, so that a cell is not moved without its alignments
            if place.is_dir() and not place.is_symlink():
                raise IsADirectoryError(errno.EISDIR, "a folder is in its place", str(place))
        for file, place in moves:
            _move(file, place)
        for folder in FOLDERS.values():
            _sync_folder(run / folder)
    except (OSError, AttnbenchError) as error:
        left = tuple(file.stem for file, place in _moves(run, written) if place.parent.name == "cells")
        return Unplaced(written, left, _as_problem(error, run))
    # What else lies there, such as .DS_Store, was not written by attnbench.
    shutil.rmtree(written, ignore_errors=True)
    return None


def _moves(run: Path, written: Path) -> Iterator[tuple[Path, Path]]:
    """The regular files of a committed pack, each with its final place, in the order in which they are moved."""
    for ending, folder in FOLDERS.items():
        for file in sorted(written.glob(f"*{ending}")):
            if file.is_file() and not file.is_symlink():
                yield file, run / folder / file.name


def _as_problem(error: OSError | AttnbenchError, run: Path) -> Problem:
    if isinstance(error, AttnbenchError):
        return error.problems[0]
    where = str(error.filename2 or error.filename or run)
    return Problem(f"cannot be written: {error.strerror}", where, "move it away and run the grid again")


def _move(file: Path, place: Path) -> None:
    try:
        file.replace(place)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # The target folder is on another disk (a link or a mount), and a move across disks is not atomic: copy to a
        # temporary file on that disk first. It has to be on that disk before the only other copy is deleted.
        with file.open("rb") as content:
            write_atomically(place, lambda out: shutil.copyfileobj(content, out))
        _sync_folder(place.parent)
        file.unlink()


def _sync_folder(folder: Path) -> None:
    """Flushes the names in a folder to disk. Not all file systems support this, so errors are ignored."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
