"""Reads a grid file and finds every mistake in it, before anything is combined."""

import os
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from attnbench.errors import AttnbenchError, did_you_mean, fail
from attnbench.grid.axes import AxesReader
from attnbench.grid.document import Document, Place
from attnbench.grid.identity import PATHS
from attnbench.grid.incompatible import NO_SCORE, READS_PATH
from attnbench.grid.parse import dump, from_mapping, parse, read
from attnbench.grid.probe import probe
from attnbench.grid.resolve import LENGTHS
from attnbench.grid.schema import DEFAULT_MODEL, DEFAULT_SCOPE, GridFile
from attnbench.grid.values import Axes, Grid, Sections
from attnbench.messages import say
from attnbench.plugins import load_plugin

MOST_TESTS = 10**7  # of a combination by an exclude: some seconds


def load_grid(source: Path | Mapping[str, Any], overrides: Sequence[str] = (), plugins: Sequence[str] = ()) -> Grid:
    """The grid of a file.

    Args:
        source: the YAML file, or its content as a mapping, with paths relative to the working folder.
        overrides: `PATH=VALUE` of `--set`, the value in YAML; a path is dotted, and inside `grid` and `zip` an axis.
        plugins: those of `--plugin`, loaded beside the file's own: files, relative to the working folder, or modules.

    Raises:
        AttnbenchError: with every problem of the file, each with its place.
    """
    document = from_mapping(source) if isinstance(source, Mapping) else read(source)
    if document.data is None and not document.problems:
        raise fail("the grid file is empty", document.label, "`attnbench init` writes one to start from")
    if not isinstance(document.data, dict):
        raise AttnbenchError(document.place(()).problem("a grid file should be a mapping that begins with name:"))
    problems = document.problems
    text = _set(document, overrides)
    file = _check_structure(document)
    loaded = _load_plugins(file, document, plugins)
    axes = AxesReader(file, document, problems).read()
    seeds = _seeds(file, axes, document)
    sections = Sections(_sound_model(file), file.data, file.train)
    probe(document, axes, sections, problems)
    _check_components(file, axes, document)
    _check_paths(axes, document)
    problems.raise_all()
    return Grid(file.name, Path(document.label), text, seeds, axes.names, loaded, axes, sections, document)


def _set(document: Document, overrides: Sequence[str]) -> str:
    """Puts the values of --set into the document; gives the text with them in it."""
    for override in overrides:
        path, equals, value = override.partition("=")
        place = Place(f"--set {path}")
        if not equals or not path or not path.isprintable():
            shown = override if override.isprintable() else repr(override)
            document.problems.add(Place(f"--set {shown}"), "should be path=value", "e.g. --set train.steps=200")
            continue
        head, _, rest = path.partition(".")
        if head not in GridFile.model_fields:
            document.problems.add(place, f"unknown field {head!r}", did_you_mean(head, GridFile.model_fields))
            continue
        try:
            data = _parse_value(value, path)
        except AttnbenchError as error:
            for problem in error.problems:
                document.problems.add(place, problem.what, problem.hint)
            continue
        axes = {**_mapping(document, "grid"), **_mapping(document, "zip")}
        if path in axes:
            section = "grid" if path in _mapping(document, "grid") else "zip"
            what = f"{path} is an axis of the grid, which goes before the section"
            document.problems.add(place, what, f"set the axis: --set '{section}.{path}=[…]'")
        if not document.set((head, *_split(head, rest)), data, place):
            document.problems.add(place, f"{path.rpartition('.')[0]} has no fields inside", f"set {head} as a whole")
    if not overrides:
        return document.text
    note = "".join(f"# --set {' '.join(override.split())}\n" for override in overrides)
    return note + dump(document.data)


def _mapping(document: Document, section: str) -> dict[str, Any]:
    found = document.data.get(section)
    return found if isinstance(found, dict) else {}


def _split(head: str, rest: str) -> list[str]:
    if not rest:
        return []
    return [rest] if head in ("grid", "zip") else rest.split(".")


def _parse_value(value: str, path: str) -> Any:
    parsed = parse(value, f"--set {path}")
    parsed.problems.raise_all()
    return parsed.data


def _check_structure(document: Document) -> GridFile:
    """The file's keys and their types; what is wrong is noted and left out."""
    try:
        return GridFile.model_validate(document.data)
    except ValidationError as error:
        data = deepcopy(document.data)
        for found in error.errors():
            _note(document, found)
            _leave_out(data, found["loc"])
    return GridFile.model_validate({"name": "unnamed", **data})


