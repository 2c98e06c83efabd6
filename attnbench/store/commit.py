"""Writes the files of a pack all together: a run that is killed at any moment has kept the whole pack, or none of it.

The files are written into a folder of their own. Renaming that folder is the one moment in which they become kept; then
they are moved to their places. A run that begins finishes the moves that a killed one left, and clears away the rest.
"""

import errno
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from attnbench.errors import fail

WRITING, WRITTEN = ".writing-", ".written-"
DRIVER_FILES = ("plan.json", "grid.yaml", "table.csv", ".index")  # files that nobody else writes
FOLDERS = {".npz": "alignments", ".json": "cells"}  # by a file's ending; the alignments of a cell come first


def write_together(run: Path, name: str, fill: Callable[[Path], Any]) -> None:
    """Keeps the files that `fill` writes into the folder it is given: all of them or none.

    Args:
        run: the run's folder.
        name: of the pack; no other may be written under it at the time.
        fill: writes <cell>.json and <cell>.npz files.

    Raises:
        AttnbenchError: when the disk refuses; nothing has changed then.
    """
    writing, written = run / f"{WRITING}{name}", run / f"{WRITTEN}{name}"
    if written.exists():  # the disk refused to move them the last time
        _move_into_place(run, written)
    try:
        shutil.rmtree(writing, ignore_errors=True)
        writing.mkdir()
        fill(writing)
        _sync_folder(writing)
        writing.rename(written)
    except BaseException as error:
        shutil.rmtree(writing, ignore_errors=True)
        if isinstance(error, OSError):
            raise fail(f"cannot be written: {error.strerror}", str(run)) from error
        raise
    _sync_folder(run)
    _move_into_place(run, written)


def pending_packs(run: Path) -> int:
    """How many packs a run that was killed has kept, but not moved to their places."""
    return sum(1 for _ in run.glob(f"{WRITTEN}*"))


def recover(run: Path) -> None:
    """Finishes what a run that was killed had kept, and clears away what it had not. For who holds the lock.

    Raises:
        AttnbenchError: when the folder cannot be written.
    """
    for written in sorted(run.glob(f"{WRITTEN}*")):
        _move_into_place(run, written)
    for writing in run.glob(f"{WRITING}*"):
        shutil.rmtree(writing, ignore_errors=True)
    patterns = [f"{folder}/.*.tmp" for folder in FOLDERS.values()] + [f".{name}.*.tmp" for name in DRIVER_FILES]
    for left in (file for pattern in patterns for file in run.glob(pattern)):
        with suppress(OSError):
            left.unlink()


def _move_into_place(run: Path, written: Path) -> None:
    """Moves the files of a pack to their places; what was moved already is no longer there."""
    try:
        for ending, folder in FOLDERS.items():
            (run / folder).mkdir(exist_ok=True)
            for file in sorted(written.glob(f"*{ending}")):
                _move(file, run / folder / file.name)
            _sync_folder(run / folder)
        shutil.rmtree(written)
    except OSError as error:
        raise fail(f"cannot be written: {error.strerror}", str(error.filename2 or error.filename or run)) from error


def _move(file: Path, place: Path) -> None:
    try:
        file.replace(place)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # The folder lies on another disk: a file is copied beside its place first, so that it is whole or not there.
        temporary = place.with_name(f".{place.name}.{os.getpid()}.tmp")
        shutil.copyfile(file, temporary)
        temporary.replace(place)
        file.unlink()


def _sync_folder(folder: Path) -> None:
    """Has the disk keep the names in a folder, where the system can be asked to: not all file systems can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
