"""Expands a grid to its cells: resolves every combination, and skips the incompatible ones with a reason."""

from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType

from attnbench.cell import COLUMN_KINDS, LABELS, Cell, Component, Data, Train
from attnbench.grid.claim_cells import check_cells
from attnbench.grid.document import Problems
from attnbench.grid.identity import PATHS, cell_id, data_digests
from attnbench.grid.incompatible import NO_SCORE, incompatibility
from attnbench.grid.labels import label
from attnbench.grid.plan import Plan, PlannedCell, Skipped
from attnbench.grid.resolve import UNUSED, Resolver, SkipReason, find
from attnbench.grid.schema import COMPONENTS
from attnbench.grid.task_check import TaskCheck
from attnbench.grid.tune import Measured, Tune, Tuned, choose
from attnbench.grid.values import DEFAULTS, Combination, Exclude, Grid, Label, Value
from attnbench.messages import NO_VALUE


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


def expand(grid: Grid, ended: Measured = MappingProxyType({})) -> Plan:
    """Returns the cells of a grid in order: the last axis varies fastest, and within it the seeds.

    Args:
        grid: with `decide`, all seeds that it may train are planned.
        ended: the results of the tuning cells that have ended; used with `tune` alone.

    Raises:
        AttnbenchError: with the problems of all combinations: min_length above max_length, a length for which the
            task has no source, an exclude that matches nothing; or if no cell is left.
    """
    return _Expansion(grid, ended).run()


