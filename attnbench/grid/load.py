"""Reads a grid file and reports all problems in it, before any combination is built."""

import os
from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from attnbench.cell import Section
from attnbench.errors import AttnbenchError, did_you_mean, fail
from attnbench.grid.axes import AxesReader
from attnbench.grid.claim_values import setting_hint, with_labels
from attnbench.grid.claims_reader import read_claims
from attnbench.grid.decide import Decide, SeedRange, check_decide
from attnbench.grid.document import Document, Place
from attnbench.grid.identity import PATHS
from attnbench.grid.incompatible import NO_SCORE, reads_path
from attnbench.grid.max_cells import check_max_cells
from attnbench.grid.overrides import apply_overrides
from attnbench.grid.parse import from_mapping, read
from attnbench.grid.probe import probe
from attnbench.grid.resolve import LENGTHS
from attnbench.grid.schema import COMPONENTS, DEFAULT_MODEL, DEFAULT_SCOPE, GridFile
from attnbench.grid.tune import Tune
from attnbench.grid.values import DEFAULTS, Axes, Grid, Label, Sections
from attnbench.messages import say
from attnbench.plugins import load_plugin
from attnbench.registry import REGISTRIES, has_digits, has_lengths_of_files

SECTIONS: dict[str, type[Section]] = {"tune": Tune, "decide": Decide}


def load_grid(source: Path | Mapping[str, Any], overrides: Sequence[str] = (), plugins: Sequence[str] = ()) -> Grid:
    """Reads and checks a grid.

    Args:
        source: the YAML file, or its content as a mapping, with paths relative to the working folder.
        overrides: `PATH=VALUE` of `--set`, with the value in YAML; the path is dotted, and in `grid` and `zip` an axis.
        plugins: files (relative to the working folder) or modules of `--plugin`, loaded in addition to the file's own.

    Raises:
        AttnbenchError: with all problems of the file, each with its place.
    """
    document = from_mapping(source) if isinstance(source, Mapping) else read(source)
    if document.data is None and not document.problems:
        raise fail("the grid file is empty", document.label, "`attnbench init` writes a starter grid")
    if not isinstance(document.data, dict):
        raise AttnbenchError(document.place(()).problem("a grid file should be a mapping that starts with name:"))
    problems = document.problems
    # Each step works on what the previous ones found valid, so that one run reports all problems.
    text = apply_overrides(document, overrides)
    file = _check_structure(document)
    # Before the axes are read, whose names and options may come from a plugin.
    loaded = _load_plugins(file, document, plugins)
    axes = AxesReader(file, document, problems).read()
    check_max_cells(file, axes, document)
    sections = Sections(_known_model(file), file.data, file.train)
    probe(document, axes, sections, problems)
    _check_components(file, axes, document)
    _check_paths(axes, document)
    lengths = _test_lengths(file, axes)
    labels = {axis: _known_labels(axis, file, axes) for axis in _written_axes(file)}
    claims = with_labels(document, read_claims(document, file.claims, lengths, partial(setting_hint, labels)), labels)
    check_decide(document, file.decide, file.seeds, labels, lengths)
    _check_tuning_seeds(file, document)
    problems.raise_all()
    return Grid(
        name=file.name,
        path=Path(document.label),
        text=text,
        seeds=file.seed_list,
        axes=axes.names,
        plugins=loaded,
        values=axes,
        sections=sections,
        document=document,
        claims=claims,
        tune=file.tune,
        decide=file.decide,
        seed_range=file.seeds if isinstance(file.seeds, SeedRange) else None,
    )


def _check_structure(document: Document) -> GridFile:
    """Checks the keys of the file and their types; records problems and leaves out the values that have one."""
    try:
        return GridFile.model_validate(document.data)
    except ValidationError as error:
        data = deepcopy(document.data)
        for found in error.errors():
            _record(document, found)
            _leave_out(data, found["loc"])
    # A name in case it was left out: without one, the rest of the file could not be checked.
    return GridFile.model_validate({"name": "unnamed", **data})


