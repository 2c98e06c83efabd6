"""Reads YAML safely, within limits, into a Document.

Plain scalars are read as in YAML 1.2: `1e-3` is a number; `yes`, `1:30` and `2024-01-01` are text. From YAML 1.1 there
are merge keys: `<<: *base` adds the keys of another mapping, or of a list of them, that the mapping does not have.
Top-level keys that begin with `x-` are left out: their values are written for such references.
"""

import errno
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer, ComposerError
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from attnbench.errors import AttnbenchError, Problem, fail
from attnbench.files import cause, read_file, similar_grid_file
from attnbench.grid.document import Document, KeyPath, Place

# Limits of a file: more than any grid needs, and read within seconds.
MAX_BYTES = 1_000_000
MAX_DEPTH = 32  # a grid file needs 5
IGNORED = "x-"  # the beginning of the top-level keys that are left out
MAX_VALUES = 50_000  # with all aliases expanded: stops "billion laughs" attacks
_HINTS = {errno.EFBIG: "is this a grid file?", errno.EINVAL: "write the grid to a file first"}


def read(path: Path) -> Document:
    """Reads the document in a file.

    Raises:
        AttnbenchError: if it cannot be read, is not UTF-8 or not YAML, or is too large or nested too deeply.
    """
    content = _content(path)
    try:
        # Some editors put a byte order mark at the start of a file.
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise fail("the file is not UTF-8 text", f"{path}:{line}", "save the file as UTF-8") from None
    return parse(text, str(path))


def from_mapping(data: Mapping[str, Any]) -> Document:
    """The document of a grid that was written in Python; its problems are shown in the YAML that it stands for.

    Raises:
        AttnbenchError: if it holds a value that YAML cannot represent, or is nested too deeply.
    """
    try:
        text = dump(dict(data))
    except yaml.representer.RepresenterError:
        raise AttnbenchError(*_not_plain(dict(data), "grid", set())) from None
    except RecursionError:
        raise fail(f"the grid is nested more than {MAX_DEPTH} levels deep") from None
    return parse(text, "grid")


def _not_plain(value: Any, where: str, seen: set[int]) -> list[Problem]:
    """A problem for every value in a mapping that YAML cannot represent, with its path in the mapping."""
    if type(value) in (dict, list, tuple):  # by type, as PyYAML chooses: it does not represent a subclass
        if id(value) in seen:
            return []
        seen.add(id(value))
        items = value.items() if isinstance(value, dict) else enumerate(value)
        parts = [(item, f"{where}[{key!r}]") for key, item in items]
        parts += [(key, f"the key {key!r} of {where}") for key in value] if isinstance(value, dict) else []
        return [problem for part, place in parts for problem in _not_plain(part, place, seen)]
    try:
        dump(value)
    except yaml.representer.RepresenterError:
        what = f"a value of type {type(value).__name__}, which a grid file cannot have"
        plain = ".tolist() gives" if hasattr(value, "tolist") else "use"
        return [Problem(what, where, f"{plain} text, numbers, true or false, lists and dicts")]
    return []


def _content(path: Path) -> bytes:
    try:
        return read_file(path, MAX_BYTES)
    except FileNotFoundError:
        near = similar_grid_file(path)
        hint = "`attnbench init` writes a starter grid" if near is None else f"did you mean {near}?"
        raise fail(f"there is no grid file {path}", hint=hint) from None
    except IsADirectoryError:
        raise fail(f"{path} is a folder", hint="name the grid file in it") from None
    except OSError as error:
        raise fail(f"{path} cannot be read: {cause(error)}", hint=_HINTS.get(error.errno or 0, "")) from None
    except ValueError as error:
        raise fail(f"{str(path)!r} is not a valid file name: {error}") from None


def parse(text: str, label: str) -> Document:
    """Parses a YAML text; duplicate keys and similar mistakes become the document's `problems`.

    Raises:
        AttnbenchError: if it is not YAML, or nested too deeply.
    """
    document = Document(label, text)
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        raise AttnbenchError(_yaml_problem(document, error)) from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise fail(f"the character {chr(error.character)!r} is not allowed in YAML", f"{label}:{line}") from None
    except (ValueError, OverflowError) as error:  # an impossible character code or YAML version
        assert loader is not None
        raise AttnbenchError(document.at(loader.line, loader.column).problem(f"this is not YAML: {error}")) from None
    if node is not None:
        document.data = _Reading(document).value(node, ())
    if isinstance(document.data, dict):
        document.data = {key: value for key, value in document.data.items() if not key.startswith(IGNORED)}
    return document


