"""Runs a grid: plans it, drives an engine, keeps the outcomes, and tells a listener what happens."""

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnbench.cell import Pack
from attnbench.engines.base import DEVICES, Engine, Finished, Started, available_cores, may_use_gpu
from attnbench.engines.processes import ProcessEngine
from attnbench.engines.ray import RayEngine
from attnbench.engines.serial import SerialEngine
from attnbench.errors import AttnbenchError, Exit, Problem, did_you_mean
from attnbench.estimate import pack_seconds
from attnbench.fingerprint import fingerprint
from attnbench.grid.expand import Plan, PlannedCell, expand, packs, spread
from attnbench.grid.load import load_grid
from attnbench.grid.memory import check_size
from attnbench.outcome import Outcome, Progress
from attnbench.store.atomic import make_writable
from attnbench.store.lock import held
from attnbench.store.status import FAILED, STALE, TODO, CellState, states_of
from attnbench.store.store import Store
from attnbench.tracking.client import Tracker
from attnbench.tracking.worker import TrackerThread

if TYPE_CHECKING:
    import pandas as pd

ENGINES: dict[str, type[Engine]] = {"processes": ProcessEngine, "serial": SerialEngine, "ray": RayEngine}


@dataclass(frozen=True)
class Planned:
    """What is about to be done: the whole plan, the packs to train now, and the state that each cell was found in."""

    plan: Plan
    packs: list[Pack]
    states: dict[str, CellState]
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
    address: str | None = None,
    gpus_per_pack: float | None = None,
    device: str = "auto",
    overrides: Sequence[str] = (),
    plugins: Sequence[str] = (),
    limit: int | None = None,
    fail_fast: bool = False,
    retry_failed: bool = False,
    keep_stale: bool = False,
    fresh: bool = False,
    mlflow: bool = True,
    tracking_uri: str | None = None,
    listener: Listener | None = None,
) -> "pd.DataFrame":
    """Trains every cell of a grid that is not done, and keeps each as soon as it is.

    Args:
        grid: the grid file.
        results: the folder that holds all runs.
        workers: how many packs are trained at a time; as many as there are cores (of the cluster) unless given.
        engine: "processes", "serial" for this process alone, or "ray" for a cluster.
        address: the Ray cluster to join: "auto" for the one that runs here, host:port, or ray://host:port; else one
            is started on this machine.
        gpus_per_pack: the share of a GPU that Ray gives to a pack; 0.25 unless given.
        device: "cpu", "cuda", or "auto" for a GPU where there is one.
        overrides: fields of the grid set anew, as "path=value".
        plugins: files or modules with components of your own, besides those the grid names.
        limit: trains at most so many cells, in whole packs and at least one pack.
        fail_fast: stops at the first cell that fails.
        retry_failed: trains the cells anew that failed before; they are left as they are otherwise.
        keep_stale: leaves the cells as they are that other code has trained; they are trained anew otherwise.
        fresh: trains all cells anew, also those that are done.
        mlflow: whether MLflow hears of it.
        tracking_uri: an MLflow server; else what MLFLOW_TRACKING_URI says, else `mlflow.db` in `results`.
        listener: is told what happens, in the caller's thread.

    Returns:
        The rows of table.csv: the finished and failed cells of the grid, in its order.

    Raises:
        AttnbenchError: when the grid or an argument is wrong, the results folder cannot be written or is in use by
            another run, the tracking server does not answer, or the GPU is absent; nothing has been trained then.
        Unwritten: when the disk refused cells that were trained, to the end.
        KeyboardInterrupt: when interrupted, after the workers were stopped and what was finished was kept.
    """
    _check_arguments(engine, device, workers, limit)
    ray_options = _ray_options(engine, address, gpus_per_pack)
    loaded = load_grid(Path(grid), overrides, plugins)
    plan = expand(loaded)
    store = Store(Path(results) / plan.name)
    make_writable(store.folder)
    with held(store.folder):
        store.recover()
        states = states_of(plan.cells, store)
        broken = [store.broken[cell.id] for cell in plan.cells if cell.id in store.broken]
        wanted = [cell for cell in plan.cells if fresh or _is_due(states[cell.id], retry_failed, keep_stale)]
        todo = _first_packs(packs(wanted, loaded.plugins), limit)
        if not address and engine != "serial" and not may_use_gpu(device):  # a GPU wants its packs wide
            todo = spread(todo, workers or available_cores())
        if engine != "ray":  # its nodes have memory of their own
            check_size(todo)
        _check_data(todo)
        for pack in todo:
            fingerprint(pack.cell)  # the code as it is now, whatever is saved while the workers are busy
        cores = len(todo) if address else available_cores()  # how many a cluster has is known once it is joined
        with closing(ENGINES[engine](max(min(workers or cores, len(todo)), 1), device, **ray_options)) as trainer:
            if todo:
                trainer.prepare()
            planned = Planned(plan, todo, states, trainer.workers)
            log = TrackerThread(Tracker(plan.name, tracking_uri, Path(results)), plan, loaded.text) if mlflow else None
            if log and (tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")):
                log.connect()
            store.start(plan, loaded.text)
            notify = _notifier(listener)
            notify(planned)
            for name in broken:
                notify(Notice(f"not read: {name}\nIts cell counts as not done."))
            return _Run(planned, store, log, notify).train(trainer, fail_fast)


def _notifier(listener: Listener | None) -> Listener:
    """The listener, until it can hear no more: a terminal that was closed ends no training, and loses no result."""
    hears = listener is not None

    def notify(event: Planned | Started | Progress | Finished | Notice) -> None:
        nonlocal hears
        if hears and listener is not None:
            try:
                listener(event)
            except OSError:
                hears = False

    return notify


def _is_due(state: CellState, retry_failed: bool, keep_stale: bool) -> bool:
    """Whether a cell is to be trained now."""
    name = state.kept if keep_stale and state.name == STALE else state.name
    return name in (TODO, STALE) or (retry_failed and name == FAILED)


def _check_arguments(engine: str, device: str, workers: int | None, limit: int | None) -> None:
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


def _ray_options(engine: str, address: str | None, gpus_per_pack: float | None) -> dict[str, Any]:
    """What the engine ray is told besides; the other engines take none of it."""
    given = {"address": address, "gpus_per_pack": gpus_per_pack}
    told = {name: value for name, value in given.items() if value is not None}
    if told and engine != "ray":
        raise AttnbenchError(*(Problem(f"{name} goes with engine ray", hint="add --engine ray") for name in told))
    if gpus_per_pack is not None and not 0 < gpus_per_pack <= 1:
        raise AttnbenchError(Problem(f"gpus_per_pack is {gpus_per_pack}: above 0 and at most 1 is needed"))
    return told


def _check_data(todo: Sequence[Pack]) -> None:
    """Raises what training would find wrong with the data, such as a length without any test source."""
    from attnbench.tasks.streams import check_data  # NumPy, and some milliseconds per task

    distinct = {(pack.cell.task.model_dump_json(), pack.cell.data): pack.cell for pack in todo}
    for cell in distinct.values():
        check_data(cell.task, cell.data)


def _first_packs(all_packs: list[Pack], limit: int | None) -> list[Pack]:
    """The first packs that have at most `limit` cells together, and at least one pack."""
    if limit is None:
        return all_packs
    totals = accumulate(len(pack.ids) for pack in all_packs)
    return [pack for pack, total in zip(all_packs, totals, strict=True) if total <= limit] or all_packs[:1]


class Unwritten(AttnbenchError):
    """Cells were trained, but could not be written to the results folder."""

    exit = Exit.CELLS_FAILED


class _Run:
    """One run on its way: drives the engine and keeps what it gives."""

    def __init__(self, planned: Planned, store: Store, log: TrackerThread | None, notify: Listener) -> None:
        self.planned = planned
        self.cells = {cell.id: cell for cell in planned.plan.cells}
        self.store = store
        self.log = log
        self.notify = notify
        self.unwritten: list[list[Outcome]] = []  # of whole packs
        self.refused: AttnbenchError | None = None

    def train(self, trainer: Engine, fail_fast: bool) -> "pd.DataFrame":
        """Trains the packs. However it ends, the workers are stopped, the table written, the tracker told."""
        if self.log:
            self.log.start(self._earlier(), lambda cell: self.store.outcome(cell.id))
        interrupted = True
        try:
            self._drive(trainer, fail_fast)
            interrupted = False
        finally:
            trainer.close()
            frame = self._end(interrupted)
        return frame

    def _drive(self, trainer: Engine, fail_fast: bool) -> None:
        # The longest first, so that at the end no worker is left alone with a long one.
        for event in trainer.run(sorted(self.planned.packs, key=pack_seconds, reverse=True), self.notify):
            if isinstance(event, Finished):
                self.unwritten.append(event.outcomes)
                self._write()
            self.notify(event)
            if fail_fast and isinstance(event, Finished) and any(o.status == "failed" for o in event.outcomes):
                return

    def _write(self, last: bool = False) -> None:
        """Writes what waits for it, pack by pack, also when interrupted meanwhile; `last`: there is no later try."""
        try:
            self._write_all(last)
        except KeyboardInterrupt:
            self._write_all(last)
            raise

    def _write_all(self, last: bool) -> None:
        """The newest first, so that one that is always refused holds up no other; up to the first that is refused."""
        refused = None
        for outcomes in reversed(self.unwritten):
            try:
                self._write_pack(outcomes)
            except AttnbenchError as error:  # a full disk may have room again later
                if self.refused is None and refused is None:
                    self.notify(Notice(f"{error}\nTraining goes on; what is finished waits to be written."))
                refused = error
                if not last:
                    break
        self.refused = refused

    def _write_pack(self, outcomes: list[Outcome]) -> None:
        cells = [self.cells[outcome.cell] for outcome in outcomes]
        digests = self.store.write_pack(outcomes, cells, fingerprint(cells[0].cell))
        self.unwritten = [waiting for waiting in self.unwritten if waiting is not outcomes]
        if self.log:
            for outcome, cell, digest in zip(outcomes, cells, digests, strict=True):
                self.log.log_cell(outcome, cell, digest)

    def _end(self, interrupted: bool) -> "pd.DataFrame":
        """The table first: it is what may not be lost. Then the tracker, and what could not be kept."""
        self._write(last=True)
        try:
            frame = self.store.write_table()
        except AttnbenchError as error:
            self.refused = self.refused or error
            frame = self.store.frame()
        if interrupted:
            self.notify(Notice("Interrupted: the files are being finished. Ctrl-C again stops at once."))
        if self.log is not None:
            self._end_log(self.log, frame, interrupted)
        if self.unwritten:
            assert self.refused is not None
            lost = f"{sum(map(len, self.unwritten))} finished cells could not be written, and are lost"
            hint = "make room, and run the grid again"
            raise Unwritten(Problem(lost, str(self.store.folder), hint), *self.refused.problems)
        if self.refused is not None:
            raise Unwritten(*self.refused.problems) from self.refused
        return frame

    def _end_log(self, log: TrackerThread, frame: "pd.DataFrame", interrupted: bool) -> None:
        status = "KILLED" if interrupted else "FAILED" if (frame["status"] == "failed").any() else "FINISHED"
        if failure := log.finish(frame, status):
            self.notify(Notice(failure))

    def _earlier(self) -> list[tuple[PlannedCell, str]]:
        """The cells that were finished before and are left as they are, each with the digest of its file."""
        now = {cell for pack in self.planned.packs for cell in pack.ids}
        states = self.planned.states
        cells = [c for c in self.planned.plan.cells if states[c.id].kept != TODO and c.id not in now]
        return [(cell, states[cell.id].digest) for cell in cells]
