"""Reads the axes of a grid file with its `exclude` and `include`, and checks each value on its own."""

import json
from collections.abc import Iterable
from itertools import chain, product
from typing import Any

from attnbench.cell import Data, StopAt, Train
from attnbench.errors import AttnbenchError, did_you_mean
from attnbench.grid.document import Document, KeyPath, Problems
from attnbench.grid.incompatible import NO_SCORE
from attnbench.grid.labels import component_label
from attnbench.grid.resolve import find
from attnbench.grid.schema import COMPONENTS, DEFAULT_MODEL, GridFile
from attnbench.grid.tune import is_tunable, overlap, tuned_in_test
from attnbench.grid.values import DEFAULTS, GLOBAL, Axes, Combination, Exclude, Value, plain_value
from attnbench.messages import show
from attnbench.registered.entry import Entry
from attnbench.registry import REGISTRIES

# The axes that exist whatever components the grid uses; `_known` adds the components' options.
FIELDS = (
    "model.kind",
    *(f"data.{name}" for name in Data.model_fields),
    *(f"train.{name}" for name in Train.model_fields),
    *(f"train.stop_at.{name}" for name in StopAt.model_fields),
)


class AxesReader:
    """Reads the axes; problems are recorded, and the values that have one are left out of the result."""

    def __init__(self, file: GridFile, document: Document, problems: Problems) -> None:
        self.file, self.document, self.problems = file, document, problems
        self._used: dict[str, dict[str, Entry]] = {kind: {} for kind in ("model", *COMPONENTS)}
        # Kinds with an unreadable value. Any of their options may be meant, so none is reported as unknown.
        self._unreadable: set[str] = set()

    def read(self) -> Axes:
        """Returns the valid axes."""
        # Components before all other axes: an axis such as `scope.window` is known only if a scope has the option.
        self._find_models()
        product = self._components_first({"grid": self.file.grid, "zip": self.file.zip})
        combinations = [self._components_of("include", index) for index in range(len(self.file.include))]
        for section, axes in product.items():
            for axis in [axis for axis in axes if axis not in COMPONENTS]:
                axes[axis] = self._dotted(axis, (section, axis), getattr(self.file, section)[axis])
        for index, combination in enumerate(combinations):
            self._read_rest(combination, index)
        self._check_clashes()
        groups = self._groups(product["grid"], product["zip"])
        single = _single_valued(groups)
        includes = tuple(self._completed(c, index, single) for index, c in enumerate(combinations))
        self._check_normalisers(groups, includes)
        return Axes(groups, includes, tuple(self._read_excludes(groups)), self._candidates())

    def _find_models(self) -> None:
        """Looks up the models that the file names, whose options may be axes."""
        kinds: list[tuple[Any, KeyPath]] = [(self.file.model.get("kind", DEFAULT_MODEL), ("model", "kind"))]
        for section in ("grid", "zip"):
            kinds += [
                (kind, (section, "model.kind", index))
                for index, kind in enumerate(getattr(self.file, section).get("model.kind", []))
            ]
        for index, combination in enumerate(self.file.include):
            if "model.kind" in combination:
                kinds.append((combination["model.kind"], ("include", index, "model.kind")))
        for kind, place in kinds:
            self._find("model", kind, place)

    def _find(self, kind: str, name: Any, place: KeyPath) -> bool:
        """Looks up a component; returns whether it exists, and records a problem if not."""
        if not isinstance(name, str):
            self._unreadable.add(kind)
            what = f"a {kind} should be a name or {{name: …, option: …}}, found {show(name)}"
            self.problems.add(self.document.place(place), what)
            return False
        try:
            self._used[kind][name] = find(kind, name)
        except AttnbenchError as error:
            self._unreadable.add(kind)
            for problem in error.problems:
                self.problems.add(self.document.place(place), problem.what, problem.hint)
            return False
        return True

    def _components_first(self, sections: dict[str, dict[str, list[Any]]]) -> dict[str, dict[str, list[Value]]]:
        """Returns the axes of the sections in order; only those of components are read, the others are still empty."""
        return {
            section: {axis: self._components(axis, (section, axis), values) for axis, values in axes.items()}
            for section, axes in sections.items()
        }

    def _components(self, axis: str, place: KeyPath, values: list[Any]) -> list[Value]:
        if not values:
            self.problems.add(self.document.place(place), f"the axis {axis} has no values")
        if axis not in COMPONENTS:
            return []
        read = [self._component(axis, (*place, index), value) for index, value in enumerate(values)]
        return [value for value in read if value is not None]

    def _component(self, kind: str, place: KeyPath, written: Any) -> Value | None:
        """Reads a component, written as a name or as a mapping with a name and options."""
        if isinstance(written, dict) and "name" not in written:
            self._unreadable.add(kind)
            self.problems.add(self.document.place(place), f"a {kind} with options needs a name", "{name: …, option: …}")
            return None
        name, at = (written["name"], (*place, "name")) if isinstance(written, dict) else (written, place)
        if not self._find(kind, name, at):
            return None
        options = {key: value for key, value in written.items() if key != "name"} if isinstance(written, dict) else {}
        return Value(kind, place, written, component_label(name, options), name, options)

    def _components_of(self, section: str, index: int) -> Combination:
        written = getattr(self.file, section)[index]
        read = {k: self._component(k, (section, index, k), written[k]) for k in COMPONENTS if k in written}
        return {kind: value for kind, value in read.items() if value is not None}

    def _read_rest(self, combination: Combination, index: int) -> None:
        """Adds the dotted axes of an included combination."""
        for axis, data in self.file.include[index].items():
            place: KeyPath = ("include", index, axis)
            value = plain_value(axis, place, data)
            if axis not in COMPONENTS and self._is_known(axis, place) and self._is_usable(value):
                combination[axis] = value

    def _dotted(self, axis: str, place: KeyPath, values: list[Any]) -> list[Value]:
        if not self._is_known(axis, place):
            return []
        read = [plain_value(axis, (*place, index), data) for index, data in enumerate(values)]
        return [value for value in read if self._is_usable(value)]

    def _is_usable(self, value: Value) -> bool:
        """Returns False for an unknown model, which is already recorded as a problem."""
        return value.axis != "model.kind" or (isinstance(value.data, str) and value.data in self._used["model"])

    def _is_known(self, axis: str, place: KeyPath) -> bool:
        known = self._known()
        if axis in known:
            return True
        if axis in ("seed", "seeds"):
            hint = "seeds: is a key at the top of the file"
        elif axis == "model":
            hint = "did you mean 'model.kind'?"
        else:
            hint = did_you_mean(axis, known)
        self.problems.add(self.document.place(place, key=True), f"unknown axis {axis!r}", hint)
        return False

    def _known(self) -> list[str]:
        """Returns every possible axis: components, fields, and the options of the components in this grid."""
        known = [*COMPONENTS, *FIELDS]
        for kind, entries in self._used.items():
            registry = REGISTRIES[kind]
            every = map(registry.entry, registry.names()) if kind in self._unreadable else entries.values()
            known += [f"{kind}.{option.name}" for entry in every for option in entry.options]
        return list(dict.fromkeys(known))

    def _check_clashes(self) -> None:
        """Checks that no axis is in both grid and zip or next to a part of itself, and that zip has equal lengths."""
        for axis in self.file.zip:
            if axis in self.file.grid:
                place = self.document.place(("zip", axis), key=True)
                self.problems.add(place, f"the axis {axis} is in both grid and zip", "remove one of them")
        names = [*self.file.grid, *self.file.zip]
        for axis in names:
            whole = axis.rpartition(".")[0]
            if whole in names and whole not in COMPONENTS:
                section = "grid" if axis in self.file.grid else "zip"
                place = self.document.place((section, axis), key=True)
                self.problems.add(place, f"the axis {axis} is part of the axis {whole}", "remove one of them")
        lengths = {axis: len(values) for axis, values in self.file.zip.items()}
        if len(set(lengths.values())) > 1:
            found = ", ".join(f"{axis} has {length}" for axis, length in lengths.items())
            place = self.document.place(("zip",), key=True)
            self.problems.add(place, f"all axes of zip should have the same number of values: {found}")

    def _groups(
        self, grid: dict[str, list[Value]], zipped: dict[str, list[Value]]
    ) -> tuple[tuple[Combination, ...], ...]:
        groups = [tuple({axis: value} for value in values) for axis, values in grid.items() if values]
        if any(zipped.values()):
            # Not strict: different lengths are already recorded as a problem.
            together = zip(*(values for values in zipped.values() if values), strict=False)
            groups.append(tuple({value.axis: value for value in part} for part in together))
        return tuple(groups)

    def _candidates(self) -> tuple[Combination, ...]:
        """Returns every combination of the values in `tune.grid`."""
        if self.file.tune is None:
            return ()
        if not self.file.tune.grid:
            hint = "e.g. train.learning_rate: [0.001, 0.003, 0.01]"
            self.problems.add(self.document.place(("tune", "grid"), key=True), "tune.grid has no fields", hint)
        if self.file.tune.candidates > self.file.max_cells:  # before their product is built
            what = f"tune.grid has {self.file.tune.candidates:,} combinations"
            self.problems.add(self.document.place(("tune", "grid"), key=True), what, "list fewer values")
            return ()
        read = [self._tuned(field, values) for field, values in self.file.tune.grid.items()]
        return tuple({value.axis: value for value in part} for part in product(*read)) if all(read) else ()

    def _tuned(self, field: str, values: list[Any]) -> list[Value]:
        """Returns the values of a tuned field; none if it has a problem."""
        place: KeyPath = ("tune", "grid", field)
        parts = (self.file.grid, self.file.zip, *self.file.include)
        compared = dict.fromkeys(axis for part in parts for axis in part if axis not in COMPONENTS)
        overlaps = [axis for axis in compared if overlap(axis, field)]
        if overlaps:
            what = f"{overlaps[0]} is an axis of the grid: its values are compared, and are not tuned as well"
            self.problems.add(self.document.place(place, key=True), what, f"remove {field} from tune.grid or from grid")
        elif not is_tunable(field):
            what = f"{field} cannot be tuned"
            hint = "tune fields of train, and options of the model, score, scope or normaliser; compare others in grid"
            known = self._known()
            hint = hint if field in known else did_you_mean(field, filter(is_tunable, known))
            self.problems.add(self.document.place(place, key=True), what, hint)
        elif len({json.dumps(value, default=str) for value in values}) < max(2, len(values)):
            one = len(values) < 2
            what = f"{field} has {'nothing to choose from' if one else 'a value twice'}"
            self.problems.add(self.document.place(place), what, "list at least two different values" if one else "")
        else:
            return self._dotted(field, place, values)
        return []

    def _completed(self, combination: Combination, index: int, single: Combination) -> Combination:
        """Adds to an included combination the axes that it leaves open, if they have a single value in the grid."""
        completed = {"scope": GLOBAL} | single | combination
        if completed["scope"].name == NO_SCORE and "score" not in self.file.include[index]:
            completed.pop("score", None)
        self._refuse_unused_normaliser(completed["scope"], ("include", index), combination)
        for kind in ("score", "task"):
            needed = kind == "task" or completed["scope"].name != NO_SCORE
            # A value that is written but invalid already has its own problem.
            reported = kind in self.file.include[index] or kind in self._unreadable
            if needed and kind not in completed and not reported:
                place = self.document.place(("include", index))
                self.problems.add(place, f"this combination needs a {kind}", f"add {kind}: …")
        return completed

    def _refuse_unused_normaliser(self, scope: Value, place: KeyPath, written: Iterable[str]) -> None:
        """Records a normaliser, or an option of it, that is written for a scope that uses none."""
        if find("scope", scope.name).takes("normaliser"):
            return
        for axis in written:
            if axis.partition(".")[0] == "normaliser":
                what = f"the scope {scope.name} uses no normaliser"
                self.problems.add(self.document.place((*place, axis), key=True), what, f"remove {axis}")

    def _check_normalisers(self, groups: tuple[tuple[Combination, ...], ...], includes: Iterable[Combination]) -> None:
        """Records normalisers in a grid without a scope that uses one."""
        scopes = [value for part in chain.from_iterable(groups) if (value := part.get("scope"))] or [GLOBAL]
        used = [*scopes, *(combination["scope"] for combination in includes)]
        if "scope" in self._unreadable or any(find("scope", scope.name).takes("normaliser") for scope in used):
            return
        for section in ("grid", "zip"):
            self._refuse_unused_normaliser(scopes[0], (section,), getattr(self.file, section))

    def _read_excludes(self, groups: tuple[tuple[Combination, ...], ...]) -> list[Exclude]:
        excludes = []
        for index, written in enumerate(self.file.exclude):
            place: KeyPath = ("exclude", index)
            if not written:
                self.problems.add(self.document.place(place), "this exclude has no axis")
            valid = [self._is_valid_test(axis, test, (*place, axis), groups) for axis, test in written.items()]
            if all(valid):
                excludes.append(Exclude(place, written))
        return excludes

    def _is_valid_test(self, axis: str, test: Any, place: KeyPath, groups: tuple[tuple[Combination, ...], ...]) -> bool:
        """Returns whether an entry of an exclude can match; records names and labels that the grid does not have."""
        tuned = tuned_in_test(axis, test, [] if self.file.tune is None else self.file.tune.grid)
        for field, keys in tuned:
            what = f"{field} is tuned: no combination can be excluded by a value of it"
            hint = f"remove it here, or the value from tune.grid; to compare its values, move {field} to grid"
            self.problems.add(self.document.place((*place, *keys), key=True), what, hint)
        if tuned:
            return False
        if axis not in COMPONENTS:
            return axis == "model" or self._is_known(axis, place)
        if isinstance(test, dict):
            return self._component(axis, place, test) is not None
        values = [part[axis] for group in groups for part in group if axis in part] or [DEFAULTS.get(axis, GLOBAL)]
        known = {name for value in values for name in (value.name, str(value.label))}
        if axis in self._unreadable or (isinstance(test, str) and test in known):
            return True
        if isinstance(test, str) and test in REGISTRIES[axis]:
            what = f"this exclude matches nothing: the grid has no {axis} {test!r}"
        else:
            what = f"unknown {axis} {show(test)}"
        self.problems.add(self.document.place(place), what, did_you_mean(str(test), known))
        return False


def _single_valued(groups: tuple[tuple[Combination, ...], ...]) -> Combination:
    """Returns the axes that have a single value, with it."""
    distinct: dict[str, dict[Value, None]] = {}
    for part in chain.from_iterable(groups):
        for axis, value in part.items():
            distinct.setdefault(axis, {})[value] = None
    return {axis: next(iter(values)) for axis, values in distinct.items() if len(values) == 1}
