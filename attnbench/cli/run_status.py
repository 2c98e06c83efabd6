"""The current status of a run, updated from its events; shown by the live view and the plain log."""

import time
from collections.abc import Iterable
from statistics import fmean

from attnbench.analysis.decide.wording import progress
from attnbench.analysis.labels import text
from attnbench.cell import Pack
from attnbench.engines.base import Finished, Started
from attnbench.estimate import pack_seconds, seconds_left
from attnbench.grid.plan import PlannedCell
from attnbench.messages import NO_VALUE
from attnbench.outcome import Outcome, Progress
from attnbench.runner import Planned
from attnbench.store.status import TODO


class RunningPack:
    """A pack in training."""

    def __init__(self, label: str, weight: float) -> None:
        self.label = label
        self.weight = weight
        self.since = time.monotonic()
        self.progress: Progress | None = None
        self.resumed = 0.0  # the fraction of its steps that an earlier run had taken

    @property
    def fraction(self) -> float:
        """The completed fraction of its steps, 0 to 1."""
        return self.progress.step / self.progress.steps if self.progress else 0.0

    def update(self, progress: Progress) -> None:
        """Records its progress."""
        if self.progress is None:
            self.resumed = progress.resumed / progress.steps
        self.progress = progress


class FinishedPack:
    """A finished pack: its number, label and time, its mean accuracy (None if all cells failed), and its failures.

    `failures` maps each error message to the seeds that failed with it; to an empty list if the whole pack did.
    """

    def __init__(self, number: int, running: RunningPack, outcomes: list[Outcome]) -> None:
        done = [outcome.metrics["exact_match"] for outcome in outcomes if outcome.status == "done"]
        self.number = number
        self.label = running.label
        self.seconds = time.monotonic() - running.since
        self.exact_match = fmean(value for value in done if value is not None) if done else None
        failed = [outcome for outcome in outcomes if outcome.status == "failed"]
        self.failed = len(failed)
        self.failures: dict[str, list[int]] = {outcome.error or "": [] for outcome in failed}
        # Seeds are named only if they differ: where all fail for one reason, a list of all seeds is no information.
        for outcome in failed if len(self.failures) > 1 or done else ():
            self.failures[outcome.error or ""].append(outcome.seed)


