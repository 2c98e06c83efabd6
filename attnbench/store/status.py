"""The state of each cell of a plan: todo, done, failed, or stale, if the code that trained it has changed."""

from collections.abc import Iterable
from dataclasses import dataclass

from attnbench.fingerprint import changed, describe_changes, fingerprint, stale_note
from attnbench.grid.plan import PlannedCell
from attnbench.store.store import Store

__all__ = ["DONE", "FAILED", "STALE", "TODO", "CellState", "stale_note", "states_of"]

TODO, DONE, FAILED, STALE = "todo", "done", "failed", "stale"


@dataclass(frozen=True, slots=True)
class CellState:
    """The state of a cell.

    Attributes:
        name: todo, done, failed or stale.
        reason: why it failed, or which files have changed since it was trained.
        kept: the status of the result on disk, done or failed, also if it is stale; todo if there is none.
        seconds: the training time, if it is done.
        digest: the digest of the file on disk; empty if there is none, or if an earlier version wrote it.
        exact_match: on the test set, if it is done.
    """

    name: str
    reason: str | None = None
    kept: str = TODO
    seconds: float | None = None
    digest: str = ""
    exact_match: float | None = None


def states_of(cells: Iterable[PlannedCell], store: Store) -> dict[str, CellState]:
    """The state of every cell, by id."""
    planned = {cell.id: cell for cell in cells}
    found = dict.fromkeys(planned, CellState(TODO))
    for id_, summary in store.summaries():
        if id_ in planned:
            status, seconds = summary.status, summary.metrics.get("seconds")
            files = changed(summary.code, fingerprint(planned[id_].cell))
            name, reason = (STALE, describe_changes(files)) if files else (status, summary.error)
            exact_match = summary.metrics.get("exact_match")
            found[id_] = CellState(name, reason, status, seconds, summary.digest, exact_match)
    return found
