"""Reads the axes of a grid file, and what is left out and added, into values that are checked by themselves."""

from itertools import chain
from typing import Any

from attnbench.cell import Data, StopAt, Train
from attnbench.errors import AttnbenchError, did_you_mean
from attnbench.grid.document import Document, KeyPath, Problems
from attnbench.grid.incompatible import NO_SCORE
from attnbench.grid.labels import component_label
from attnbench.grid.resolve import find
from attnbench.grid.schema import COMPONENTS, DEFAULT_MODEL, GridFile
from attnbench.grid.values import GLOBAL, Axes, Combination, Exclude, Value, plain_value
from attnbench.messages import show
from attnbench.registry import REGISTRIES, Entry

FIELDS = (
    "model.kind",
    *(f"data.{name}" for name in Data.model_fields),
    *(f"train.{name}" for name in Train.model_fields),
    *(f"train.stop_at.{name}" for name in StopAt.model_fields),
)


class AxesReader:
    """Reads the axes; what is wrong is noted in the document, and left out of the result."""

    def __init__(self, file: GridFile, document: Document, problems: Problems) -> None:
        self.file, self.document, self.problems = file, document, problems
        self._in_play: dict[str, dict[str, Entry]] = {kind: {} for kind in ("model", *COMPONENTS)}
        self._unsure: set[str] = set()  # kinds with an unreadable value: any of their options may be meant

    def read(self) -> Axes:
        """The axes that are sound."""
        self._note_models()
        product = self._components_first({"grid": self.file.grid, "zip": self.file.zip})
        combinations = [self._components_of("include", index) for index in range(len(self.file.include))]
        for section, axes in product.items():
            for axis in [axis for axis in axes if axis not in COMPONENTS]:
                axes[axis] = self._dotted(axis, (section, axis), getattr(self.file, section)[axis])
        for index, combination in enumerate(combinations):
            self._read_rest(combination, index)
        self._check_clashes()
        groups = self._groups(product["grid"], product["zip"])
        settled = _settled(groups)
        includes = tuple(self._completed(c, index, settled) for index, c in enumerate(combinations))
        return Axes(groups, includes, tuple(self._read_excludes(groups)))

    def _note_models(self) -> None:
        """Finds the models that the file names, whose options may be axes."""
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
        """Whether the name is known; notes what is wrong with it."""
        if not isinstance(name, str):
            self._unsure.add(kind)
            what = f"a {kind} should be a name or {{name: …, option: …}}, found {show(name)}"
            self.problems.add(self.document.place(place), what)
            return False
        try:
            self._in_play[kind][name] = find(kind, name)
        except AttnbenchError as error:
            self._unsure.add(kind)
            for problem in error.problems:
                self.problems.add(self.document.place(place), problem.what, problem.hint)
            return False
        return True

    def _components_first(self, sections: dict[str, dict[str, list[Any]]]) -> dict[str, dict[str, list[Value]]]:
        """The sections' axes in their order, the components read: the other axes may be options of theirs."""
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
        """A component: a name, or a mapping with a name and options."""
        if isinstance(written, dict) and "name" not in written:
            self._unsure.add(kind)
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
        """Whether a value is not an unknown model, which is noted already."""
        return value.axis != "model.kind" or (isinstance(value.data, str) and value.data in self._in_play["model"])

    def _is_known(self, axis: str, place: KeyPath) -> bool:
        known = self._known()
        if axis in known:
            return True
        if axis in ("seed", "seeds"):
            hint = "seeds: has its own place at the top of the file"
        elif axis == "model":
            hint = "did you mean 'model.kind'?"
        else:
            hint = did_you_mean(axis, known)
        self.problems.add(self.document.place(place, key=True), f"unknown axis {axis!r}", hint)
        return False

    def _known(self) -> list[str]:
        """Every axis there can be: the options are those of the components in the grid."""
        known = [*COMPONENTS, *FIELDS]
        for kind, entries in self._in_play.items():
            registry = REGISTRIES[kind]
            every = map(registry.entry, registry.names()) if kind in self._unsure else entries.values()
            known += [f"{kind}.{option.name}" for entry in every for option in entry.options]
        return list(dict.fromkeys(known))

    def _check_clashes(self) -> None:
        """An axis stands in one place only, and not beside a part of itself."""
        for axis in self.file.zip:
            if axis in self.file.grid:
                place = self.document.place(("zip", axis), key=True)
                self.problems.add(place, f"the axis {axis} stands in grid and in zip", "keep one of them")
        names = [*self.file.grid, *self.file.zip]
        for axis in names:
            whole = axis.rpartition(".")[0]
            if whole in names and whole not in COMPONENTS:
                section = "grid" if axis in self.file.grid else "zip"
                place = self.document.place((section, axis), key=True)
                self.problems.add(place, f"the axis {axis} is a part of the axis {whole}", "keep one of them")
        lengths = {axis: len(values) for axis, values in self.file.zip.items()}
        if len(set(lengths.values())) > 1:
            found = ", ".join(f"{axis} has {length}" for axis, length in lengths.items())
            place = self.document.place(("zip",), key=True)
            self.problems.add(place, f"the axes of zip should have equally many values: {found}")

    def _groups(
        self, grid: dict[str, list[Value]], zipped: dict[str, list[Value]]
    ) -> tuple[tuple[Combination, ...], ...]:
        groups = [tuple({axis: value} for value in values) for axis, values in grid.items() if values]
        if any(zipped.values()):
            together = zip(*(values for values in zipped.values() if values), strict=False)
            groups.append(tuple({value.axis: value for value in part} for part in together))
        return tuple(groups)

    def _completed(self, combination: Combination, index: int, settled: Combination) -> Combination:
        """An included combination with the axes that it leaves open, where there is no choice."""
        completed = {"scope": GLOBAL} | settled | combination
        if completed["scope"].name == NO_SCORE and "score" not in self.file.include[index]:
            completed.pop("score", None)
        for kind in ("score", "task"):
            needed = kind == "task" or completed["scope"].name != NO_SCORE
            if kind not in completed and kind not in self.file.include[index] and needed and kind not in self._unsure:
                place = self.document.place(("include", index))
                self.problems.add(place, f"this combination needs a {kind}", f"add {kind}: … to it")
        return completed

    def _read_excludes(self, groups: tuple[tuple[Combination, ...], ...]) -> list[Exclude]:
        excludes = []
        for index, written in enumerate(self.file.exclude):
            place: KeyPath = ("exclude", index)
            if not written:
                self.problems.add(self.document.place(place), "this exclude names no axis")
            sound = [self._is_sound_test(axis, test, (*place, axis), groups) for axis, test in written.items()]
            if all(sound):
                excludes.append(Exclude(place, written))
        return excludes

    def _is_sound_test(self, axis: str, test: Any, place: KeyPath, groups: tuple[tuple[Combination, ...], ...]) -> bool:
        """Whether an exclude's entry can match; notes a name or label that the grid does not have."""
        if axis not in COMPONENTS:
            return axis == "model" or self._is_known(axis, place)
        if isinstance(test, dict):
            return self._component(axis, place, test) is not None
        values = [part[axis] for group in groups for part in group if axis in part] or [GLOBAL]
        known = {name for value in values for name in (value.name, str(value.label))}
        if axis in self._unsure or (isinstance(test, str) and test in known):
            return True
        if isinstance(test, str) and test in REGISTRIES[axis]:
            what = f"this exclude matches nothing: the grid has no {axis} {test!r}"
        else:
            what = f"unknown {axis} {show(test)}"
        self.problems.add(self.document.place(place), what, did_you_mean(str(test), known))
        return False


def _settled(groups: tuple[tuple[Combination, ...], ...]) -> Combination:
    """The axes that have a single value."""
    distinct: dict[str, dict[Value, None]] = {}
    for part in chain.from_iterable(groups):
        for axis, value in part.items():
            distinct.setdefault(axis, {})[value] = None
    return {axis: next(iter(values)) for axis, values in distinct.items() if len(values) == 1}
