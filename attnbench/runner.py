"""Runs a grid: plans it, drives an engine, keeps the outcomes, and tells a listener what happens."""

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from attnbench.background import Background
from attnbench.cell import Pack
from attnbench.engines.base import DEVICES, Engine, Finished, Started, available_cores
from attnbench.engines.processes import ProcessEngine
from attnbench.engines.serial import SerialEngine
from attnbench.errors import AttnbenchError, Problem, did_you_mean
from attnbench.files import make_writable
from attnbench.grid.expand import Plan, PlannedCell, expand, packs
from attnbench.grid.load import load_grid
from attnbench.outcome import Outcome, Progress
from attnbench.store import Store
from attnbench.tracking import Tracker

if TYPE_CHECKING:
    import pandas as pd

ENGINES: dict[str, type[Engine]] = {"processes": ProcessEngine, "serial": SerialEngine}


@dataclass(frozen=True)
class Planned:
    """What is about to be done: the whole plan, the packs to train now, and the states found on disk."""

    plan: Plan
    packs: list[Pack]
    states: dict[str, str]
    workers: int


@dataclass(frozen=True)
class Notice:
    """Something to know that does not stop the run, such as a tracking server that went away."""

    text: str


Listener = Callable[[Planned | Started | Progress | Finished | Notice], None]


