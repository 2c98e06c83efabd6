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
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from attnbench.errors import fail

WRITING, WRITTEN = ".writing-", ".written-"
# Written by the driver alone, which holds the lock.
DRIVER_FILES = ("plan.json", "grid.yaml", "table.csv", "provenance.json", ".index")
FOLDERS = {".npz": "alignments", ".json": "cells"}  # by suffix. Alignments are moved first: the .json completes a cell


def write_together(run: Path, name: str, fill: Callable[[Path], Any]) -> None:
    """Commits the files that `fill` writes: all of them or none.

    Args:
        run: the run's folder.
        name: the name of the pack, unique among the packs being written.
        fill: writes <cell>.json and <cell>.npz files to the folder that it is called with.

    Raises:
        AttnbenchError: if the files cannot be written. The run is then unchanged.
    """
    writing, written = run / f"{WRITING}{name}", run / f"{WRITTEN}{name}"
    if written.exists():  # committed before, but moving the files failed
        _move_into_place(run, written)
    try:
        shutil.rmtree(writing, ignore_errors=True)
        writing.mkdir()
        fill(writing)
        # Before the rename, so that a committed folder has all its files even after a power cut.
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
    """The number of packs that a killed run has committed but not moved to their final place."""
    return sum(1 for _ in run.glob(f"{WRITTEN}*"))


def recover(run: Path) -> None:
    """Completes the commits of a killed run, and deletes its temporary files. The caller must hold the lock.

    Raises:
        AttnbenchError: if the folder cannot be written.
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
    """Moves the files of a committed pack to their final place. Can be repeated after an interruption."""
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
        # The target folder is on another disk (a link or a mount), and a move across disks is not atomic: copy to a
        # temporary file on that disk first.
        temporary = place.with_name(f".{place.name}.{os.getpid()}.tmp")
        shutil.copyfile(file, temporary)
        temporary.replace(place)
        file.unlink()


def _sync_folder(folder: Path) -> None:
    """Flushes the names in a folder to disk. Not all file systems support this, so errors are ignored."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
