"""Reads YAML safely and remembers where every value stands, so that each mistake can be shown in its line.

Plain scalars are read as YAML 1.2 reads them: `1e-3` is a number, `yes`, `1:30` and `2024-01-01` are text.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer, ComposerError
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from attnbench.errors import AttnbenchError, Problem, fail

MAX_BYTES = 10_000_000
MAX_DEPTH = 32  # a grid file needs 5
MAX_VALUES = 200_000  # with every alias written out: stops "billion laughs"
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
        """Notes that something is wrong at a place."""
        self._found.setdefault(place.problem(what, hint), (place.line, place.column))

    def raise_all(self) -> None:
        """Raises what was found, in the order of the file.

        Raises:
            AttnbenchError: when anything was found.
        """
        if self._found:
            raise AttnbenchError(*sorted(self._found, key=lambda problem: self._found[problem]))


@dataclass
class Document:
    """The plain data of a YAML text, and the places of its keys and values by their path in the data."""

    label: str
    text: str
    data: Any = None
    problems: Problems = field(default_factory=Problems)
    _keys: dict[KeyPath, tuple[int, int]] = field(default_factory=dict)
    _values: dict[KeyPath, tuple[int, int]] = field(default_factory=dict)
    _overrides: dict[KeyPath, Place] = field(default_factory=dict)

    def place(self, path: KeyPath, key: bool = False) -> Place:
        """The place of the value at a path (or of its key); of the nearest part around it where it is not written."""
        for end in range(len(path) + 1):
            if path[:end] in self._overrides:
                return self._overrides[path[:end]]
        while path and path not in self._values:
            path, key = path[:-1], True
        found = self._keys.get(path) if key else None
        return self._at(*(found or self._values.get(path, (0, 0))))

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

    def _at(self, line: int, column: int) -> Place:
        lines = self.text.splitlines()
        source = lines[line].replace("\t", " ") if line < len(lines) else ""
        start = max(0, column - SHOWN // 2) if len(source) > SHOWN else 0
        caret = " " * (column - start) + "^"
        source = f"{source[start : start + SHOWN]}\n{caret}" if source else ""
        return Place(f"{self.label}:{line + 1}:{column + 1}", source, line + 1, column + 1)


def read(path: Path) -> Document:
    """The document of a file.

    Raises:
        AttnbenchError: when it cannot be read, is empty, not UTF-8 or not YAML, or too large or too deep.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise fail(f"there is no grid file {path}", hint="`attnbench init` writes one to start from") from None
    except IsADirectoryError:
        raise fail(f"{path} is a folder", hint="give the grid file in it") from None
    except OSError as error:
        raise fail(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise fail(f"{path} is larger than {MAX_BYTES // 1_000_000} MB", hint="a grid file is a page of YAML")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise fail("this is not UTF-8 text", f"{path}:{line}", "save the file as UTF-8") from None
    return parse(text, str(path))


def parse(text: str, label: str) -> Document:
    """The document of a text; duplicate keys and the like are its `problems`.

    Raises:
        AttnbenchError: when it is not YAML, or too deep.
    """
    document = Document(label, text)
    try:
        node = _Loader(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        raise AttnbenchError(_yaml_problem(document, error)) from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise fail(f"the character {chr(error.character)!r} is not allowed in YAML", f"{label}:{line}") from None
    if node is not None:
        document.data = _Reading(document).value(node, ())
    return document


def _yaml_problem(document: Document, error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    said = ", ".join(part for part in (error.context, error.problem) if part)
    place = document._at(mark.line, mark.column) if mark else Place(document.label)
    hint = ""
    if "\\t" in said:
        hint = "indent by spaces, not by tabs"
    elif error.context_mark and mark and error.context_mark.line != mark.line:
        hint = f"it began in line {error.context_mark.line + 1}"
    return place.problem(f"this is not YAML: {said}", hint)


class _Loader(Reader, Scanner, Parser, Composer, BaseResolver):
    """Text to nodes, with a limit on nesting: composing is recursive."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            mark = self.peek_event().start_mark
            raise ComposerError(None, None, f"it is nested more than {MAX_DEPTH} deep", mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


_TAG = "tag:yaml.org,2002:"
_NUMBERS = list("-+.0123456789")
_SCALARS = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0x[0-9a-fA-F]+|0o[0-7]+", _NUMBERS),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", _NUMBERS),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", _NUMBERS),
)
for _name, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"(?:{_pattern})$"), _first)


class _Reading:
    """Nodes to plain data, noting places and problems in the document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.count = 0

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        self.count += 1
        if self.count > MAX_VALUES or len(path) > MAX_DEPTH:
            place = self._place(node)
            raise AttnbenchError(place.problem(f"with its aliases written out this is more than {MAX_VALUES:,} values"))
        self.document._values[path] = (node.start_mark.line, node.start_mark.column)
        kind = node.tag.removeprefix(_TAG)
        if isinstance(node, yaml.MappingNode) and kind == "map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and kind == "seq":
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and kind in _READ:
            return self._scalar(node, kind)
        self._note(node, f"the tag {node.tag!r} is not allowed", "write the plain value")
        return None

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != f"{_TAG}str":
                what = f"a key should be text, found {key!r}" if isinstance(key, str) else "a key should be text"
                self._note(key_node, what)
            elif key in result:
                first = self.document._keys[(*path, key)][0] + 1
                self._note(key_node, f"the key {key!r} stands twice", f"it stands already in line {first}")
            else:
                self.document._keys[(*path, key)] = (key_node.start_mark.line, key_node.start_mark.column)
                result[key] = self.value(value_node, (*path, key))
        return result

    def _scalar(self, node: yaml.ScalarNode, kind: str) -> Any:
        try:
            value = _READ[kind](node.value)
        except ValueError:
            self._note(node, f"{node.value!r} is not of the type {kind!r}")
            return None
        if isinstance(value, float) and not abs(value) < float("inf"):
            self._note(node, f"{node.value} is not a finite number")
        elif isinstance(value, int) and not abs(value) < 2**63:
            self._note(node, f"a whole number of {len(node.value)} digits is too large")
        else:
            return value
        return 0

    def _note(self, node: yaml.Node, what: str, hint: str = "") -> None:
        self.document.problems.add(self._place(node), what, hint)

    def _place(self, node: yaml.Node) -> Place:
        return self.document._at(node.start_mark.line, node.start_mark.column)


def _integer(text: str) -> int:
    if text[:2] in ("0x", "0o"):
        return int(text, 0)
    return int(text) if len(text) < 1000 else 2**63  # Python refuses to read more than 4300 digits


def _float(text: str) -> float:
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


_READ: dict[str, Any] = {
    "null": lambda _: None,
    "bool": lambda text: text.lower() == "true",
    "int": _integer,
    "float": _float,
    "str": str,
}