def _record(document: Document, error: Any) -> None:
    location = error["loc"]
    if location[0] in SECTIONS and _record_in_section(document, error, location[0]):
        return
    if error["type"] == "extra_forbidden":
        place = document.place(location, key=True)
        document.problems.add(place, f"unknown key {location[0]!r}", did_you_mean(location[0], GridFile.model_fields))
    elif error["type"] == "missing":
        document.problems.add(document.place(()), f"the grid needs a {location[0]}", "add name: my-grid")
    elif error["type"] in ("string_pattern_mismatch", "string_too_long"):
        what = f"{location[0]} {error['input']!r} is not a valid folder name"
        hint = "use up to 100 letters, digits, dots, underscores and hyphens, and do not start with a dot or hyphen"
        document.problems.add(document.place(location), what, hint)
    else:
        hint = ""
        if location[0] in ("grid", "zip") and len(location) > 1 and not isinstance(error["input"], dict):
            hint = f"write [{error['input']}]"
        document.problems.add(document.place(location), f"{'.'.join(map(str, location))}: {say(error)}", hint)


def _record_in_section(document: Document, error: Any, head: str) -> bool:
    """Records an unknown or missing key of a section, or a margin of 0; returns whether it is one of these."""
    section, location = SECTIONS[head], error["loc"]
    if error["type"] == "extra_forbidden":
        what, hint = f"unknown key {location[1]!r} in {head}", did_you_mean(location[1], section.model_fields)
        document.problems.add(document.place(location, key=True), what, hint)
    elif error["type"] == "missing":
        example = {"tune": "grid: {train.learning_rate: [0.001, 0.003, 0.01]}", "decide": "axis: score"}[head]
        document.problems.add(document.place((head,), key=True), f"{head} needs {location[1]}", f"add {example}")
    elif location == ("decide", "margin"):
        what = f"decide.margin: {say(error)}"
        hint = "write the largest difference that does not matter, e.g. margin: 0.02"
        document.problems.add(document.place(location), what, hint)
    else:
        return False
    return True


def _leave_out(data: dict[str, Any], location: tuple[Any, ...]) -> None:
    if location[0] in ("grid", "zip") and len(location) > 1:
        data[location[0]].pop(location[1], None)
    else:
        data.pop(location[0], None)


def _load_plugins(file: GridFile, document: Document, more: Sequence[str]) -> tuple[str, ...]:
    folder = Path(document.label).absolute().parent
    places = [(plugin, folder, document.place(("plugins", index))) for index, plugin in enumerate(file.plugins)]
    places += [(plugin, Path.cwd(), Place(f"--plugin {plugin}")) for plugin in map(str, more)]
    loaded: dict[str, None] = {}
    for plugin, base, place in places:
        absolute = os.path.abspath(base / plugin) if plugin.endswith(".py") else plugin
        loaded[absolute] = None
        try:
            load_plugin(absolute)
        except AttnbenchError as error:
            for problem in error.problems:
                document.problems.add(place, problem.what, problem.hint)
    return tuple(loaded)


def _known_model(file: GridFile) -> dict[str, Any]:
    """Returns the model section; the default model without options if the kind is unknown, which is recorded."""
    from attnbench.registry import model

    kind = file.model.get("kind", DEFAULT_MODEL)
    return file.model if isinstance(kind, str) and kind in model else {"kind": DEFAULT_MODEL}


def _check_components(file: GridFile, axes: Axes, document: Document) -> None:
    """Checks that grid or zip has a score and a task. A file with includes only is checked per combination instead."""
    sections = [document.data.get("grid", {}), document.data.get("zip", {})]
    if not all(isinstance(section, dict) for section in sections):
        return  # already recorded
    written = {axis for section in sections for axis in section}
    if not written and not file.include:
        document.problems.add(
            document.place(("grid",), key=True), "the grid is empty: it has no axes", "add score: and task:"
        )
    if not written:
        return
    scopes = {part["scope"].name for group in axes.groups for part in group if "scope" in part} or {DEFAULT_SCOPE}
    needed = ("task",) if scopes == {NO_SCORE} else ("score", "task")
    for kind in needed:
        if kind not in written:
            place = document.place(("grid",), key=True)
            document.problems.add(place, f"the grid has no {kind}", f"add {kind}: […] to grid")


