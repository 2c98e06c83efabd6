"""A training whose outcome cannot be sent back."""

from threading import Lock

from attnbench.outcome import Outcome


def train(pack, device, report) -> list[Outcome]:  # noqa: ARG001
    """Gives a lock, which no process can hand to another."""
    return [Outcome(pack.ids[0], "done", 0, versions={"made of": Lock()})]
