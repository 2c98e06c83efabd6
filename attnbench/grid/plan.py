"""An expanded grid: the cells to train, and the combinations that are skipped."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from attnbench.cell import Cell
from attnbench.grid.labels import Label
from attnbench.grid.tune import Tuned


@dataclass(frozen=True)
class PlannedCell:
    """A cell to train: its id, its configuration, its labels by axis, and the digests of its sentence pairs."""

    id: str
    cell: Cell
    labels: dict[str, Label]
    digests: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Skipped:
    """A combination that is not trained, with the reason. It covers all seeds: the label `seed` is None."""

    labels: dict[str, Label]
    reason: str


@dataclass(frozen=True)
class Plan:
    """An expanded grid.

    Attributes:
        name: of the grid.
        axes: the axes other than score, scope, task and seed, most of them with dotted names.
        cells: those whose results are reported.
        skipped: the combinations that are not trained.
        tuning: the cells that are trained to choose between candidates. Their labels are those of their configuration,
            with the tuned fields; their `seed` is one of tuning.
        tuned: the configurations with their candidates, in the order of the grid.
        waiting: the cells that follow once it is known with which candidate, or that may be needed for a decision.
            Before a candidate is chosen they have the first one, and thus another id than they will have.
        unneeded: the cells of seeds without which everything was decided.
    """

    name: str
    axes: tuple[str, ...]
    cells: list[PlannedCell]
    skipped: list[Skipped]
    tuning: list[PlannedCell] = field(default_factory=list)
    tuned: list[Tuned] = field(default_factory=list)
    waiting: list[PlannedCell] = field(default_factory=list)
    unneeded: list[PlannedCell] = field(default_factory=list)

    @property
    def is_tuning(self) -> bool:
        """Whether the candidate of any configuration is not chosen yet."""
        return any(tuned.chosen is None for tuned in self.tuned)

    @property
    def trained(self) -> list[PlannedCell]:
        """All cells that are trained now: those of tuning, then those that are reported."""
        return [*self.tuning, *self.cells]

    @property
    def reported(self) -> list[PlannedCell]:
        """All cells but those of tuning: those that are due, those that wait, and those that are not needed."""
        return [*self.cells, *self.waiting, *self.unneeded]