def _note(document: Document, error: Any) -> None:
    location = error["loc"]
    if error["type"] == "extra_forbidden":
        place = document.place(location, key=True)
        document.problems.add(place, f"unknown key {location[0]!r}", did_you_mean(location[0], GridFile.model_fields))
    elif error["type"] == "missing":
        document.problems.add(document.place(()), f"the grid needs a {location[0]}", "begin with: name: my-grid")
    elif error["type"] in ("string_pattern_mismatch", "string_too_long"):
        what = f"{location[0]} {error['input']!r} is not a folder's name"
        hint = "up to 100 letters, digits, dots, underscores and hyphens, not beginning with a dot or hyphen"
        document.problems.add(document.place(location), what, hint)
    else:
        hint = ""
        if location[0] in ("grid", "zip") and len(location) > 1 and not isinstance(error["input"], dict):
            hint = f"write [{error['input']}]"
        document.problems.add(document.place(location), f"{'.'.join(map(str, location))}: {say(error)}", hint)


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


def _sound_model(file: GridFile) -> dict[str, Any]:
    """The model section, with a kind that exists: an unknown one is noted already, with its options unread."""
    from attnbench.registry import model

    kind = file.model.get("kind", DEFAULT_MODEL)
    return file.model if isinstance(kind, str) and kind in model else {"kind": DEFAULT_MODEL}


def _check_components(file: GridFile, axes: Axes, document: Document) -> None:
    """A score and a task are asked for, unless there are only included combinations, which are checked each."""
    sections = [document.data.get("grid", {}), document.data.get("zip", {})]
    if not all(isinstance(section, dict) for section in sections):
        return  # which is noted already
    written = {axis for section in sections for axis in section}
    if not written and not file.include:
        document.problems.add(
            document.place(("grid",), key=True), "the grid is empty: it has no axis", "add score: and task:"
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
    """The fields for a user's own sentence pairs go with the task that reads them, and with data.path."""
    given = {path: f"data.{path}" in axes.names or document.written(("data", path)) for path in PATHS}
    tasks = {value.name for value in axes.values("task")}

    def note(field: str, what: str, hint: str) -> None:
        values = axes.values(f"data.{field}")
        place = document.place(values[0].place if values else ("data", field))
        document.problems.add(place, what, hint)

    for field in PATHS[1:]:
        if given[field] and not given["path"]:
            note(field, f"data.{field} goes with data.path, which is not given", "add data.path, the training pairs")
    if not given["path"] or not tasks:
        return
    if READS_PATH not in tasks:
        note("path", f"data.path is read by the task {READS_PATH} alone, which this grid does not have", "")
    every = [value.data for value in axes.values("data.path")] or [document.data["data"]["path"]]
    if tasks == {READS_PATH} and None not in every:
        for field in LENGTHS:
            if f"data.{field}" in axes.names or document.written(("data", field)):
                note(
                    field,
                    f"data.{field} cannot be set with data.path: the lengths are those of the file",
                    "leave it out",
                )


def _seeds(file: GridFile, axes: Axes, document: Document) -> tuple[int, ...]:
    """The seeds, when the grid is small enough: it is counted by the lengths of its axes, without combining them.

    Raises:
        AttnbenchError: with what was found so far, when it is too large for its values to be looked at.
    """
    combinations = 1 if axes.groups else 0
    for group in axes.groups:
        combinations *= len(group)
    combinations += len(axes.includes)
    seeds = file.seeds if isinstance(file.seeds, int) else len(file.seeds)
    if combinations * seeds > file.max_cells:
        what = f"this grid has {combinations * seeds:,} cells ({combinations:,} combinations × {seeds:,} seeds)"
        hint = f"more than max_cells, {file.max_cells:,}: take values out of the axes, or raise max_cells"
        document.problems.add(document.place(("grid",), key=True), what, hint)
        document.problems.raise_all()
    if combinations * len(file.exclude) > MOST_TESTS:
        what = f"{len(file.exclude):,} excludes held against {combinations:,} combinations would take minutes"
        document.problems.add(document.place(("exclude",), key=True), what, "say the same by fewer of them")
        document.problems.raise_all()
    return tuple(range(file.seeds)) if isinstance(file.seeds, int) else tuple(file.seeds)
