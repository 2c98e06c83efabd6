"""The lock of a results folder. Two drivers would train the same cells and write the same files."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from attnbench.errors import fail
from attnbench.files import read_file
from attnbench.store.atomic import UNREADABLE, write_json

LOCK, HOLDER = ".lock", ".lock.json"
MOST_BYTES = 10_000  # of the file that names the holder


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Holds the lock of a run's folder during the block. The operating system releases it if the process dies.

    Raises:
        AttnbenchError: if another process holds the lock. The message names the process, its host and its start time.
    """
    from filelock import FileLock, Timeout

    # timeout=0: an error now is better than waiting hours for the other run.
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        hint = "wait until it ends, or stop it: finished cells are kept"
        raise fail(f"another process is running this grid{_holder(folder)}", str(folder), hint) from None
    except OSError as error:
        hint = "choose another folder: --results DIR"
        raise fail(f"cannot be locked: {error.strerror}", str(folder / LOCK), hint) from error
    try:
        # In a second file, because replacing the lock file itself would let a second process lock the new one.
        since = datetime.now().astimezone().isoformat(timespec="seconds")
        write_json(folder / HOLDER, {"process": os.getpid(), "host": socket.gethostname(), "since": since})
        yield
    finally:
        lock.release()


def _holder(folder: Path) -> str:
    """Describes the holder of the lock; empty if its file is missing or incomplete."""
    try:
        who = json.loads(read_file(folder / HOLDER, MOST_BYTES))
        return f": process {who['process']} on {who['host']}, since {who['since']}"
    except (*UNREADABLE, KeyError, TypeError):
        return ""