def _yaml_problem(document: Document, error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    message = ", ".join(part for part in (error.context, error.problem) if part)
    place = document.at(mark.line, mark.column) if mark else Place(document.label)
    hint = ""
    if "\\t" in message:
        hint = "indent with spaces, not with tabs"
    elif error.context_mark and mark and error.context_mark.line != mark.line:
        hint = f"it starts in line {error.context_mark.line + 1}"
    return place.problem(f"this is not YAML: {message}", hint)


class _Loader(Reader, Scanner, Parser, Composer, BaseResolver):
    """Composes YAML nodes, with limits: PyYAML's composer is recursive and slow."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)
        self._depth = self._count = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self._depth += 1
        self._count += 1
        if self._depth > MAX_DEPTH:
            mark = self.peek_event().start_mark
            raise ComposerError(None, None, f"it is nested more than {MAX_DEPTH} levels deep", mark)
        if self._count > 2 * MAX_VALUES:  # keys are counted too
            raise ComposerError(None, None, f"it has more than {MAX_VALUES:,} values", self.peek_event().start_mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"
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
_Loader.add_implicit_resolver(_MERGE, re.compile("<<$"), ["<"])


_LINE_ENDS = re.compile("[\x85\u2028\u2029]")  # Unicode line ends, which YAML treats as line breaks


class _Dumper(yaml.SafeDumper):
    """Quotes every text that this reader, or a YAML 1.1 reader, would not read as text."""


for _name, _pattern, _first in _SCALARS:
    _Dumper.add_implicit_resolver(_TAG + _name, re.compile(f"(?:{_pattern})$"), _first)


def dump(data: Any) -> str:
    """Writes data as YAML that `parse` reads back unchanged."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Reading:
    """Converts nodes to plain data, recording positions and problems in the document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.count = 0
        self._merging: list[yaml.Node] = []  # the mappings in which a merge key is being read

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        """The plain data of a node and of all nodes below it; None where a tag is not allowed."""
        self._count(node, path)
        self.document.values[path] = (node.start_mark.line, node.start_mark.column)
        kind = node.tag.removeprefix(_TAG)
        if isinstance(node, yaml.MappingNode) and kind == "map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and kind == "seq":
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and kind == "merge":
            return node.value  # an ordinary text where it is no key
        if isinstance(node, yaml.ScalarNode) and kind in _READ:
            return self._scalar(node, kind)
        self._note(node, f"the tag {node.tag!r} is not allowed", "write the plain value")
        return None

    def _count(self, node: yaml.Node, path: KeyPath) -> None:
        self.count += 1
        if self.count > MAX_VALUES or len(path) > MAX_DEPTH:
            place = self._place(node)
            raise AttnbenchError(place.problem(f"with its aliases expanded this has more than {MAX_VALUES:,} values"))

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        """Returns the keys of a mapping: first those of its merge key, then its own, which win."""
        merged = [pair for pair in node.value if pair[0].tag == _MERGE]
        for key_node, _ in merged[1:]:
            self._note(key_node, "duplicate key '<<'", "merge several mappings by a list: <<: [*first, *second]")
        result = self._merged(merged[0][1], node, path) if merged else {}
        return result | self._own_keys(node, path)

    def _merged(self, value: yaml.Node, into: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        """Returns the keys of a merged mapping, or of a list of them, of which the first that has a key wins."""
        mappings = value.value if isinstance(value, yaml.SequenceNode) else [value]
        result: dict[str, Any] = {}
        self._merging.append(into)
        # The last first, so that the positions that are recorded are those of the values that win.
        for mapping in reversed(mappings):
            self._count(mapping, path)
            if not isinstance(mapping, yaml.MappingNode):
                self._note(mapping, "'<<' merges a mapping, or a list of mappings", "write <<: *name, of &name {…}")
            elif any(mapping is outer for outer in self._merging):
                self._note(mapping, "this mapping merges itself")
            else:
                result |= self._mapping(mapping, path)
        self._merging.pop()
        return result

    def _own_keys(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                continue
            key = key_node.value
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != f"{_TAG}str":
                what = f"a key should be text, found {key!r}" if isinstance(key, str) else "a key should be text"
                self._note(key_node, what)
            elif key in result:
                first = self.document.keys[(*path, key)][0] + 1
                self._note(key_node, f"duplicate key {key!r}", f"it is already in line {first}")
            elif self._is_printable(key_node):
                self.document.keys[(*path, key)] = (key_node.start_mark.line, key_node.start_mark.column)
                result[key] = self.value(value_node, (*path, key))
        return result

    def _scalar(self, node: yaml.ScalarNode, kind: str) -> Any:
        try:
            value = _READ[kind](node.value)
        except ValueError:
            self._note(node, f"{node.value!r} is not of the type {kind!r}")
            return None
        if isinstance(value, str):
            return value if self._is_printable(node) else ""
        # Written with `not`, so that NaN is refused as well.
        if isinstance(value, float) and not abs(value) < float("inf"):
            self._note(node, f"{node.value} is not a finite number")
        elif isinstance(value, int) and not abs(value) < 2**63:
            self._note(node, f"a whole number of {len(node.value)} digits is too large")
        else:
            return value
        return 0

    def _is_printable(self, node: yaml.ScalarNode) -> bool:
        """Returns whether a text is free of control characters, which escapes can write and terminals interpret."""
        found = Reader.NON_PRINTABLE.search(node.value) or _LINE_ENDS.search(node.value)
        if found:
            self._note(node, f"the character {found.group()!r} is not allowed in a grid file")
        return found is None

    def _note(self, node: yaml.Node, what: str, hint: str = "") -> None:
        self.document.problems.add(self._place(node), what, hint)

    def _place(self, node: yaml.Node) -> Place:
        return self.document.at(node.start_mark.line, node.start_mark.column)


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
