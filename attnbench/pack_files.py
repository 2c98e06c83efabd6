"""Writes the files of a pack all together: a run that is killed at any moment has kept the whole pack, or none of it.

The files are written into a folder of their own. Renaming that folder is the one moment in which they become kept; then
they are moved to their places. A run that begins finishes the moves that a killed one left, and clears away the rest.
"""

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from attnbench.errors import fail

WRITING, WRITTEN = ".writing-", ".written-"
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
        _place(run, written)
    try:
        shutil.rmtree(writing, ignore_errors=True)
        writing.mkdir()
        fill(writing)
        writing.rename(written)
        _sync(run)
    except BaseException as error:
        shutil.rmtree(writing, ignore_errors=True)
        if isinstance(error, OSError):
            raise fail(f"cannot be written: {error.strerror}", str(run)) from error
        raise
    _place(run, written)


def recover(run: Path) -> None:
    """Finishes what a run that was killed had kept, and clears away what it had not. For who holds the lock.

    Raises:
        AttnbenchError: when the folder cannot be written.
    """
    for written in sorted(run.glob(f"{WRITTEN}*")):
        _place(run, written)
    for writing in run.glob(f"{WRITING}*"):
        shutil.rmtree(writing, ignore_errors=True)
    for folder in (run, *(run / name for name in FOLDERS.values())):
        for left in folder.glob(".*.tmp"):
            with suppress(OSError):
                left.unlink()


def _place(run: Path, written: Path) -> None:
    """Moves the files of a pack to their places; what was moved already is no longer there."""
    try:
        for ending, folder in FOLDERS.items():
            for file in sorted(written.glob(f"*{ending}")):
                file.replace(run / folder / file.name)
        written.rmdir()
    except OSError as error:
        raise fail(f"cannot be written: {error.strerror}", str(error.filename or run)) from error


def _sync(folder: Path) -> None:
    """Has the disk keep the names in a folder, where the system can be asked to."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
