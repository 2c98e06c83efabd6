"""Brings a run's cells from disk to MLflow, as if they had been logged when they were finished."""

from attnbench.cell import Cell
from attnbench.grid.expand import Plan, PlannedCell
from attnbench.store.store import Store
from attnbench.tracking.client import Tracker


def catch_up(store: Store, tracking_uri: str | None) -> tuple[int, int]:
    """Logs the finished cells that MLflow has not, and the comparison of them all.

    Args:
        store: of the run.
        tracking_uri: as for `runner.run`.

    Returns:
        How many cells were logged, and how many were there already.

    Raises:
        AttnbenchError: when a file of the run cannot be read, or MLflow does not take what it is given.
    """
    content, frame = store.plan(), store.frame()
    labels = {cell["id"]: cell["labels"] for cell in content["cells"]}
    cells = [_planned(store, id_, labels[id_]) for id_ in frame["cell"]]
    tracker = Tracker(store.name, tracking_uri, store.folder.parent)
    tracker.start(Plan(store.name, tuple(content["axes"]), cells, []), store.grid_text())
    digests = {cell: summary.digest for cell, summary in store.summaries()}
    missing = [cell for cell in cells if not tracker.has(cell.id, digests[cell.id])]
    for cell in missing:
        tracker.log_cell(store.outcome(cell.id), cell, digests[cell.id])
    complete = len(cells) == len(labels)
    failed = (frame["status"] == "failed").any()
    tracker.finish(frame, "KILLED" if not complete else "FAILED" if failed else "FINISHED")
    return len(missing), len(cells) - len(missing)


def _planned(store: Store, id_: str, labels: dict[str, str | int | float | bool | None]) -> PlannedCell:
    config = store.read(id_)["config"]
    return PlannedCell(id_, Cell.model_validate(config, strict=False), labels)
