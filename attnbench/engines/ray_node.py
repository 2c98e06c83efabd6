"""What the engine `ray` does on the nodes; nothing here needs Ray itself but the caller."""

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

# What a node tells while it trains: the first cell's id of the pack it took up, then how far it is.
Message = str | Progress


class Board:
    """Where the nodes leave their messages, and the driver finds them."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def tell(self, message: Message) -> None:
        """Leaves a message."""
        self.messages.append(message)

    def take(self) -> list[Message]:
        """Takes the messages since the last time."""
        taken, self.messages = self.messages, []
        return taken


def code() -> str:
    """The installed attnbench: its version, and the digest of its files, since a checkout changes under one version."""
    return f"attnbench {attnbench.__version__} ({_digest()})"


@cache
def _digest() -> str:
    digest = hashlib.sha256()
    root = Path(attnbench.__file__).parent
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
    """The outcomes of a pack, trained on this node with one thread.

    Args:
        pack: with its files where the user has them.
        files: what the pack reads, on the way.
        get: fetches the content of a file.
        driver: the code that the driver has; None where it is known that the node has the same.
        device: "cpu" or "cuda".
        train: the training function.
        report: is told how far the training is.
    """
    if driver is not None and code() != driver:
        return failed(pack, f"this node has {code()}, and you have {driver}: install the same on both")
    try:
        with unpacked(files, get) as places, one_thread():
            outcomes = attempt(moved(pack, places), device, train, report)
        return [_naming_the_users_files(outcome, places) for outcome in outcomes]
    except OSError as error:
        return failed(pack, f"its files cannot be written on the node: {error}")


def _naming_the_users_files(outcome: Outcome, places: dict[str, str]) -> Outcome:
    """The outcome with the user's own files in its reason, instead of the copies on the node."""
    error = outcome.error
    for path, place in places.items():
        error = error and error.replace(place, path)
    return outcome if error == outcome.error else replace(outcome, error=error)
