"""The plain data of a YAML text with the position of every value, so that each problem can be shown in its line."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from attnbench.errors import AttnbenchError, Problem
from attnbench.escapes import one_line

MAX_PROBLEMS = 100  # reported at once
SHOWN = 110  # longer source lines are cut to this number of characters

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Place:
    """A position: `file:line:column`, and the line with a caret under the column."""

    where: str
    source: str = ""
    line: int = 0
    column: int = 0

    def problem(self, what: str, hint: str = "") -> Problem:
        """Returns a problem at this place."""
        return Problem(what, self.where, hint, self.source)


class Problems:
    """Collects the problems of a file, without duplicates."""

    def __init__(self) -> None:
        self._found: dict[Problem, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._found)

    def add(self, place: Place, what: str, hint: str = "") -> None:
        """Records a problem at a place.

        Raises:
            AttnbenchError: with all problems so far, once there are MAX_PROBLEMS.
        """
        self._found.setdefault(place.problem(what, hint), (place.line, place.column))
        if len(self._found) == MAX_PROBLEMS:
            last = Problem(f"stopped after {MAX_PROBLEMS} problems; there may be more", hint="fix these first")
            raise AttnbenchError(*self._in_order(), last)

    def raise_all(self) -> None:
        """Raises the recorded problems, in the order of the file.

        Raises:
            AttnbenchError: if there are any problems.
        """
        if self._found:
            raise AttnbenchError(*self._in_order())

    def _in_order(self) -> list[Problem]:
        return sorted(self._found, key=lambda problem: self._found[problem])


@dataclass
class Document:
    """The plain data of a YAML text, and the positions (line, column) of its keys and values by their path in it."""

    label: str
    text: str
    data: Any = None
    problems: Problems = field(default_factory=Problems)
    keys: dict[KeyPath, tuple[int, int]] = field(default_factory=dict)
    values: dict[KeyPath, tuple[int, int]] = field(default_factory=dict)
    _overrides: dict[KeyPath, Place] = field(default_factory=dict)

    def place(self, path: KeyPath, key: bool = False) -> Place:
        """Returns the place of the value (or key) at a path, or of the nearest enclosing part if it is not written."""
        # A value from --set is not in the file: its place is the option.
        for end in range(len(path) + 1):
            if path[:end] in self._overrides:
                return self._overrides[path[:end]]
        while path and path not in self.values:
            # The key of the enclosing part: its value may have many lines.
            path, key = path[:-1], True
        found = self.keys.get(path) if key else None
        return self.at(*(found or self.values.get(path, (0, 0))))

    def is_set(self, path: KeyPath) -> bool:
        """Returns whether the file or a --set has a value at this path."""
        value = self.data
        for part in path:
            if not isinstance(value, dict) or part not in value:
                return False
            value = value[part]
        return True

    def set(self, path: KeyPath, value: Any, place: Place) -> bool:
        """Sets the value at a path; problems with it are reported at `place`.

        Returns:
            False if the path leads through something that is not a mapping; then nothing is set.
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
        """Returns the place of a line and a column, both counted from 0."""
        source = one_line(self._lines[line]) if line < len(self._lines) else ""
        start = max(0, column - SHOWN // 2) if len(source) > SHOWN else 0
        caret = " " * (column - start) + "^"
        source = f"{source[start : start + SHOWN]}\n{caret}" if source else ""
        return Place(f"{self.label}:{line + 1}:{column + 1}", source, line + 1, column + 1)
