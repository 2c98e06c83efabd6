"""A YAML text's plain data, and where every value stands, so that each mistake can be shown in its line."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from attnbench.errors import AttnbenchError, Problem

MAX_PROBLEMS = 100  # told at once
SHOWN = 110  # characters of a source line that are shown

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Place:
    """Where something stands: `file:line:column`, and the line with a caret under it."""

    where: str
    source: str = ""
    line: int = 0
    column: int = 0

    def problem(self, what: str, hint: str = "") -> Problem:
        """The problem that something is wrong at this place."""
        return Problem(what, self.where, hint, self.source)


class Problems:
    """All that is wrong with a grid, each thing once."""

    def __init__(self) -> None:
        self._found: dict[Problem, tuple[int, int]] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, place: Place, what: str, hint: str = "") -> None:
        """Notes that something is wrong at a place.

        Raises:
            AttnbenchError: with all that was found so far, when that is enough to mend.
        """
        self._found.setdefault(place.problem(what, hint), (place.line, place.column))
        if len(self._found) == MAX_PROBLEMS:
            last = Problem(
                f"these are {MAX_PROBLEMS} problems, and there may be more", hint="mend some, and look again"
            )
            raise AttnbenchError(*self._in_order(), last)

    def raise_all(self) -> None:
        """Raises what was found, in the order of the file.

        Raises:
            AttnbenchError: when anything was found.
        """
        if self._found:
            raise AttnbenchError(*self._in_order())

    def _in_order(self) -> list[Problem]:
        return sorted(self._found, key=lambda problem: self._found[problem])


@dataclass
class Document:
    """The plain data of a YAML text, and the lines and columns of its keys and values by their path in the data."""

    label: str
    text: str
    data: Any = None
    problems: Problems = field(default_factory=Problems)
    keys: dict[KeyPath, tuple[int, int]] = field(default_factory=dict)
    values: dict[KeyPath, tuple[int, int]] = field(default_factory=dict)
    _overrides: dict[KeyPath, Place] = field(default_factory=dict)

    def place(self, path: KeyPath, key: bool = False) -> Place:
        """The place of the value at a path (or of its key); of the nearest part around it where it is not written."""
        for end in range(len(path) + 1):
            if path[:end] in self._overrides:
                return self._overrides[path[:end]]
        while path and path not in self.values:
            path, key = path[:-1], True
        found = self.keys.get(path) if key else None
        return self.at(*(found or self.values.get(path, (0, 0))))

    def written(self, path: KeyPath) -> bool:
        """Whether the file or a --set gives this path."""
        value = self.data
        for part in path:
            if not isinstance(value, dict) or part not in value:
                return False
            value = value[part]
        return True

    def set(self, path: KeyPath, value: Any, place: Place) -> bool:
        """Puts a value from outside the file at a path; what is wrong with it is shown at `place`.

        Returns:
            False when the path leads through something that is no mapping: then nothing is put anywhere.
        """
        target = self.data
        for part in path[:-1]:
            target = target.setdefault(part, {})
            if not isinstance(target, dict):
                return False
        target[path[-1]] = value
        self._overrides[path] = place
        return True

    @cached_property
    def _lines(self) -> list[str]:
        return self.text.splitlines()

    def at(self, line: int, column: int) -> Place:
        """The place of a line and a column, both counted from 0."""
        source = self._lines[line].replace("\t", " ") if line < len(self._lines) else ""
        start = max(0, column - SHOWN // 2) if len(source) > SHOWN else 0
        caret = " " * (column - start) + "^"
        source = f"{source[start : start + SHOWN]}\n{caret}" if source else ""
        return Place(f"{self.label}:{line + 1}:{column + 1}", source, line + 1, column + 1)