class _Expansion:
    """Visits every combination once, collecting cells, skipped combinations and problems."""

    def __init__(self, grid: Grid, ended: Measured) -> None:
        self.grid, self.document, self.ended = grid, grid.document, ended
        self.problems = Problems()
        self.resolver = Resolver(grid.document, grid.values, grid.sections, self.problems)
        self.axes = tuple(axis for axis in grid.values.names if axis not in LABELS)
        self.plan = Plan(grid.name, self.axes, [], [])
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
        return self.plan

    def _check_all(self) -> None:
        self.task_check.run()
        for exclude in self.grid.values.excludes:
            if exclude not in self.matched:
                what = "this exclude matches no combination of the grid"
                self.problems.add(self.document.place(exclude.place), what, "correct or remove it")
        if not self.plan.reported and not self.problems:
            reasons = list(dict.fromkeys(skipped.reason for skipped in self.plan.skipped))
            place = self.document.place(("grid",), key=True)
            what = "the grid is empty: every combination is excluded or skipped"
            self.problems.add(place, what, "; ".join(reasons[:3]))

    def _check_claims(self) -> None:
        skipped = [(one.labels, one.reason) for one in self.plan.skipped]
        check_cells(
            self.document,
            self.grid.claims,
            [planned.labels for planned in self.plan.reported],
            skipped,
        )
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
        if self.grid.values.candidates:
            self._add_tuned(combination)
            return
        parts = self._resolve(combination)
        if isinstance(parts, SkipReason):
            self._skip(combination, parts)
        elif parts is not None and (cells := self._new_cells(combination, parts)):
            self.plan.cells.extend(cells)

    def _add_tuned(self, combination: Combination) -> None:
        """Adds the tuning cells of a configuration and, if its candidate is chosen, the cells that are reported."""
        tune, candidates = self.grid.tune, self.grid.values.candidates
        assert tune is not None
        if self._refuses_untunable(combination):
            return
        every = [combination | candidate for candidate in candidates]
        resolved = [self._resolve(one) for one in every]
        parts = [one for one in resolved if isinstance(one, ResolvedParts)]
        reasons = [one for one in resolved if isinstance(one, SkipReason)]
        if len(reasons) == len(every):
            self._skip(combination, reasons[0])
        elif reasons:
            place = self.document.place(("tune", "grid"), key=True)
            self.problems.add(place, f"a candidate is impossible: {reasons[0]}", "exclude the combination")
        elif len(parts) == len(every):
            self._plan_tuning(combination, every, parts, tune)

    def _plan_tuning(
        self, combination: Combination, every: list[Combination], parts: list[ResolvedParts], tune: Tune
    ) -> None:
        labels = self._labels(combination, parts[0])
        candidates = tuple({f: one[f].label for f in self.grid.values.tuned} for one in self.grid.values.candidates)
        cells = [
            self._cells(one, labels | candidate, tune.seed_list, tuning=True)
            for one, candidate in zip(parts, candidates, strict=True)
        ]
        if self._is_repeated(combination, parts[0], cells[0][0].id):
            return
        ids = tuple(tuple(cell.id for cell in of_candidate) for of_candidate in cells)
        if len(set(ids)) < len(ids):
            same = next(n for n, one in enumerate(ids) if one in ids[:n])
            named = ", ".join(f"{field} {value}" for field, value in candidates[same].items())
            place = self.document.place(("tune", "grid"), key=True)
            self.problems.add(place, f"two candidates are the same training: {named}", "remove one of the values")
            return
        chosen = choose(ids, self.ended, tune.by)
        self.plan.tuning.extend(cell for of_candidate in cells for cell in of_candidate)
        self.plan.tuned.append(Tuned(labels, candidates, ids, chosen))
        for one, part in zip(every, parts, strict=True):
            self.task_check.add(part.task, part.data, one)
        reported = self._cells(parts[chosen or 0], labels, self.grid.seeds)
        (self.plan.waiting if chosen is None else self.plan.cells).extend(reported)

    def _refuses_untunable(self, combination: Combination) -> bool:
        """Records the tuned fields that a combination does not have; returns whether there are any."""
        found = False
        for name in self.grid.values.tuned:
            head, _, option = name.partition(".")
            component = self._component_name(head, combination) if head != "train" else None
            if head != "train" and (component is None or not find(head, component).takes(option)):
                who = f"{head} {component}" if component else f"scope {combination['scope'].name}, without a {head},"
                what = f"{who} has no {name}, and would get fewer candidates than other combinations"
                hint = "tune fields that every combination has, or exclude this one"
                self.problems.add(self.document.place(("tune", "grid", name), key=True), what, hint)
                found = True
        return found

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

    def _component_name(self, kind: str, combination: Combination) -> str | None:
        """Returns the name of a component of a combination; None if its scope uses none of this kind."""
        if kind == "model":
            return str(self.resolver.configured("model.kind", combination))
        scope = combination["scope"].name
        if (kind == "score" and scope == NO_SCORE) or (kind == "normaliser" and not find("scope", scope).takes(kind)):
            return None
        return (combination[kind] if kind in combination else DEFAULTS[kind]).name

    def _new_cells(self, combination: Combination, parts: ResolvedParts) -> list[PlannedCell]:
        """Returns the cells of a combination; none if they are those of an earlier one, which is recorded."""
        cells = self._cells(parts, self._labels(combination, parts), self.grid.seeds)
        if self._is_repeated(combination, parts, cells[0].id):
            return []
        self.task_check.add(parts.task, parts.data, combination)
        return cells

    def _is_repeated(self, combination: Combination, parts: ResolvedParts, first: str) -> bool:
        """Records a combination that equals an earlier one, by the id of its first cell: all have the same seeds."""
        if first in self.first_ids:
            self._skip(combination, self._same_as(combination, parts, first))
            return True
        self.first_ids.add(first)
        return False

    def _cells(
        self, parts: ResolvedParts, labels: dict[str, Label], seeds: Iterable[int], tuning: bool = False
    ) -> list[PlannedCell]:
        digests = data_digests(parts.task, parts.data)
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
                tuning=tuning,
            )
            for seed in seeds
        ]
        return [PlannedCell(cell_id(cell, digests), cell, labels | {"seed": cell.seed}, digests) for cell in cells]

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
        self.plan.skipped.append(Skipped(labels | written, str(reason)))

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
