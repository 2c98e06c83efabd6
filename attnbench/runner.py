"""Runs a grid: loads it, chooses the cells to train, and starts an engine, the results folder and the log."""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnbench import __version__
from attnbench.cell import Pack
from attnbench.driver import Driver, Listener, Notice, Planned, Stopped, Unwritten, notifier
from attnbench.engines.base import DEVICES, Engine, available_cores, may_use_gpu
from attnbench.engines.processes import ProcessEngine
from attnbench.engines.ray import RayEngine
from attnbench.engines.serial import SerialEngine
from attnbench.errors import AttnbenchError, Problem, did_you_mean, fail
from attnbench.fingerprint import fingerprint
from attnbench.grid.expand import expand
from attnbench.grid.load import load_grid
from attnbench.grid.memory import check_size
from attnbench.grid.plan import Plan
from attnbench.grid.schema import run_name_problem
from attnbench.session import Session, Wishes, Work, check_data
from attnbench.store.atomic import make_writable
from attnbench.store.lock import held
from attnbench.store.provenance import current
from attnbench.store.results_folder import results_folder
from attnbench.store.store import Store
from attnbench.tracking.client import Tracker
from attnbench.tracking.worker import TrackerThread

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ENGINES", "Listener", "Notice", "Planned", "Stopped", "Unwritten", "run"]

ENGINES: dict[str, type[Engine]] = {"processes": ProcessEngine, "serial": SerialEngine, "ray": RayEngine}


def run(
    grid: str | Path | Mapping[str, Any],
    *,
    name: str | None = None,
    results: str | Path | None = None,
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
    reuse: bool = True,
    mlflow: bool = True,
    tracking_uri: str | None = None,
    listener: Listener | None = None,
) -> "pd.DataFrame":
    """Trains every cell of a grid that is not done, and saves each pack as soon as it is finished.

    A pack whose training was interrupted continues from its last checkpoint.

    Args:
        grid: the grid file, or its content as a dict.
        name: the name of the run; default: that of the grid.
        results: the folder that holds all runs; default: the environment variable ATTNBENCH_RESULTS, or else "results".
        workers: the number of packs trained at a time; default: the number of cores (of the cluster).
        engine: "processes"; "serial" for the calling process; or "ray" for a cluster.
        address: the Ray cluster: "auto" for the one on this machine, host:port, or ray://host:port; default: a new one.
        gpus_per_pack: the share of a GPU that Ray reserves for a pack; default: 0.25.
        device: "cpu", "cuda", or "auto" for a GPU if there is one.
        overrides: fields of the grid to override, as "path=value".
        plugins: files or modules with your own components, in addition to those that the grid names.
        limit: maximum number of cells to train, rounded down to whole packs, but at least one pack.
        fail_fast: stop at the first cell that fails.
        retry_failed: train the cells again that failed before; default: keep them.
        keep_stale: keep the cells whose training code has changed; default: train them again.
        fresh: train all cells again, also those that are done here or in another run.
        reuse: copy the cells that another run in the results folder has trained, by the same code.
        mlflow: whether to log to MLflow.
        tracking_uri: an MLflow server; default: MLFLOW_TRACKING_URI, or else `mlflow.db` in `results`.
        listener: called with every event of the run, in the caller's thread.

    Returns:
        The rows of table.csv: the done and failed cells of the grid, in its order.

    Raises:
        AttnbenchError: if the grid or an argument is invalid, the results folder cannot be written or another run uses
            it, the tracking server does not answer, or there is no GPU. Nothing has been trained then.
        Stopped: if the run ended early after training had begun, e.g. because no worker could be started again.
        Unwritten: if trained cells could not be written, or not be moved to their place, until the end of the run.
        KeyboardInterrupt: if interrupted, after the workers were stopped and the finished packs were saved.
    """
    _check_arguments(engine, device, workers, limit)
    chosen = _Engine(engine, workers, device, _ray_options(engine, address, gpus_per_pack))
    results = results_folder(results)
    overrides = [*overrides, *_renamed(name)]
    loaded = load_grid(grid if isinstance(grid, Mapping) else Path(grid), overrides, plugins)
    expand(loaded)  # finds the other problems of the grid, before a folder is made
    store = Store(results / loaded.name)
    # The lock is a file in this folder.
    make_writable(store.folder)
    with held(store.folder):
        # Before anything is read: a killed run may have committed a pack without moving its files to their place.
        store.recover()
        wishes = Wishes(limit, retry_failed, keep_stale, fresh, reuse)
        session = Session(loaded, store, wishes, chosen.spread_over, chosen.check)
        work = session.next()
        with closing(chosen.create(work.packs, several_stages=session.has_stages)) as trainer:
            if work.packs:
                # Before the plan is written and MLflow is contacted, so that a missing GPU leaves nothing behind.
                trainer.prepare()
            tracker = _tracker(work.stage.plan, loaded.text, tracking_uri, results) if mlflow else None
            notify = notifier(listener)
            folder = Path() if isinstance(grid, Mapping) else Path(grid).parent

            def begin(work: Work) -> Planned:
                if work.packs:
                    cells = sum(len(pack.ids) for pack in work.packs)
                    entry = current(folder, __version__, engine, available_cores(), cells)
                else:
                    entry = None
                planned, notices = session.begin(work, trainer.workers, entry)
                notify(planned)
                for notice in notices:
                    notify(Notice(notice))
                return planned

            def more() -> Planned | None:
                following = session.following()
                return None if following is None else begin(following)

            return Driver(begin(work), store, tracker, notify, more).run(trainer, fail_fast)


