"""How far each cell of a plan is: todo, done, failed, or stale, because the code that trained it has changed."""

from collections.abc import Iterable
from dataclasses import dataclass

from attnbench.fingerprint import changed, fingerprint, said
from attnbench.grid.expand import PlannedCell
from attnbench.store.store import Store

TODO, DONE, FAILED, STALE = "todo", "done", "failed", "stale"


@dataclass(frozen=True)
class CellState:
    """Of a cell.

    Attributes:
        name: one of the four.
        reason: why it failed, or what makes it stale.
        kept: what is on disk, done or failed, whether stale or not; else todo.
        seconds: that it took, if it is done.
        digest: of what is on disk; empty if nothing is, or an earlier attnbench wrote it.
    """

    name: str
    reason: str | None = None
    kept: str = TODO
    seconds: float | None = None
    digest: str = ""


def states_of(cells: Iterable[PlannedCell], store: Store) -> dict[str, CellState]:
    """The state of every cell, by id."""
    planned = {cell.id: cell for cell in cells}
    found = dict.fromkeys(planned, CellState(TODO))
    for id_, summary in store.summaries():
        if id_ in planned:
            status, seconds = summary.status, summary.metrics.get("seconds")
            files = changed(summary.code, fingerprint(planned[id_].cell))
            name, reason = (STALE, said(files)) if files else (status, summary.error)
            found[id_] = CellState(name, reason, status, seconds, summary.digest)
    return found