def run(
    grid: str | Path,
    *,
    results: str | Path = "results",
    workers: int | None = None,
    engine: str = "processes",
    device: str = "auto",
    overrides: Sequence[str] = (),
    plugins: Sequence[str] = (),
    limit: int | None = None,
    fail_fast: bool = False,
    retry_failed: bool = False,
    fresh: bool = False,
    mlflow: bool = True,
    tracking_uri: str | None = None,
    listener: Listener | None = None,
) -> "pd.DataFrame":
    """Trains every cell of a grid that is not done, and keeps each as soon as it is.

    Args:
        grid: the grid file.
        results: the folder that holds all runs.
        workers: how many packs are trained at a time; as many as there are cores unless given.
        engine: "processes", or "serial" for this process alone.
        device: "cpu", "cuda", or "auto" for a GPU where there is one.
        overrides: fields of the grid set anew, as "path=value".
        plugins: files or modules with components of your own, besides those the grid names.
        limit: trains at most so many cells, in whole packs and at least one pack.
        fail_fast: stops at the first cell that fails.
        retry_failed: trains the cells anew that failed before; they are left as they are otherwise.
        fresh: trains all cells anew, also those that are done.
        mlflow: whether MLflow hears of it.
        tracking_uri: an MLflow server; else what MLFLOW_TRACKING_URI says, else `mlflow.db` in `results`.
        listener: is told what happens, in the caller's thread.

    Returns:
        The rows of table.csv: the finished and failed cells of the grid, in its order.

    Raises:
        AttnbenchError: when the grid or an argument is wrong, the results folder cannot be written, the tracking
            server does not answer, or the GPU is absent; nothing has been trained then.
        KeyboardInterrupt: when interrupted, after the workers were stopped and what was finished was kept.
    """
    _check(engine, device, workers, limit)
    loaded = load_grid(Path(grid), overrides, plugins)
    plan = expand(loaded)
    store = Store(Path(results) / plan.name)
    states = {} if fresh else store.states()
    kept = {"done"} if retry_failed else {"done", "failed"}
    todo = _limited(packs([cell for cell in plan.cells if states.get(cell.id) not in kept], loaded.plugins), limit)
    tell = listener or (lambda _: None)
    _check_data(todo)
    make_writable(store.folder)
    with closing(ENGINES[engine](min(workers or available_cores(), max(len(todo), 1)), device)) as trainer:
        planned = Planned(plan, todo, states, trainer.workers)
        if todo:
            trainer.prepare()
        log = Background(Tracker(plan.name, tracking_uri, Path(results)), plan, loaded.text) if mlflow else None
        if log and (tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")):
            log.connect()
        store.start(plan, loaded.text)
        tell(planned)
        _Run(planned, store, log, tell).train(trainer, fail_fast)
    return store.frame()


def _check(engine: str, device: str, workers: int | None, limit: int | None) -> None:
    problems = [
        Problem(f"unknown {what} {given!r}", hint=did_you_mean(given, known))
        for what, given, known in (("engine", engine, ENGINES), ("device", device, DEVICES))
        if given not in known
    ]
    problems += [
        Problem(f"{what} is {given}: at least 1 is needed")
        for what, given in (("workers", workers), ("limit", limit))
        if given is not None and given < 1
    ]
    if problems:
        raise AttnbenchError(*problems)


def _check_data(todo: Sequence[Pack]) -> None:
    """Raises what training would find wrong with the data, such as a length without any test source."""
    from attnbench.tasks.streams import check_data  # NumPy, and some milliseconds per task

    distinct = {(pack.cell.task.model_dump_json(), pack.cell.data): pack.cell for pack in todo}
    for cell in distinct.values():
        check_data(cell.task, cell.data)


def _limited(all_packs: list[Pack], limit: int | None) -> list[Pack]:
    """The first packs that have at most `limit` cells together, and at least one pack."""
    if limit is None:
        return all_packs
    totals = accumulate(len(pack.ids) for pack in all_packs)
    return [pack for pack, total in zip(all_packs, totals, strict=True) if total <= limit] or all_packs[:1]


class _Run:
    """One run on its way: drives the engine and keeps what it gives."""

    def __init__(self, planned: Planned, store: Store, log: Background | None, tell: Listener) -> None:
        self.planned = planned
        self.cells = {cell.id: cell for cell in planned.plan.cells}
        self.store = store
        self.log = log
        self.tell = tell

    def train(self, trainer: Engine, fail_fast: bool) -> None:
        """Trains the packs. However it ends, the workers are stopped, the table written, the tracker told."""
        if self.log:
            self.log.start(self._earlier(), self._restore)
        interrupted = True
        try:
            self._drive(trainer, fail_fast)
            interrupted = False
        finally:
            trainer.close()
            self._end(interrupted)

    def _drive(self, trainer: Engine, fail_fast: bool) -> None:
        for event in trainer.run(self.planned.packs, self.tell):
            if isinstance(event, Finished):
                self._keep(event.outcomes)
            self.tell(event)
            if fail_fast and isinstance(event, Finished) and any(o.status == "failed" for o in event.outcomes):
                return

    def _keep(self, outcomes: list[Outcome]) -> None:
        """Writes all cells of a pack, also when interrupted meanwhile: a pack is kept whole or not at all."""
        try:
            for outcome in outcomes:
                self.store.write(outcome, self.cells[outcome.cell])
        except KeyboardInterrupt:
            for outcome in outcomes:
                self.store.write(outcome, self.cells[outcome.cell])
            raise
        if self.log:
            for outcome in outcomes:
                self.log.cell(outcome, self.cells[outcome.cell])

    def _end(self, interrupted: bool) -> None:
        self.store.write_table()
        if self.log is None:
            return
        frame = self.store.frame()
        status = "KILLED" if interrupted else "FAILED" if (frame["status"] == "failed").any() else "FINISHED"
        if failure := self.log.finish(frame, status):
            self.tell(Notice(f"The results are complete on disk, but not in MLflow.\n{failure}"))

    def _earlier(self) -> list[PlannedCell]:
        """The cells that were finished before and are left as they are."""
        now = {cell for pack in self.planned.packs for cell in pack.ids}
        return [cell for cell in self.planned.plan.cells if cell.id in self.planned.states and cell.id not in now]

    def _restore(self, cell: PlannedCell) -> Outcome:
        """The outcome of a cell as the store kept it."""
        record = self.store.read(cell.id)
        kept = {name: record[name] for name in ("cell", "status", "metrics", "history", "error", "versions")}
        return Outcome(**kept, seed=cell.cell.seed, alignments=self.store.alignments(cell.id))
