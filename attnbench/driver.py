"""Drives an engine over the packs of a planned run: saves every result, logs it, and notifies a listener."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.cell import Pack
from attnbench.engines.base import Engine, Finished, Started
from attnbench.errors import AttnbenchError, Exit, Problem
from attnbench.estimate import pack_seconds
from attnbench.fingerprint import fingerprint
from attnbench.grid.packs import Composition
from attnbench.grid.plan import Plan, PlannedCell
from attnbench.outcome import Outcome, Progress
from attnbench.stages import Stage
from attnbench.store.status import TODO, CellState
from attnbench.store.store import Store
from attnbench.tracking.worker import TrackerThread

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Planned:
    """The first event of a run, and of each of its stages.

    Attributes:
        plan: the whole grid.
        packs: the packs to train now.
        states: the state of each cell before the run, by id.
        workers: the number of packs trained at a time.
        reused: the ids of the cells that this run has copied from other runs.
        stage: what is trained now, where later cells depend on earlier results; another event follows for each stage.
    """

    plan: Plan
    packs: list[Pack]
    states: dict[str, CellState]
    workers: int
    reused: frozenset[str] = frozenset()
    stage: Stage | None = None


@dataclass(frozen=True)
class Notice:
    """A message for the user that does not stop the run, for example that the disk is full."""

    text: str


RunEvent = Planned | Started | Progress | Finished | Notice
Listener = Callable[[RunEvent], None]


class Stopped(AttnbenchError):
    """A run ended early after training had begun. The problems say what is kept and what is lost."""

    exit = Exit.CELLS_FAILED


class Unwritten(Stopped):
    """Cells were trained, but could not be written to the results folder."""


def notifier(listener: Listener | None) -> Listener:
    """The listener, ignored after its first OSError: a closed terminal must not stop the training."""
    active = listener is not None

    def notify(event: RunEvent) -> None:
        nonlocal active
        if active and listener is not None:
            try:
                listener(event)
            except OSError:
                active = False

    return notify


class Driver:
    """One run: it drives the engine, and is the only writer of the results folder and of MLflow."""

    def __init__(
        self,
        planned: Planned,
        store: Store,
        tracker: TrackerThread | None,
        notify: Listener,
        more: Callable[[], Planned | None] = lambda: None,
    ) -> None:
        self.planned = planned
        self.cells = {cell.id: cell for cell in planned.plan.trained}
        self.store = store
        self.tracker = tracker
        self.notify = notify
        self.more = more  # what follows when all packs have ended
        self.known: set[str] = set()  # the cells that were given to the tracker, or will be when they have ended
        self.unwritten: list[list[Outcome]] = []  # one list per pack
        self.write_error: AttnbenchError | None = None  # of the last attempt to write
        self.begun = False  # whether a pack has been started
        self.trained: list[str] = []  # the cells that have ended, whether or not they are written

    def run(self, engine: Engine, fail_fast: bool) -> "pd.DataFrame":
        """Trains the packs, and returns the rows of table.csv.

        However training ends, the workers are stopped, the table is written, and the end is logged.
        """
        if self.tracker:
            self.tracker.start(self._earlier_cells(), lambda cell: self.store.outcome(cell.id))
        # Until training has ended normally: any exception counts as an interruption.
        interrupted = True
        stopped: AttnbenchError | None = None
        try:
            self._train(engine, fail_fast)
            interrupted = False
        except AttnbenchError as error:
            stopped = error
            if not self.begun:  # nothing was trained: an error like those before the run
                raise
        finally:
            engine.close()
            frame = self._finish(interrupted, stopped)
        return frame

    def _train(self, engine: Engine, fail_fast: bool) -> None:
        """Trains the packs of every stage; with `fail_fast`, until one has a failed cell."""
        while True:
            for event in self._events(engine):
                if fail_fast and isinstance(event, Finished) and any(o.status == "failed" for o in event.outcomes):
                    return
            # What follows depends on results that would have to be read from the disk.
            planned = None if self.unwritten or self.store.unplaced else self.more()
            if planned is None:
                return
            self.planned = planned
            self.cells |= {cell.id: cell for cell in planned.plan.trained}
            if self.tracker:
                self.tracker.catch_up(self._earlier_cells(), lambda cell: self.store.outcome(cell.id))

    def _events(self, engine: Engine) -> Iterator[Started | Finished]:
        """Trains the packs of a stage, and yields each event when it has been dealt with."""
        # Longest first: otherwise one worker may start a long pack when the others have nothing left to do.
        for event in engine.run(sorted(self.planned.packs, key=pack_seconds, reverse=True), self.notify):
            self.begun = True
            if isinstance(event, Finished):
                self.trained += [outcome.cell for outcome in event.outcomes if outcome.cell in self.cells]
                self.unwritten.append(event.outcomes)
                self._write()
            self.notify(event)
            yield event

    def _write(self, last: bool = False) -> None:
        """Writes the finished packs, also if Ctrl-C comes in the meantime; `last`: there will be no other attempt."""
        try:
            self._write_packs(last)
        except KeyboardInterrupt:
            self._write_packs(last)
            raise

    def _write_packs(self, last: bool) -> None:
        """Writes the finished packs, the newest first, up to the first error; with `last`, all that can be written.

        Newest first, so that a pack that can never be written does not block the others.
        """
        write_error = None
        # _write_pack replaces the list, so that this loop over the old one is not affected.
        for outcomes in reversed(self.unwritten):
            try:
                self._write_pack(outcomes)
            except AttnbenchError as error:  # the disk may be full now and have space later
                if self.write_error is None and write_error is None:
                    kept = "Training continues. Finished cells are kept in memory until they can be written."
                    self.notify(Notice(f"{error}\n{kept}"))
                write_error = error
                if not last:
                    break
        self.write_error = write_error

    def _write_pack(self, outcomes: list[Outcome]) -> None:
        together = Composition(tuple(o.cell for o in outcomes), tuple(o.seed for o in outcomes))
        # A pack of an earlier run may have seeds that the grid has dropped; their files are left as they are.
        planned = [outcome for outcome in outcomes if outcome.cell in self.cells]
        cells = [self.cells[outcome.cell] for outcome in planned]
        # One fingerprint for all, because the cells of a pack differ in the seed alone.
        unplaced, cut = len(self.store.unplaced), len(self.store.cut)
        digests = self.store.write_pack(planned, cells, fingerprint(cells[0].cell), together)
        for pack in self.store.unplaced[unplaced:]:
            self.notify(Notice("\n".join(map(str, pack.problems()))))
        if too_large := self.store.cut[cut:]:
            kept = "some sentences, training steps or heads are left out"
            self.notify(Notice(f"the alignments of {', '.join(too_large)} are too large for a file each: {kept}"))
        # By identity: equality would compare the arrays of the outcomes.
        self.unwritten = [pack for pack in self.unwritten if pack is not outcomes]
        if self.tracker:
            for outcome, cell, digest in zip(planned, cells, digests, strict=True):
                self.tracker.log_cell(outcome, cell, digest)

    def _finish(self, interrupted: bool, stopped: AttnbenchError | None) -> "pd.DataFrame":
        """Writes the table, ends the log, and raises what stopped the run or could not be written.

        The results folder comes first: MLflow may take long, and can be completed later by `attnbench sync`.
        """
        self._write(last=True)
        if self.store.unplaced:
            self.store.recover()  # what was in the way may be gone
        frame = self._write_table()
        if interrupted and stopped is None:
            self.notify(Notice("Interrupted. Saving finished results... Press Ctrl-C again to stop immediately."))
        if self.tracker:
            failed = (frame["status"] == "failed").any()
            message = self.tracker.finish(frame, "KILLED" if interrupted else "FAILED" if failed else "FINISHED")
            if message:
                self.notify(Notice(message))
        self._raise_problems(stopped)
        return frame

    def _write_table(self) -> "pd.DataFrame":
        try:
            return self.store.write_table()
        except AttnbenchError as error:
            self.write_error = self.write_error or error
        try:
            # Only the file is missing: the frame can still be returned and logged.
            return self.store.frame()
        except AttnbenchError:  # the whole folder is gone
            import pandas as pd

            return pd.DataFrame({"status": []})

    def _raise_problems(self, stopped: AttnbenchError | None) -> None:
        """Raises why the run stopped, and what could not be written; says what is kept and what is lost."""
        if stopped is not None and not self.begun:
            return
        problems = list(stopped.problems) if stopped else []
        problems += [problem for pack in self.store.unplaced for problem in pack.problems()]
        problems += self.write_error.problems if self.write_error else []
        if not problems:
            return
        folder = str(self.store.folder)
        if self.unwritten:
            lost = f"{_cells(sum(map(len, self.unwritten)))} could not be written and are lost"
            problems.insert(0, Problem(lost, folder, "free disk space and run the grid again"))
        missing = {outcome.cell for pack in self.unwritten for outcome in pack}
        missing |= {cell for pack in self.store.unplaced for cell in pack.cells}
        written = [cell for cell in self.trained if cell not in missing]
        kept = [cell for cell in written if self.store.has(cell)]
        if len(kept) < len(written):
            gone = f"{_cells(len(written) - len(kept))} were written, but their files are gone"
            problems.insert(0, Problem(gone, folder, "was the folder moved or deleted during the run?"))
        if self.begun and (kept or not self.store.unplaced):  # else "0 are kept" would contradict the problems above
            hint = "the same command continues with what is missing"
            problems.append(Problem(f"{_cells(len(kept))} of this run are kept", folder, hint))
        error = Unwritten if self.write_error or self.store.unplaced else Stopped
        raise error(*problems) from self.write_error or stopped

    def _earlier_cells(self) -> list[tuple[PlannedCell, str]]:
        """The cells of a stage that were finished before the run, each with the digest of its file."""
        trained_now = {cell for pack in self.planned.packs for cell in pack.ids}
        states = self.planned.states
        cells = [c for c in self.planned.plan.trained if states[c.id].kept != TODO and c.id not in trained_now]
        new = [cell for cell in cells if cell.id not in self.known]
        self.known |= trained_now | {cell.id for cell in cells}
        return [(cell, states[cell.id].digest) for cell in new]


def _cells(number: int) -> str:
    return f"{number} finished cells" if number != 1 else "1 finished cell"
