"""Expands a grid to its cells: resolves every combination, and skips the incompatible ones with a reason."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from attnbench.cell import COLUMN_KINDS, LABELS, Cell, Component, Data, Train
from attnbench.grid.claim_cells import check_cells
from attnbench.grid.document import Problems
from attnbench.grid.identity import PATHS, cell_id, data_digests
from attnbench.grid.incompatible import NO_SCORE, incompatibility
from attnbench.grid.labels import label
from attnbench.grid.resolve import UNUSED, Resolver, SkipReason, find
from attnbench.grid.schema import COMPONENTS
from attnbench.grid.task_check import TaskCheck
from attnbench.grid.values import DEFAULTS, Combination, Exclude, Grid, Label, Value
from attnbench.messages import NO_VALUE


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
    """An expanded grid. `axes` are the axes other than score, scope, task and seed, most of them with dotted names."""

    name: str
    axes: tuple[str, ...]
    cells: list[PlannedCell]
    skipped: list[Skipped]


@dataclass(frozen=True)
class ResolvedParts:
    """A resolved combination, without a seed."""

    model: Component
    score: Component | None
    scope: Component
    normaliser: Component | None
    task: Component
    data: Data
    train: Train


def expand(grid: Grid) -> Plan:
    """Returns the cells of a grid in order: the last axis varies fastest, and within it the seeds.

    Raises:
        AttnbenchError: with the problems of all combinations: min_length above max_length, a length for which the
            task has no source, an exclude that matches nothing; or if no cell is left.
    """
    return _Expansion(grid).run()


class _Expansion:
    """Visits every combination once, collecting cells, skipped combinations and problems."""

    def __init__(self, grid: Grid) -> None:
        self.grid, self.document = grid, grid.document
        self.problems = Problems()
        self.resolver = Resolver(grid.document, grid.values, grid.sections, self.problems)
        self.axes = tuple(axis for axis in grid.values.names if axis not in LABELS)
        self.cells: list[PlannedCell] = []
        self.skipped: list[Skipped] = []
        self.task_check = TaskCheck(self.document, self.problems)
        self.matched: set[Exclude] = set()
        self.first_ids: set[str] = set()  # the id of each combination's first cell

    def run(self) -> Plan:
        """Visits the product, then the includes; raises all problems at once."""
        for combination in self.grid.values.product():
            exclude = self._excluded_by(combination)
            if exclude is None:
                self._add(combination)
            else:
                place = self.document.place(exclude.place)
                self._skip(combination, f"excluded by {f'line {place.line}' if place.line else place.where}")
        for combination in self.grid.values.includes:
            self._add(combination)
        self._check_all()
        self.problems.raise_all()
        self._check_claims()
        return Plan(self.grid.name, self.axes, self.cells, self.skipped)

    def _check_all(self) -> None:
        self.task_check.run()
        for exclude in self.grid.values.excludes:
            if exclude not in self.matched:
                what = "this exclude matches no combination of the grid"
                self.problems.add(self.document.place(exclude.place), what, "correct or remove it")
        if not self.cells and not self.problems:
            reasons = list(dict.fromkeys(skipped.reason for skipped in self.skipped))
            place = self.document.place(("grid",), key=True)
            what = "the grid is empty: every combination is excluded or skipped"
            self.problems.add(place, what, "; ".join(reasons[:3]))

    def _check_claims(self) -> None:
        skipped = [(one.labels, one.reason) for one in self.skipped]
        check_cells(self.document, self.grid.claims, [planned.labels for planned in self.cells], skipped)
        self.document.problems.raise_all()

    def _excluded_by(self, combination: Combination) -> Exclude | None:
        matching = [exclude for exclude in self.grid.values.excludes if self._matches(exclude, combination)]
        self.matched.update(matching)
        return matching[0] if matching else None

    def _matches(self, exclude: Exclude, combination: Combination) -> bool:
        return all(self._has(axis, test, combination) for axis, test in exclude.tests.items())

    def _has(self, axis: str, test: object, combination: Combination) -> bool:
        if axis not in COMPONENTS:
            return self.resolver.configured("model.kind" if axis == "model" else axis, combination) == test
        value = combination.get(axis, DEFAULTS.get(axis))
        if value is None:
            return False
        if not isinstance(test, dict):
            return test in (value.name, value.label)
        options = {key: wanted for key, wanted in test.items() if key != "name"}
        return value.name == test["name"] and all(
            self.resolver.configured(f"{axis}.{key}", combination) == wanted for key, wanted in options.items()
        )

    def _add(self, combination: Combination) -> None:
        parts = self._resolve(combination)
        if isinstance(parts, SkipReason):
            self._skip(combination, parts)
        elif parts is not None:
            self._add_cells(combination, parts)

    def _resolve(self, combination: Combination) -> ResolvedParts | SkipReason | None:
        """Returns the parts, or the reason to skip the combination; None if a part has a problem, which is recorded."""
        resolver = self.resolver
        scope = resolver.component("scope", combination)
        without_score = isinstance(scope, Component) and scope.name == NO_SCORE
        found = None if without_score else resolver.component("score", combination)
        without_normaliser = isinstance(scope, Component) and not find("scope", scope.name).takes("normaliser")
        weighing = None if without_normaliser else resolver.component("normaliser", combination)
        task = resolver.component("task", combination)
        model = resolver.model(combination)
        for part in (model, found, scope, weighing, task):
            if isinstance(part, SkipReason):
                return part
        train = resolver.train(combination)
        score = found if isinstance(found, Component) else None
        normaliser = weighing if isinstance(weighing, Component) else None
        if (score is None and not without_score) or (normaliser is None and not without_normaliser):
            return None
        if not (isinstance(model, Component) and isinstance(scope, Component) and isinstance(task, Component)):
            return None
        if train is None:
            return None
        reason = incompatibility(model, score, scope, normaliser, task)
        if reason:
            return SkipReason(reason)
        # Last: reading the lengths of the user's sentence pairs is slow, and only needed for valid combinations.
        data = resolver.data(combination, task)
        return None if data is None else ResolvedParts(model, score, scope, normaliser, task, data, train)

    def _add_cells(self, combination: Combination, parts: ResolvedParts) -> None:
        cells = [
            Cell(
                model=parts.model,
                score=parts.score,
                scope=parts.scope,
                normaliser=parts.normaliser,
                task=parts.task,
                data=parts.data,
                train=parts.train,
                seed=seed,
            )
            for seed in self.grid.seeds
        ]
        digests = data_digests(parts.data)
        ids = [cell_id(cell, digests) for cell in cells]
        # The first seed is enough, because all combinations have the same seeds.
        if ids[0] in self.first_ids:
            self._skip(combination, self._same_as(combination, parts, ids[0]))
            return
        self.first_ids.add(ids[0])
        self.task_check.add(parts.task, parts.data, combination)
        labels = self._labels(combination, parts)
        self.cells += [
            PlannedCell(id_, cell, labels | {"seed": cell.seed}, digests) for id_, cell in zip(ids, cells, strict=True)
        ]

    def _same_as(self, combination: Combination, parts: ResolvedParts, id_: str) -> str:
        """Returns the reason to skip a combination that equals an earlier cell: the values in it that are not used."""
        task = parts.task.name
        unused = [f"scope {NO_SCORE} uses no score"] if parts.score is None and "score" in combination else []
        if parts.normaliser is None and "normaliser" in combination:
            unused.append(f"scope {parts.scope.name} uses no normaliser")
        fields = [field for field in UNUSED if not find("task", task).takes(field)]
        fields += [field for field in PATHS if getattr(parts.data, field) is None]
        unused += [f"{task} does not use data.{field}" for field in fields if f"data.{field}" in combination]
        return f"{', '.join(unused)}{': ' if unused else ''}same as cell {id_}"

    def _skip(self, combination: Combination, reason: str) -> None:
        def name(kind: str) -> Label:
            return combination[kind].label if kind in combination else NO_VALUE

        labels = {"model": self.resolver.configured("model.kind", combination), "seed": None}
        labels |= {kind: name(kind) for kind in COLUMN_KINDS if kind != "model"}
        written = {axis: self._written_label(axis, combination) for axis in self.axes}
        self.skipped.append(Skipped(labels | written, str(reason)))

    def _written_label(self, axis: str, combination: Combination) -> Label:
        value = combination.get(axis, DEFAULTS.get(axis))
        return label(self.resolver.configured(axis, combination)) if value is None else value.label

    def _labels(self, combination: Combination, parts: ResolvedParts) -> dict[str, Label]:
        labels: dict[str, Label] = {
            "model": parts.model.name,
            "score": combination["score"].label if parts.score else NO_VALUE,
            "scope": combination["scope"].label,
            "task": combination["task"].label,
            "seed": None,
        }
        return labels | {axis: self._used_label(axis, combination.get(axis), parts) for axis in self.axes}

    def _used_label(self, axis: str, value: Value | None, parts: ResolvedParts) -> Label:
        """Returns the label of a dotted axis: the cell's value; for a path as written, since the cell's is absolute."""
        head, *names = axis.split(".")
        part = getattr(parts, head)
        if axis == "model.kind":
            return str(parts.model.name)
        if axis == "normaliser":
            return NO_VALUE if part is None else (value or DEFAULTS[axis]).label
        used = part.options if isinstance(part, Component) else part
        for name in names:
            used = used.get(name) if isinstance(used, dict) else getattr(used, name, None)
        return value.label if value is not None and used is not None and names[0] in PATHS else label(used)