def _check_paths(axes: Axes, document: Document) -> None:
    """Checks that the paths of data files are used with a task that reads them, and with data.path."""
    given = {path: f"data.{path}" in axes.names or document.is_set(("data", path)) for path in PATHS}
    tasks = {value.name for value in axes.values("task")}

    def note(field: str, what: str, hint: str) -> None:
        values = axes.values(f"data.{field}")
        place = document.place(values[0].place if values else ("data", field))
        document.problems.add(place, what, hint)

    for field in PATHS[1:]:
        if given[field] and not given["path"]:
            note(field, f"data.{field} needs data.path, which is not set", "add data.path, the training data")
    if not tasks:
        return
    set_lengths = [f for f in LENGTHS if f"data.{f}" in axes.names or document.is_set(("data", f))]
    if not given["path"]:
        for field in set_lengths if all(map(has_digits, tasks)) else ():
            what = f"data.{field} cannot be set for caption: the lengths are its digits"
            note(field, what, "set digits: {name: caption, digits: [1, 3]}")
        return
    readers = {name for name in REGISTRIES["task"].names() if reads_path(name)}
    if tasks.isdisjoint(readers):
        *others, last = sorted(readers)
        which = f"{', '.join(others)} and {last}"
        note("path", f"data.path is only read by the tasks {which}, which this grid does not have", "")
    every = [value.data for value in axes.values("data.path")] or [document.data["data"]["path"]]
    if None in every:
        return
    for field in set_lengths if all(map(has_lengths_of_files, tasks)) else ():
        what = f"data.{field} cannot be set with data.path: the lengths are those of the file"
        note(field, what, f"remove data.{field}")
    _check_scenes(axes, document)


def _check_scenes(axes: Axes, document: Document) -> None:
    """Checks that no option of the scenes of caption is set beside data.path, which replaces them.

    Otherwise the same images would be trained on for each value of the option.
    """
    for value in axes.values("task"):
        for option in value.options if has_digits(value.name) else ():
            what = f"{option} is of the scenes of caption, and not used with data.path"
            document.problems.add(document.place((*value.place, option), key=True), what, "remove it")
    if all(has_digits(value.name) for value in axes.values("task")):
        for axis in (name for name in axes.names if name.startswith("task.")):
            what = f"{axis} is of the scenes of caption, and not used with data.path"
            document.problems.add(document.place(axes.values(axis)[0].place), what, "remove it")


def _test_lengths(file: GridFile, axes: Axes) -> set[int] | None:
    """Returns the lengths that any cell is tested on; None if they are not all whole numbers, which is recorded."""
    values = [value.data for value in axes.values("data.test_lengths")] or [file.data.get("test_lengths", [])]
    sound = all(isinstance(lengths, list) and all(type(one) is int for one in lengths) for lengths in values)
    return {one for lengths in values for one in lengths} if sound else None


def _check_tuning_seeds(file: GridFile, document: Document) -> None:
    """Checks that no reported seed is one of tuning, which would be chosen on what is reported."""
    if file.tune is None or not isinstance(file.seeds, list):
        return
    used = file.tune.seed_list
    for index, seed in enumerate(file.seeds):
        if seed in used:
            what = f"the seed {seed} is used for tuning, which takes seeds from {min(used)} on"
            document.problems.add(document.place(("seeds", index)), what, "choose another seed")


def _written_axes(file: GridFile) -> list[str]:
    return list(dict.fromkeys(axis for section in (file.grid, file.zip, *file.include) for axis in section))


def _known_labels(axis: str, file: GridFile, axes: Axes) -> list[Label] | None:
    """Returns the labels of an axis; None if they are not all known, so that no claim about it is called wrong."""
    values = axes.values(axis)
    written = sum(len(section[axis]) for section in (file.grid, file.zip) if axis in section)
    if sum(value.place[:1] in (("grid",), ("zip",)) for value in values) < written:
        return None  # a value has a problem
    labels = [value.label for value in values]
    if not axes.always_has(axis):  # a combination without it has the default
        if axis not in DEFAULTS:
            return labels if axis in COMPONENTS else None
        labels.append(DEFAULTS[axis].label)
    return list({(type(label), label): label for label in labels}.values())
