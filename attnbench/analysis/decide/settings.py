"""The decisions of a run: one for each setting, which is a combination of all axes but the one that is compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from attnbench.analysis.decide.decision import Decision, decide, in_order
from attnbench.analysis.decide.sequential import Answer
from attnbench.analysis.learned import resolution_with
from attnbench.grid.labels import Label
from attnbench.metrics import metric_of

Labels = Mapping[str, Label]


@dataclass(frozen=True)
class Rule:
    """What is decided: the section `decide` of the grid file, with the numbers of seeds.

    Attributes:
        axis: whose values are compared.
        metric: by which.
        margin: smaller differences do not matter.
        at_least, at_most: the numbers of seeds.
    """

    axis: str
    metric: str
    margin: float
    at_least: int
    at_most: int


class Ended(Protocol):
    """A cell that has ended, as the store summarises it."""

    @property
    def status(self) -> str: ...
    @property
    def metrics(self) -> Mapping[str, float | None]: ...
    @property
    def test_examples(self) -> int | None: ...


@dataclass(frozen=True)
class Setting:
    """One setting, with the values of the axis that it has.

    Attributes:
        labels: of the axes that distinguish it from the other settings; at least the task.
        cells: the ids of its cells.
        decision: None where it has a single value of the axis, with which there is nothing to compare.
    """

    labels: dict[str, Label]
    cells: tuple[str, ...]
    decision: Decision[Label] | None


def settings(
    cells: Mapping[str, Labels], ended: Mapping[str, Ended], rule: Rule, compare: bool = True
) -> list[Setting]:
    """Groups cells by setting, and decides on each by the results so far.

    Axes that the compared axis determines do not distinguish settings: they are part of what is compared.

    Args:
        cells: the labels of all cells that may be trained, by id, in the order of the grid; all have the same seeds.
        ended: the cells that have ended, by id.
        rule: what is decided.
        compare: whether to compute the differences and intervals that are printed; the decisions do not need them.
    """
    every = list(cells.values())
    names = [name for name in (every[0] if every else ()) if name not in ("seed", rule.axis)]
    names = [name for name in names if not _follows(every, name, rule.axis)]
    varying = [name for name in names if name == "task" or len({cell[name] for cell in every}) > 1]
    groups: dict[tuple[Label, ...], dict[str, Labels]] = {}
    for id_, cell in cells.items():
        groups.setdefault(tuple(cell[name] for name in names), {})[id_] = cell
    return [
        Setting({name: first[name] for name in varying}, tuple(group), _decision(group, ended, rule, compare))
        for group in groups.values()
        for first in [next(iter(group.values()))]
    ]


def needed(found: Sequence[Setting], cells: Mapping[str, Labels], rule: Rule) -> set[str]:
    """The ids of the cells that are needed so far; where there is nothing to compare, those of the fewest seeds.

    All settings make a look before any makes the next one. Otherwise an interruption would change which cells are new
    at the same time, and thus which are trained together.
    """
    behind = min((one.decision.look for one in found if one.decision and not one.decision.finished), default=0)
    ids = set()
    for setting in found:
        wanted, most = {}, rule.at_most
        if setting.decision is not None:
            wanted = setting.decision.wanted
            if not setting.decision.finished and setting.decision.look > behind:
                most = setting.decision.looks[setting.decision.look - 1]
        for id_ in setting.cells:
            if _seed(cells[id_]) < min(most, wanted.get(cells[id_][rule.axis], rule.at_least)):
                ids.add(id_)
    return ids


def settled_cells(setting: Setting, cells: Mapping[str, Labels], rule: Rule) -> set[str]:
    """The ids of the cells of values that need no more seeds: their pairs are settled, or at the last look."""
    if setting.decision is None:
        return set(setting.cells)
    open_ = {value for pair, one in setting.decision.pairs.items() if one.verdict is Answer.OPEN for value in pair}
    return {id_ for id_ in setting.cells if cells[id_][rule.axis] not in open_}


def _decision(
    cells: Mapping[str, Labels], ended: Mapping[str, Ended], rule: Rule, compare: bool
) -> Decision[Label] | None:
    found: dict[Label, dict[int, Ended]] = {cell[rule.axis]: {} for cell in cells.values()}
    for id_, cell in cells.items():
        if id_ in ended:
            found[cell[rule.axis]][_seed(cell)] = ended[id_]
    if len(found) < 2:
        return None
    worst = _worst(found, rule)
    # Of the first seeds alone, so that more seeds do not change what was decided before.
    sizes = [ended[id_].test_examples for id_ in cells if id_ in ended and _seed(cells[id_]) < rule.at_least]
    resolution = resolution_with(sizes, rule.metric)
    values = {
        value: in_order({seed: _value(one, worst, rule) for seed, one in of_value.items()}, range(rule.at_most))
        for value, of_value in found.items()
    }
    better = metric_of(rule.metric).better
    return decide(values, rule.margin, better, rule.at_least, rule.at_most, resolution, compare)


def _worst(found: Mapping[Label, Mapping[int, Ended]], rule: Rule) -> float:
    """The value of a failed seed. Of the first seeds alone, so that later ones do not change earlier looks."""
    first = [one for of_value in found.values() for seed, one in of_value.items() if seed < rule.at_least]
    return metric_of(rule.metric).worst([v for one in first if (v := one.metrics.get(rule.metric)) is not None])


def _value(cell: Ended, worst: float, rule: Rule) -> float | None:
    value = cell.metrics.get(rule.metric)
    if cell.status == "failed" or (value is None and metric_of(rule.metric).missing_is_worst):
        return worst
    return value


def _seed(labels: Labels) -> int:
    return int(labels["seed"] or 0)


def _follows(cells: Sequence[Labels], name: str, axis: str) -> bool:
    """Whether each value of the axis has a single value of the other label."""
    pairs = {(cell[axis], cell[name]) for cell in cells}
    return name != "task" and len(pairs) == len({value for value, _ in pairs})