def _renamed(name: str | None) -> list[str]:
    """The override that gives the run another name.

    Raises:
        AttnbenchError: if a run cannot have this name.
    """
    if name is None:
        return []
    if problem := run_name_problem(name):
        raise fail(problem, "--as", "use up to 100 letters, digits, dots, underscores and hyphens, e.g. --as second")
    return [f"name={json.dumps(name)}"]  # quoted: 2024 is a number in YAML


@dataclass(frozen=True)
class _Engine:
    """The requested engine. `options` are further arguments, which only the Ray engine has."""

    name: str
    workers: int | None
    device: str
    options: dict[str, Any]

    @property
    def joins_cluster(self) -> bool:
        """Whether an existing Ray cluster does the work, so that this machine's cores do not matter."""
        return bool(self.options.get("address"))

    @property
    def spread_over(self) -> int:
        """The number of workers that a grid of fewer packs is spread over."""
        # Packs stay whole on a GPU, which trains a wide pack in almost the time of a narrow one.
        whole = self.joins_cluster or self.name == "serial" or may_use_gpu(self.device)
        return 1 if whole else self.workers or available_cores()

    def check(self, todo: Sequence[Pack]) -> list[str]:
        """Checks that the packs can be trained.

        Returns:
            Messages about the data that a user should know.

        Raises:
            AttnbenchError: if a pack does not fit into memory, or its data are invalid.
        """
        if self.name != "ray":  # the memory of a cluster's nodes is not known here
            check_size(todo)
        return check_data(todo)

    def create(self, todo: Sequence[Pack], several_stages: bool) -> Engine:
        """The engine, with as many workers as these packs need; those of later stages may need more."""
        for pack in todo:
            # Computed now and cached: the code may be edited while the workers, which have loaded it, still train.
            fingerprint(pack.cell)
        cores = len(todo) if self.joins_cluster else available_cores()  # the cluster's number is known after joining it
        workers = max(self.workers or cores if several_stages else min(self.workers or cores, len(todo)), 1)
        return ENGINES[self.name](workers, self.device, **self.options)


def _tracker(plan: Plan, grid_text: str, tracking_uri: str | None, results: Path) -> TrackerThread:
    """Connects to a server now, since it may not answer; a database in the results folder is opened in the thread."""
    thread = TrackerThread(Tracker(plan.name, tracking_uri, results), plan, grid_text)
    if tracking_uri or os.environ.get("MLFLOW_TRACKING_URI"):
        thread.connect()
    return thread


def _check_arguments(engine: str, device: str, workers: int | None, limit: int | None) -> None:
    problems = [
        Problem(f"unknown {what} {given!r}", hint=did_you_mean(given, known))
        for what, given, known in (("engine", engine, ENGINES), ("device", device, DEVICES))
        if given not in known
    ]
    problems += [
        Problem(f"{what} is {given}; it must be at least 1")
        for what, given in (("workers", workers), ("limit", limit))
        if given is not None and given < 1
    ]
    if problems:
        raise AttnbenchError(*problems)


def _ray_options(engine: str, address: str | None, gpus_per_pack: float | None) -> dict[str, Any]:
    """The arguments that only the Ray engine has."""
    options = {"address": address, "gpus_per_pack": gpus_per_pack}
    given = {name: value for name, value in options.items() if value is not None}
    if given and engine != "ray":
        raise AttnbenchError(*(Problem(f"{name} needs engine ray", hint="add --engine ray") for name in given))
    if gpus_per_pack is not None and not 0 < gpus_per_pack <= 1:
        raise AttnbenchError(Problem(f"gpus_per_pack is {gpus_per_pack}; it must be above 0 and at most 1"))
    return given
