"""Resolves the parts of a combination: fills in defaults and validates, once for each distinct part."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from attnbench.cell import Component, Data, Section, Train
from attnbench.errors import AttnbenchError, did_you_mean
from attnbench.grid.document import Document, KeyPath, Place, Problems
from attnbench.grid.identity import PATHS, data_files
from attnbench.grid.incompatible import reads_path
from attnbench.grid.values import DEFAULTS, Axes, Combination, Sections, Value
from attnbench.messages import say
from attnbench.plugins import load_entry_points
from attnbench.registered.entry import Entry
from attnbench.registry import REGISTRIES, has_digits, has_lengths_of_files

MOST_BYTES = 10**9  # size of a file of sentence pairs, which is read into memory
LENGTHS = ("min_length", "max_length")
UNUSED = {"vocabulary": None, "unseen_symbols": 0}  # values of these fields for a task that does not use them


class SkipReason(str):
    """The reason for skipping a combination."""

    __slots__ = ()


class Resolver:
    """Resolves parts of combinations; a part with a problem, which is added to `problems`, is None."""

    def __init__(self, document: Document, axes: Axes, sections: Sections, problems: Problems) -> None:
        self.document, self.axes, self.sections, self.problems = document, axes, sections, problems
        self.folder = Path(document.label).absolute().parent
        self.several_models = len({value.data for value in axes.values("model.kind")} | {sections.kind}) > 1
        self._parts: dict[Any, Any] = {}  # many combinations share a part: validating it once makes large grids fast
        self._lengths: dict[tuple[str, ...], tuple[int, int] | None] = {}

    def component(self, kind: str, combination: Combination) -> Component | SkipReason | None:
        """Returns a component with all its options; a SkipReason if it lacks an option that is an axis."""
        return self._once(kind, combination, (), lambda: self._component(kind, combination))

    def model(self, combination: Combination) -> Component | SkipReason | None:
        """Returns the model with all its options; a SkipReason if it lacks an option that is an axis."""
        return self._once("model", combination, (), lambda: self._model(combination))

    def train(self, combination: Combination) -> Train | None:
        """Returns the training section."""
        return self._once("train", combination, (), lambda: self._section(Train, "train", combination))

    def data(self, combination: Combination, task: Component) -> Data | None:
        """Returns the data section for a task: unused fields reset, and the lengths those of the user's files.

        Resetting makes cells that differ only in unused fields the same cell, which is then trained once.
        """
        entry = REGISTRIES["task"].entry(task.name)
        unused = tuple(field for field in UNUSED if not entry.takes(field))
        digits = task.options["digits"] if has_digits(task.name) else None
        key = (unused, task.name, digits)
        return self._once("data", combination, key, lambda: self._data(combination, *key))

    def section_of_data(self, combination: Combination, check_order: bool) -> Data | None:
        """Returns the data section for any task; `check_order`: whether min_length above max_length is a problem."""
        return self._section(Data, "data", combination, check_order)

    def configured(self, axis: str, combination: Combination) -> Any:
        """Returns the value at a dotted path, defaults included, before fields that the task does not use are reset."""
        if axis in combination:
            return combination[axis].data
        if axis == "model.kind":
            return self.sections.kind
        head, _, field = axis.partition(".")
        if head in ("data", "train"):
            section: type[Section] = Data if head == "data" else Train
            return _look_up(getattr(self.sections, head), section, field.split("."))
        part = self.model(combination) if head == "model" else self.component(head, combination)
        return part.options.get(field) if isinstance(part, Component) else None

    def _once(self, head: str, combination: Combination, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        names = self.axes.by_head[head]
        full = (head, combination.get(head), *key, *(combination.get(name) for name in names))
        if full not in self._parts:
            self._parts[full] = make()
        return self._parts[full]

    def _given(self, head: str, combination: Combination) -> dict[str, Value]:
        """Returns the values of the dotted axes under a head ("model", "data", ...), by the rest of their names."""
        names = self.axes.by_head[head]
        return {name.partition(".")[2]: combination[name] for name in names if name in combination}

    def _component(self, kind: str, combination: Combination) -> Component | SkipReason | None:
        value = combination[kind] if kind in combination else DEFAULTS[kind]
        return self._complete(
            find(kind, value.name),
            value.options,
            self._given(kind, combination),
            lambda option, key: self.document.place((*value.place, option), key),
        )

    def _model(self, combination: Combination) -> Component | SkipReason | None:
        given = self._given("model", combination)
        kind = given.pop("kind").data if "kind" in given else self.sections.kind
        entry = find("model", kind)
        # With several kinds of model, the section holds the options of all of them; each uses its own.
        options = {
            option: value
            for option, value in self.sections.model.items()
            if option != "kind" and (entry.takes(option) or not self.several_models)
        }
        return self._complete(entry, options, given, lambda option, key: self.document.place(("model", option), key))

    def _complete(
        self, entry: Entry, written: dict[str, Any], given: dict[str, Value], place: Callable[[str, bool], Place]
    ) -> Component | SkipReason | None:
        known = {option.name for option in entry.options}
        for option in given:
            if option not in known:
                return SkipReason(f"{entry.kind} {entry.name} has no option {option}")
        options = written | {option: value.data for option, value in given.items()}
        try:
            return Component(name=entry.name, options=entry.resolve(options))
        except AttnbenchError as error:
            for problem in error.problems:
                option = problem.where
                axis = given.get(option)
                where = self.document.place(axis.place) if axis else place(option, option not in known)
                self.problems.add(where, problem.what, problem.hint)
            return None

    def _section(
        self,
        section: type[Section],
        head: str,
        combination: Combination,
        check_order: bool = True,
        leave_out: tuple[str, ...] = (),
    ) -> Any:
        given = self._given(head, combination)
        fields = _merge(getattr(self.sections, head), given)
        fields = {name: value for name, value in fields.items() if name not in leave_out}
        if head == "data":
            fields = self._with_absolute_paths(fields, given)
        try:
            return section.model_validate(fields)
        except ValidationError as error:
            errors = error.errors()
            mistyped = {found["loc"][:-1] for found in errors if found["type"] == "extra_forbidden"}
            for found in errors:
                if found["type"] == "missing" and found["loc"][:-1] in mistyped:
                    continue  # the unknown key is probably the missing one, misspelt
                if found["loc"] or check_order:
                    self._add(section, head, found, given)
        # pydantic compares the lengths only if every field is valid: check again without the invalid ones.
        wrong = {str(found["loc"][0]) for found in errors if found["loc"]}
        if wrong and wrong.isdisjoint(LENGTHS):
            self._section(section, head, combination, check_order, (*leave_out, *wrong))
        return None

    def _add(self, section: type[Section], head: str, error: Any, given: dict[str, Value]) -> None:
        location = error["loc"]
        place = self._place(head, location, given, error["type"] == "extra_forbidden")
        if error["type"] == "extra_forbidden":
            inside = ".".join(map(str, (head, *location[:-1])))
            hint = did_you_mean(str(location[-1]), _fields(section, location[:-1]))
            self.problems.add(place, f"unknown key {location[-1]!r} in {inside}", hint)
        elif error["type"] == "missing":
            self.problems.add(place, f"{'.'.join(map(str, (head, *location[:-1])))} needs {location[-1]}")
        elif location:
            self.problems.add(place, f"{head}.{'.'.join(map(str, location))}: {say(error)}")
        else:
            self._add_order(say(error), given)

    def _add_order(self, what: str, given: dict[str, Value]) -> None:
        """Records that min_length is above max_length, at an axis if one of them is an axis."""
        axes = [given[field] for field in LENGTHS if field in given]
        written = [("data", field) for field in LENGTHS if field in self.sections.data]
        where = axes[0].place if axes else written[0]
        names = " and ".join(axis.axis for axis in axes)
        hint = f"from the values of {names}: exclude the combination" if axes else "the defaults are 3 and 10"
        self.problems.add(self.document.place(where), f"data: {what}", hint)

    def _place(self, head: str, location: KeyPath, given: dict[str, Value], key: bool) -> Place:
        for end in range(len(location), 0, -1):
            axis = given.get(".".join(map(str, location[:end])))
            if axis:
                return self.document.place((*axis.place, *location[end:]), key)
        return self.document.place((head, *location), key)

    def _with_absolute_paths(self, fields: dict[str, Any], given: dict[str, Value]) -> dict[str, Any]:
        absolute = {field: str(self.folder / fields[field]) for field in PATHS if isinstance(fields.get(field), str)}
        for field, path in absolute.items():
            place = self._place("data", (field,), given, False)
            if not os.path.isfile(path):  # Path.is_file raises if a name is too long
                hint = "paths in data: are relative to the grid file"
                self.problems.add(place, f"data.{field}: there is no file {path}", hint)
            elif os.path.getsize(path) > MOST_BYTES:
                self.problems.add(place, f"data.{field}: the file {path} is larger than {MOST_BYTES // 10**9} GB")
        return fields | absolute

    def _data(
        self, combination: Combination, unused: tuple[str, ...], task: str, digits: tuple[int, int] | None
    ) -> Data | None:
        has_path = reads_path(task) and self.configured("data.path", combination) is not None
        # The lengths of sentence pairs come from the file; those in the section are for the other tasks.
        of_files = has_path and has_lengths_of_files(task)
        leave_out = LENGTHS if of_files or digits else ()
        data: Data | None = self._section(Data, "data", combination, leave_out=leave_out)
        if data is None:
            return None
        nothing: dict[str, Any] = {field: UNUSED[field] for field in unused}
        if digits:  # the lengths of this task, which are not those of the others
            nothing |= dict(zip(LENGTHS, digits, strict=True))
        if not has_path:
            data = data.model_copy(update=nothing | dict.fromkeys(PATHS))
            return data if self._has_files(combination, task, data) else None
        if not of_files:
            return data.model_copy(update=nothing)
        lengths = self._lengths_of(task, data)
        return lengths and data.model_copy(update=nothing | {"min_length": lengths[0], "max_length": lengths[1]})

    def _has_files(self, combination: Combination, task: str, data: Data) -> bool:
        """Records a problem if the package that has the data of a task is not installed."""
        try:
            data_files(task, data)
        except AttnbenchError as error:
            place = self.document.place(combination["task"].place)
            for problem in error.problems:
                self.problems.add(place, problem.what, problem.hint)
            return False
        return True

    def _lengths_of(self, task: str, data: Data) -> tuple[int, int] | None:
        """Returns the lengths of the shortest and longest source in all files: training, validation and test."""
        paths = tuple(path for path in (data.path, data.validation_path, data.test_path) if path is not None)
        if (task, *paths) not in self._lengths:
            reader: Any = REGISTRIES["task"].entry(task).load()  # imports NumPy, which most grids do not need
            try:
                lengths = [length for path in paths if Path(path).is_file() for length in reader.file_lengths(path)]
                self._lengths[task, *paths] = (min(lengths), max(lengths)) if lengths else None
            except AttnbenchError as error:
                self._lengths[task, *paths] = None
                for problem in error.problems:
                    self.problems.add(Place(problem.where), problem.what, problem.hint)
        return self._lengths[task, *paths]


def find(kind: str, name: str) -> Entry:
    """Returns the registered entry; installed plugins are loaded only if the name is not known yet.

    Raises:
        AttnbenchError: if the name is unknown, or an installed plugin cannot be imported.
    """
    if name not in REGISTRIES[kind]:
        load_entry_points()
    return REGISTRIES[kind].entry(name)


def _merge(written: dict[str, Any], given: dict[str, Value]) -> dict[str, Any]:
    """Returns the fields of a section with the values of the axes; lists become tuples, which Section requires."""
    fields = dict(written)
    for name, value in given.items():
        outer, _, inner = name.partition(".")
        around = fields.get(outer)
        whole = {**(around if isinstance(around, dict) else {}), inner: value.data}
        fields[outer] = whole if inner else value.data
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}


def _look_up(written: Any, section: type[BaseModel], names: list[str]) -> Any:
    field = section.model_fields[names[0]]
    value = written.get(names[0], field.default)
    for name in names[1:]:
        value = value.get(name) if isinstance(value, dict) else None
    return list(value) if isinstance(value, tuple) else value


def _fields(section: type[Section], location: KeyPath) -> list[str]:
    """Returns the known keys at a location in a section."""
    if not location:
        return list(section.model_fields)
    inner = section.model_fields[str(location[0])].annotation
    models = [t for t in getattr(inner, "__args__", ()) if isinstance(t, type) and issubclass(t, BaseModel)]
    return [name for model in models for name in model.model_fields]
