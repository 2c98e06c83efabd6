"""The part of the engine `ray` that runs on the nodes. It does not import Ray, so it is tested without a cluster."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import attnbench
from attnbench.cell import Pack
from attnbench.engines.base import Report, attempt, failed
from attnbench.engines.serial import one_thread
from attnbench.engines.shipment import Content, Shipped, moved, unpacked
from attnbench.outcome import Outcome, Progress

# Messages of a node: the id of the first cell of the pack it starts, then progress.
Message = str | Progress


class Board:
    """Collects the messages of all nodes until the driver takes them."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def put(self, message: Message) -> None:
        """Adds a message."""
        self.messages.append(message)

    def take(self) -> list[Message]:
        """Removes and returns all messages, in order."""
        taken, self.messages = self.messages, []
        return taken


def code() -> str:
    """Identifies the installed attnbench: its version and a digest of its files, as a checkout has no exact version."""
    return f"attnbench {attnbench.__version__} ({_package_digest()})"


@cache
def _package_digest() -> str:
    digest = hashlib.sha256()
    root = Path(attnbench.__file__).parent
    # Sorted, because file systems list a folder in different orders.
    for file in sorted(root.rglob("*.py")):
        digest.update(str(file.relative_to(root)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:8]


def train_here(
    pack: Pack,
    files: Sequence[Shipped[Content]],
    get: Callable[[Content], bytes],
    driver: str | None,
    device: str,
    train: str,
    report: Report,
) -> list[Outcome]:
    """Trains a pack on this node with one thread; returns its outcomes.

    Args:
        pack: the pack, with paths of the user's machine.
        files: the files that the pack reads.
        get: fetches the content of a file.
        driver: the driver's `code()`; None if this node is known to have the same.
        device: "cpu" or "cuda".
        train: the training function, by name.
        report: called with the progress.
    """
    if driver is not None and code() != driver:
        return failed(pack, f"the node has {code()}, but the driver has {driver}: install the same version on both")
    try:
        with unpacked(files, get) as places, one_thread():
            outcomes = attempt(moved(pack, places), device, train, report)
        return [_with_original_paths(outcome, places) for outcome in outcomes]
    except OSError as error:
        return failed(pack, f"cannot write its files on the node: {error}")


def _with_original_paths(outcome: Outcome, places: dict[str, str]) -> Outcome:
    """Returns the outcome with the user's paths in its error message, instead of those of the copies on the node."""
    error = outcome.error
    for path, place in places.items():
        error = error and error.replace(place, path)
    return outcome if error == outcome.error else replace(outcome, error=error)