class RunStatus:
    """Counts, running packs and results of one run, updated by `started`, `progress` and `finished`.

    Cells that earlier runs have finished are counted, and are among the results.
    """

    def __init__(self, planned: Planned) -> None:
        self.began = time.monotonic()
        self.cells: dict[str, PlannedCell] = {}
        self.cells_total = self.cells_ended = self.cells_failed = self.packs_ended = self.packs_total = 0
        self.running: dict[str, RunningPack] = {}
        self.longest_label = 0
        self._cells_before = 0  # those of earlier runs
        # Packs are weighted by their estimated time, because some take many times as long as others.
        self._weight = self._weight_ended = 0.0
        self._weight_resumed = 0.0  # of the work on ended packs, what an earlier run had done
        self._training_since = self.began
        self._estimated_for = 0.0  # the share of the work for which the end was estimated
        self._end: float | None = None  # the estimated time of the end
        # The exact match of each done cell by row and task; no values if all have failed. Rows in the order of the last
        # result.
        self._values: dict[tuple[str, str], list[float]] = {}
        self.rows: dict[str, None] = {}
        self.extend(planned)

    def extend(self, planned: Planned) -> None:
        """Adds the packs of a stage, which may be the first, and the cells that an earlier run has finished."""
        self.planned = planned
        trained_now = {cell for pack in planned.packs for cell in pack.ids}
        kept = [
            cell
            for cell in planned.plan.trained
            if planned.states[cell.id].name != TODO and cell.id not in trained_now and cell.id not in self.cells
        ]
        self.cells |= {cell.id: cell for cell in planned.plan.trained}
        self._cells_before += len(kept)
        self.cells_total += len(kept) + len(trained_now)
        self.cells_ended += len(kept)
        self.packs_total += len(planned.packs)
        # Labels have little room: what all cells share is left out, except for the score and the task.
        optional = ("model", "scope", *planned.plan.axes)
        values = {name: {cell.labels[name] for cell in planned.plan.reported} for name in optional}
        self._varying = {name for name, found in values.items() if len(found) > 1}
        kinds = ("model", "score", "scope", "normaliser")
        self.kinds = tuple(name for name in kinds if name == "score" or name in self._varying)
        self.longest_label = max([self.longest_label, *(len(self._pack_label(pack)) for pack in planned.packs)])
        self._weight += sum(map(pack_seconds, planned.packs))
        for cell in kept:
            self._add_result(cell, [planned.states[cell.id].exact_match])

    def started(self, event: Started) -> None:
        """Records that a pack has started."""
        # The time left is estimated from the first start on: starting workers takes seconds and is not training.
        if not self.running and not self.packs_ended:
            self._training_since = time.monotonic()
        self.running[event.pack.ids[0]] = RunningPack(self._pack_label(event.pack), pack_seconds(event.pack))

    def progress(self, event: Progress) -> RunningPack | None:
        """Records progress of a pack, and returns the pack; None for a late message about a finished one."""
        running = self.running.get(event.pack)
        if running is not None:
            running.update(event)
            self._estimate_end()
        return running

    def finished(self, event: Finished) -> FinishedPack:
        """Records that a pack has finished."""
        self.packs_ended += 1
        running = self.running.pop(event.pack.ids[0])
        ended = FinishedPack(self.packs_ended, running, event.outcomes)
        self.cells_ended += len(event.outcomes)
        self.cells_failed += ended.failed
        self._weight_ended += running.weight
        self._weight_resumed += running.weight * running.resumed
        self._add_result(self._first_cell(event.pack), [o.metrics.get("exact_match") for o in event.outcomes])
        self._estimate_end()
        return ended

    def results(self) -> dict[tuple[str, str], float | None]:
        """Returns the mean exact match of the cells that are done, by row and task; None where all have failed."""
        # A copy of the items: rich refreshes the live view in its own thread while events change the dict.
        return {key: fmean(values) if values else None for key, values in list(self._values.items())}

    def decisions(self) -> list[str]:
        """Returns a line per setting on the pairs that are settled, in a run with `decide`."""
        return progress(self.planned.stage.settings) if self.planned.stage else []

    def share(self) -> float:
        """Returns the completed fraction of the whole, 0 to 1, including earlier runs and running packs."""
        # Cells of earlier runs count as the average of the cells of this run.
        trained = self.cells_total - self._cells_before
        return (self._cells_before + trained * self._share_now()) / self.cells_total if self.cells_total else 1.0

    def elapsed(self) -> float:
        """Returns the number of seconds since the run began."""
        return time.monotonic() - self.began

    def seconds_left(self) -> float | None:
        """Returns the estimated remaining time; None if too little is done for an estimate, or the time is up."""
        left = 0.0 if self._end is None else self._end - time.monotonic()
        return left if left > 0 else None

    def _share_now(self) -> float:
        """Returns the completed fraction of the work of this run's packs."""
        done = self._weight_ended + sum(pack.weight * pack.fraction for pack in list(self.running.values()))
        return done / self._weight if self._weight else 1.0

    def _estimate_end(self) -> None:
        share = self._share_now()
        if share == self._estimated_for:  # waiting, for an evaluation for example, must not increase the time left
            return
        self._estimated_for, now = share, time.monotonic()
        running = sum(pack.weight * pack.resumed for pack in self.running.values())
        resumed = (self._weight_resumed + running) / self._weight
        left = seconds_left(share - resumed, 1 - share, now - self._training_since)
        self._end = None if left is None else now + left

    def _add_result(self, cell: PlannedCell, exact_match: list[float | None]) -> None:
        if cell.cell.tuning:  # of the validation set, and of candidates that are not taken
            return
        row = self.label(cell, self.kinds)
        values = self._values.setdefault((row, str(cell.labels["task"])), [])
        values += [value for value in exact_match if value is not None]
        self.rows.pop(row, None)
        self.rows[row] = None

    def label(self, cell: PlannedCell, names: Iterable[str]) -> str:
        """Returns a cell's labels of these names and of the other axes that vary, as "additive · copy · width 32"."""
        axes = [axis for axis in self.planned.plan.axes if axis in self._varying - {"model.kind", "normaliser"}]
        axes = [axis for axis in axes if cell.labels[axis] is not None]
        # Without attention, a cell has no score, and is named by its scope.
        names = ("scope" if name == "score" and cell.labels["score"] == NO_VALUE else name for name in names)
        words = [str(cell.labels[name]) for name in dict.fromkeys(names) if cell.labels[name] != NO_VALUE]
        tuned = self.planned.plan.tuned[0].candidates[0] if cell.cell.tuning else ()
        axes += [name for name in tuned if name in cell.labels]
        return " · ".join([*words, *(f"{axis.rpartition('.')[2]} {text(cell.labels[axis])}" for axis in axes)])

    def _first_cell(self, pack: Pack) -> PlannedCell:
        """Returns the first cell of a pack that the grid has; a pack of an earlier run may have more seeds."""
        return next(self.cells[id_] for id_ in pack.ids if id_ in self.cells)

    def _pack_label(self, pack: Pack) -> str:
        cell = self._first_cell(pack)
        seeds = f"×{len(pack.ids)} seeds" if len(pack.ids) > 1 else f"seed {cell.labels['seed']}"
        return f"{self.label(cell, (*self.kinds, 'task'))} {seeds}"
