"""Which cells of a grid are due: those of tuning, then the reported ones, with `decide` as many as the looks need.

What is due follows from the grid and from the results on disk, so that an interrupted run continues as it was.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from attnbench.analysis.decide.sequential import Answer
from attnbench.analysis.decide.settings import Rule, Setting, needed, settings, settled_cells
from attnbench.grid.expand import expand
from attnbench.grid.plan import Plan, PlannedCell
from attnbench.grid.values import Grid
from attnbench.store.index import CellSummary
from attnbench.store.status import DONE, FAILED, states_of
from attnbench.store.store import Store

# The results of the given cells that count, by id: those that have ended and will not be trained again.
Ended = Callable[[Sequence[PlannedCell]], Mapping[str, CellSummary]]


@dataclass(frozen=True)
class Stage:
    """What is known of a grid at one moment of its run.

    Attributes:
        plan: with the cells that are due or done so far; the others are waiting.
        settings: with `decide`, the decisions so far; empty while tuning is not finished.
        decides: whether the grid has `decide`, so that not all seeds may be needed.
    """

    plan: Plan
    settings: tuple[Setting, ...] = ()
    decides: bool = False

    @property
    def due(self) -> list[PlannedCell]:
        """The cells to train, if they are not done. No reported cell is trained before tuning has ended."""
        return self.plan.tuning if self.plan.is_tuning else self.plan.trained

    @property
    def name(self) -> str:
        """What the stage is, in a few words; "" for a grid that has one stage."""
        if self.plan.is_tuning:
            return "tuning"
        decisions = [setting.decision for setting in self.settings if setting.decision is not None]
        if not decisions:
            return ""
        pairs = [pair.verdict for decision in decisions for pair in decision.pairs.values()]
        settled = sum(verdict not in (Answer.OPEN, Answer.UNDECIDED) for verdict in pairs)
        facts = f"{settled} of {len(pairs)} pairs settled"
        looks = {decision.looks[decision.look] for decision in decisions if not decision.finished}
        return f"up to {max(looks)} seeds, {facts}" if looks else facts


def stage_of(grid: Grid, ended: Ended) -> Stage:
    """The present stage of a grid.

    Raises:
        AttnbenchError: if the grid has problems.
    """
    plan = expand(grid)
    if grid.tune is not None:
        measured = ended(plan.tuning)
        plan = expand(grid, {id_: None if one.status == "failed" else one.metrics for id_, one in measured.items()})
    rule = rule_of(grid)
    if plan.is_tuning:
        # What earlier runs reported stays in the tables; the rest follows tuning, also where a candidate is chosen.
        done = ended(plan.cells).keys()
        follows = [*(cell for cell in plan.cells if cell.id not in done), *plan.waiting]
        plan = replace(plan, cells=[cell for cell in plan.cells if cell.id in done], waiting=follows)
        return Stage(plan, decides=rule is not None)
    if rule is None:
        return Stage(plan)
    cells = {cell.id: cell.labels for cell in plan.cells}
    found = settings(cells, ended(plan.cells), rule, compare=False)
    due = needed(found, cells, rule)
    settled = {id_ for setting in found for id_ in settled_cells(setting, cells, rule)} - due
    return Stage(
        replace(
            plan,
            cells=[cell for cell in plan.cells if cell.id in due],
            waiting=[cell for cell in plan.cells if cell.id not in due | settled],
            unneeded=[cell for cell in plan.cells if cell.id in settled],
        ),
        tuple(found),
        decides=True,
    )


def finished_cells(cells: Sequence[PlannedCell], store: Store) -> Mapping[str, CellSummary]:
    """The results of the cells that are done or failed, and not stale."""
    states = states_of(cells, store)
    counts = {id_ for id_, state in states.items() if state.name in (DONE, FAILED)}
    return {id_: summary for id_, summary in store.summaries() if id_ in counts}


def rule_of(grid: Grid) -> Rule | None:
    """What the grid decides; None for a grid with a fixed number of seeds."""
    if grid.decide is None or grid.seed_range is None:
        return None
    return Rule(
        axis=grid.decide.axis,
        metric=grid.decide.metric,
        margin=grid.decide.smallest,
        at_least=grid.seed_range.at_least,
        at_most=grid.seed_range.at_most,
    )
