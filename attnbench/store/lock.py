"""One driver per results folder at a time: two would train the same cells, and write the same files."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from attnbench.errors import fail
from attnbench.store.atomic import UNREADABLE, write_json

LOCK, HOLDER = ".lock", ".lock.json"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Holds a grid's folder as long as the block runs; the system lets go of it when the process dies, however.

    Raises:
        AttnbenchError: when another process holds it, with what is known of that one.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        hint = "wait until it has ended, or stop it: what it finished is kept"
        raise fail(f"this grid is being run already{_holder(folder)}", str(folder), hint) from None
    except OSError as error:
        hint = "choose another folder: --results DIR"
        raise fail(f"cannot be locked: {error.strerror}", str(folder / LOCK), hint) from error
    try:
        since = datetime.now().astimezone().isoformat(timespec="seconds")
        write_json(folder / HOLDER, {"process": os.getpid(), "host": socket.gethostname(), "since": since})
        yield
    finally:
        lock.release()


def _holder(folder: Path) -> str:
    """Who holds it, as far as it has said so."""
    try:
        who = json.loads((folder / HOLDER).read_text(encoding="utf-8"))
        return f", by process {who['process']} on {who['host']} since {who['since']}"
    except (*UNREADABLE, KeyError, TypeError):
        return ""
