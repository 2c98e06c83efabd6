"""Logs the finished cells of a run to MLflow afterwards, from the files on disk."""

from attnbench.cell import Cell
from attnbench.grid.plan import Plan, PlannedCell
from attnbench.store.store import Store
from attnbench.tracking.client import Tracker
from attnbench.tracking.not_logged import NotLogged


def catch_up(store: Store, tracking_uri: str | None) -> tuple[int, int, NotLogged]:
    """Logs the finished cells that MLflow does not have, and the comparison of all cells.

    Args:
        store: the run.
        tracking_uri: an MLflow server or database; default as for `runner.run`.

    Returns:
        The number of cells that were logged, of those that MLflow already had, and what could not be logged.

    Raises:
        AttnbenchError: if the plan of the run cannot be read, or MLflow fails.
    """
    content, frame = store.plan(), store.frame()
    labels = {cell["id"]: cell["labels"] for cell in content["cells"]}
    tuning = {cell["id"]: cell["labels"] for cell in content.get("tuning", [])}
    finished = store.states()
    cells = [_planned(store, id_, labels[id_]) for id_ in frame["cell"]]
    tuned = [_planned(store, id_, tuning[id_]) for id_ in tuning if id_ in finished]
    tracker = Tracker(store.name, tracking_uri, store.folder.parent)
    tracker.start(Plan(store.name, tuple(content["axes"]), cells, [], tuned), store.grid_text())
    digests = {cell: summary.digest for cell, summary in store.summaries()}
    logged, there = tracker.catch_up(
        ((cell, digests[cell.id]) for cell in [*tuned, *cells]), lambda cell: store.outcome(cell.id)
    )
    # The status that MLflow shows for the grid's run: KILLED while cells are missing, as after an interruption.
    complete = len(cells) == len(labels) and len(tuned) == len(tuning) and not content.get("waiting")
    failed = (frame["status"] == "failed").any()
    tracker.finish(frame, "KILLED" if not complete else "FAILED" if failed else "FINISHED")
    return logged, there, tracker.not_logged


def _planned(store: Store, id_: str, labels: dict[str, str | int | float | bool | None]) -> PlannedCell:
    config = store.read(id_)["config"]
    return PlannedCell(id_, Cell.model_validate(config, strict=False), labels)
