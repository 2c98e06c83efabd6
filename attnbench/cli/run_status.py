"""The current status of a run, updated from its events; shown by the live view and the plain log."""

import time
from statistics import fmean

from attnbench.analysis.labels import text
from attnbench.cell import Pack
from attnbench.engines.base import Finished, Started
from attnbench.estimate import pack_seconds, seconds_left
from attnbench.grid.expand import PlannedCell
from attnbench.messages import NO_VALUE
from attnbench.outcome import Outcome, Progress
from attnbench.runner import Planned


class RunningPack:
    """A pack in training."""

    def __init__(self, label: str, weight: float) -> None:
        self.label = label
        self.weight = weight
        self.since = time.monotonic()
        self.progress: Progress | None = None

    @property
    def fraction(self) -> float:
        """The completed fraction of its steps, 0 to 1."""
        return self.progress.step / self.progress.steps if self.progress else 0.0


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
    """Counts, running packs and results of one run, updated by `started`, `progress` and `finished`."""

    def __init__(self, planned: Planned) -> None:
        self.planned = planned
        self.began = time.monotonic()
        self.cells = {cell.id: cell for cell in planned.plan.cells}
        self.cells_total = sum(len(pack.ids) for pack in planned.packs)
        self.cells_ended = self.cells_failed = self.packs_ended = 0
        self.running: dict[str, RunningPack] = {}
        self.results: dict[tuple[str, str], float | None] = {}
        several_models = len({cell.labels["model"] for cell in planned.plan.cells}) > 1
        self.kinds = (*(("model",) if several_models else ()), "score", "scope")
        # Packs are weighted by their estimated time, because some take many times as long as others.
        self._weight = sum(map(pack_seconds, planned.packs))
        self._weight_ended = 0.0

    def started(self, event: Started) -> None:
        """Records that a pack has started."""
        # The time left is estimated from the first start on: starting workers takes seconds and is not training.
        if not self.running and not self.packs_ended:
            self.began = time.monotonic()
        self.running[event.pack.ids[0]] = RunningPack(self._pack_label(event.pack), pack_seconds(event.pack))

    def progress(self, event: Progress) -> None:
        """Records progress of a pack; a late message about a finished pack is ignored."""
        if event.pack in self.running:
            self.running[event.pack].progress = event

    def finished(self, event: Finished) -> FinishedPack:
        """Records that a pack has finished."""
        self.packs_ended += 1
        running = self.running.pop(event.pack.ids[0])
        ended = FinishedPack(self.packs_ended, running, event.outcomes)
        self.cells_ended += len(event.outcomes)
        self.cells_failed += ended.failed
        self._weight_ended += running.weight
        cell = self._first_cell(event.pack)
        self.results[self.label(cell, self.kinds), str(cell.labels["task"])] = ended.exact_match
        return ended

    def share(self) -> float:
        """Returns the completed fraction of the work, 0 to 1, including running packs."""
        # A copy of the values: rich refreshes the live view in its own thread while events change the dict.
        done = self._weight_ended + sum(pack.weight * pack.fraction for pack in list(self.running.values()))
        return done / self._weight if self._weight else 1.0

    def seconds_left(self) -> float | None:
        """Returns the estimated remaining time; None as long as too little is done for an estimate."""
        return seconds_left(self.share(), time.monotonic() - self.began)

    def label(self, cell: PlannedCell, names: tuple[str, ...]) -> str:
        """Returns a cell's labels of these names and of all other axes, as "additive · global · copy · width 32"."""
        axes = [axis for axis in self.planned.plan.axes if axis != "model.kind" and cell.labels[axis] is not None]
        words = [str(cell.labels[name]) for name in names if cell.labels[name] != NO_VALUE]
        return " · ".join([*words, *(f"{axis.rpartition('.')[2]} {text(cell.labels[axis])}" for axis in axes)])

    def _first_cell(self, pack: Pack) -> PlannedCell:
        """Returns the first cell of a pack that the grid has; a pack of an earlier run may have more seeds."""
        return next(self.cells[id_] for id_ in pack.ids if id_ in self.cells)

    def _pack_label(self, pack: Pack) -> str:
        cell = self._first_cell(pack)
        seeds = f"×{len(pack.ids)} seeds" if len(pack.ids) > 1 else f"seed {cell.labels['seed']}"
        return f"{self.label(cell, (*self.kinds, 'task'))} {seeds}"
