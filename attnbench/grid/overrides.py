"""`--set PATH=VALUE`: puts values of the command line into a grid, with problems shown at the option."""

from collections.abc import Sequence
from typing import Any

from attnbench.errors import AttnbenchError, did_you_mean
from attnbench.grid.document import Document, Place
from attnbench.grid.parse import dump, parse
from attnbench.grid.schema import GridFile


def apply_overrides(document: Document, overrides: Sequence[str]) -> str:
    """Sets the values of --set in the document; returns the text of the grid with them."""
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
            what = f"{path} is an axis of the grid, which overrides the section"
            document.problems.add(place, what, f"set the axis: --set '{section}.{path}=[…]'")
        if not document.set((head, *_split(head, rest)), data, place):
            document.problems.add(place, f"{path.rpartition('.')[0]} has no fields", f"set {head} as a whole")
    if not overrides:
        return document.text
    # The grid in the results folder has the values in it, and the options as comments at its top.
    note = "".join(f"# --set {' '.join(override.split())}\n" for override in overrides)
    return note + dump(document.data)


def _mapping(document: Document, section: str) -> dict[str, Any]:
    found = document.data.get(section)
    return found if isinstance(found, dict) else {}


def _split(head: str, rest: str) -> list[str]:
    if not rest:
        return []
    # The keys of grid and zip are the names of axes, which contain dots: grid.data.vocabulary.
    return [rest] if head in ("grid", "zip") else rest.split(".")


def _parse_value(value: str, path: str) -> Any:
    parsed = parse(value, f"--set {path}")
    parsed.problems.raise_all()
    return parsed.data
