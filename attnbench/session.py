"""One run of a grid: which packs are trained next, and what is written before they are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from pathlib import Path

from attnbench.cell import Cell, Pack
from attnbench.contained import contained
from attnbench.driver import Planned
from attnbench.fingerprint import fingerprint
from attnbench.grid.packs import Composition, composed
from attnbench.grid.plan import PlannedCell
from attnbench.grid.values import Grid
from attnbench.run_messages import cells_reused, cells_that_leave, data_message, explained, missing_lengths_message
from attnbench.stages import Stage, rule_of, stage_of
from attnbench.store.checkpoints import delete_checkpoints, with_checkpoints
from attnbench.store.index import CellSummary
from attnbench.store.provenance import Provenance, note
from attnbench.store.reuse import Reusable, find_reusable
from attnbench.store.reuse import reuse as copy_cells
from attnbench.store.status import DONE, FAILED, STALE, TODO, CellState, states_of
from attnbench.store.store import Store


@dataclass(frozen=True)
class Wishes:
    """Which cells the user wants to be trained; see `runner.run`."""

    limit: int | None = None
    retry_failed: bool = False
    keep_stale: bool = False
    fresh: bool = False
    reuse: bool = True

    def makes_due(self, state: CellState) -> bool:
        """Whether a cell is to be trained."""
        name = state.kept if self.keep_stale and state.name == STALE else state.name
        return self.fresh or name in (TODO, STALE) or (self.retry_failed and name == FAILED)


@dataclass
class Work:
    """What is trained at one stage.

    Attributes:
        stage: of the grid.
        packs: to train now.
        states: of each cell before, by id.
        found: the packs of other runs that are copied.
        compositions: which cells are or will be trained together.
        doubts: remarks on broken files.
        messages: about the data.
        complete: whether all packs that are due are among `packs`, and not only the first ones of a limit.
    """

    stage: Stage
    packs: list[Pack]
    states: dict[str, CellState]
    found: list[Reusable]
    compositions: list[Composition]
    doubts: list[str]
    messages: list[str]
    complete: bool


@dataclass
class Session:
    """The stages of one run; the lock of the results folder must be held.

    Attributes:
        grid: that is run.
        store: its results.
        wishes: of the user.
        spread_over: the number of workers that few packs are spread over.
        check: checks that packs can be trained; returns messages about their data.
        trained: the cells that this run has been given to train, which are not trained a second time.
    """

    grid: Grid
    store: Store
    wishes: Wishes
    spread_over: int
    check: Callable[[Sequence[Pack]], list[str]]
    trained: set[str] = field(default_factory=set)
    _said: set[str] = field(default_factory=set)
    _begun: Work | None = None  # of the latest stage

    @property
    def has_stages(self) -> bool:
        """Whether what is trained later depends on earlier results."""
        return self.grid.tune is not None or self.grid.decide is not None

    def next(self) -> Work:
        """What is to be trained now, which may be nothing; it writes nothing but deletes checkpoints of no use."""
        stage = stage_of(self.grid, self._ended)
        # Also the seeds that are not needed yet: a pack of another run is copied whole.
        later = [*stage.plan.waiting, *stage.plan.unneeded] if stage.settings else []
        wanted = [*stage.plan.trained, *later]
        states = states_of(wanted, self.store)
        # Finished by a killed run, and still on disk: it is enough to remove what is in their way.
        unplaced = {cell for pack in self.store.unplaced for cell in pack.cells}
        reuses = self.wishes.reuse and not self.wishes.fresh
        found = find_reusable(wanted, states, self.store, unplaced) if reuses else []
        states |= {cell.id: CellState(DONE, kept=DONE) for pack in found for cell in pack.cells}
        doubts = self.store.doubts(cell.id for cell in stage.plan.trained)
        due = {cell.id for cell in stage.due if self._is_due(cell.id, states[cell.id])}
        # Stale cells that are kept must not be trained with a cell of their pack that was lost.
        kept = {id_ for id_, state in states.items() if state.name == STALE and id_ not in due}
        before = [part for pack in self.store.packs() for part in (pack.parts(kept) if due & {*pack.ids} else [pack])]
        earlier = [*(pack.together for pack in found), *before]
        every = composed(stage.due, earlier, self.grid.plugins, self.spread_over)
        # A pack is trained whole, also the cells of it that are done: they must not be trained in another company.
        packs = [pack for pack in every if due.intersection(pack.ids) and not unplaced.intersection(pack.ids)]
        limit = None if self.wishes.limit is None else self.wishes.limit - len(self.trained)
        todo = _first_packs(packs, limit, at_least=0 if self.trained else 1)
        # All with `fresh`, and those that a run left that was killed just after it saved a pack.
        of_no_use = [pack.ids[0] for pack in every if self.wishes.fresh or not due.intersection(pack.ids)]
        delete_checkpoints(self.store.folder, of_no_use)
        todo = with_checkpoints(todo, self.store.folder)
        compositions = [Composition.of(pack) for pack in every]
        complete = len(todo) == len(packs)
        return Work(stage, todo, states, found, compositions, doubts, self.check(todo), complete)

    def following(self) -> Work | None:
        """What is to be trained when the packs of the latest stage have ended; None if there is nothing more."""
        before = self._begun
        if before is None or not self.has_stages or not before.complete or self._limit_reached():
            return None
        work = self.next()
        # Where cells were copied, a stage may have nothing to train and still be followed by another one.
        planned, new = ({cell.id for cell in one.stage.plan.trained} for one in (before, work))
        return work if work.packs or work.found or new != planned else None

    def begin(self, work: Work, workers: int, entry: Provenance | None) -> tuple[Planned, list[str]]:
        """Writes the plan of a stage and copies the cells that are reused.

        Args:
            work: of the stage.
            workers: the number of packs trained at a time.
            entry: the provenance of what is trained; None where nothing is.

        Returns:
            The event for the listener, and the messages that follow it.

        Raises:
            AttnbenchError: if the results folder cannot be written.
        """
        plan, store = work.stage.plan, self.store
        self._begun = work
        code = {cell.id: fingerprint(cell.cell) for cell in plan.trained}
        leaving = [] if self.trained else cells_that_leave(plan, store)
        rule = rule_of(self.grid)
        store.start(plan, self.grid.text, work.compositions, code, None if rule is None else asdict(rule))
        if entry is not None:
            note(store.folder, entry)
        copied = [cell for pack in work.found for cell in pack.cells]
        if copied:
            copy_cells(work.found, store)
            work.states |= states_of(copied, store)
        self.trained |= {id_ for pack in work.packs for id_ in pack.ids}
        reused = frozenset(cell.id for cell in copied) & {cell.id for cell in plan.trained}
        planned = Planned(plan, work.packs, work.states, workers, reused, work.stage)
        messages = [*leaving, *cells_reused(work.found), *explained(work.doubts), *work.messages]
        new = [message for message in messages if message not in self._said]
        self._said.update(new)
        return planned, new

    def _ended(self, cells: Sequence[PlannedCell]) -> Mapping[str, CellSummary]:
        states = states_of(cells, self.store)
        counts = {id_ for id_, state in states.items() if state.kept != TODO and not self._is_due(id_, state)}
        return {id_: summary for id_, summary in self.store.summaries() if id_ in counts}

    def _is_due(self, cell: str, state: CellState) -> bool:
        return cell not in self.trained and self.wishes.makes_due(state)

    def _limit_reached(self) -> bool:
        return self.wishes.limit is not None and len(self.trained) >= self.wishes.limit


def check_data(todo: Sequence[Pack]) -> list[str]:
    """Raises errors in the data that training would find later, such as a length without any test source.

    Returns:
        For each data file, what was left out of it and how many of its words are unknown; for each custom task, which
        of the lengths it does not have.
    """
    from attnbench.tasks.check import check_data, missing_lengths  # imports NumPy, and takes some ms per task

    distinct = {(pack.cell.task.model_dump_json(), pack.cell.data): pack.cell for pack in todo}
    with contained():  # custom tasks are built
        facts = [(_data_name(cell), check_data(cell.task, cell.data)) for cell in distinct.values()]
    messages = list(dict.fromkeys(data_message(name, found) for name, found in facts if found))
    missing = [(cell, missing_lengths(cell.task, cell.data)) for cell in distinct.values()]
    return messages + [missing_lengths_message(cell, lengths) for cell, lengths in missing if lengths]


def _data_name(cell: Cell) -> str:
    """The name of the data file of a cell, or of its task if it has none."""
    return cell.task.name if cell.data.path is None else Path(cell.data.path).name


def _first_packs(all_packs: list[Pack], limit: int | None, at_least: int) -> list[Pack]:
    """The first packs that have at most `limit` cells together, but no fewer packs than `at_least`."""
    if limit is None:
        return all_packs
    totals = accumulate(len(pack.ids) for pack in all_packs)
    return [pack for pack, total in zip(all_packs, totals, strict=True) if total <= limit] or all_packs[:at_least]
