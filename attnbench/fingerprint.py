"""The code that trained a cell: a hash of each source file that its numbers depend on.

A cell is stale if one of these files has changed. A file counts if the training or a component of the cell imports it,
directly or indirectly, so a change to one score affects only the cells that use it. Comments, docstrings and formatting
do not count: the hash is computed from the syntax tree. A plugin's own file is already part of the cell's id; the files
of attnbench that it imports are counted here.
"""

import ast
import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from attnbench.cell import Cell
from attnbench.registry import REGISTRIES

PACKAGE = Path(__file__).parent
TRAINING = PACKAGE / "training" / "train.py"
DIGITS = 12
# Imported by the training code, but no number depends on them: error messages, descriptions, plain data classes.
NOT_COUNTED = frozenset({"cell.py", "errors.py", "outcome.py", "registry.py", "messages.py", "training/trial.py"})

Fingerprint = dict[str, str]


def fingerprint(cell: Cell) -> Fingerprint:
    """Returns the hash of each file of attnbench that this cell's numbers depend on, by its path in the package."""
    components = [REGISTRIES[kind].entry(part.name).file for kind, part in cell.components().items()]
    return _of_files(frozenset([TRAINING, *components]))


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Returns the files that differ, and those that only one side has."""
    if before == now:
        return []
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))


def describe_changes(files: list[str]) -> str:
    """Describes the changed files in a few words."""
    more = f" and {len(files) - 2} more" if len(files) > 3 else ""
    shown = ", ".join(files[:2] if more else files)
    return f"changed since: {shown}{more}" if files else ""


@cache
def _of_files(roots: frozenset[Path]) -> Fingerprint:
    found: set[Path] = set()
    waiting = set(roots)
    while waiting:
        file = waiting.pop()
        found.add(file)
        waiting |= _imported(file) - found
    names = {file.relative_to(PACKAGE).as_posix(): file for file in found if file.is_relative_to(PACKAGE)}
    return {name: _syntax_digest(file) for name, file in sorted(names.items()) if name not in NOT_COUNTED}


@cache
def _syntax(file: Path) -> ast.Module:
    return ast.parse(file.read_bytes())


@cache
def _imported(file: Path) -> frozenset[Path]:
    """Returns the files of attnbench that a file imports, also those imported inside functions."""
    modules: list[str] = []
    for node in ast.walk(_syntax(file)):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from attnbench.tasks import copy` names a module, `from attnbench.cell import Cell` does not.
            modules += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return frozenset(_existing(module.split(".") for module in modules))


def _existing(modules: Iterable[list[str]]) -> Iterable[Path]:
    for first, *rest in modules:
        file = PACKAGE.joinpath(*rest).with_suffix(".py")
        if first == PACKAGE.name and rest and file.is_file():
            yield file


@cache
def _syntax_digest(file: Path) -> str:
    """Returns the hash of a file's syntax tree without docstrings."""
    tree = _syntax(file)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]  # in the cached tree itself: nothing else reads docstrings from it
    return hashlib.sha256(json.dumps(_plain(tree)).encode()).hexdigest()[:DIGITS]


def _plain(node: object) -> object:
    """Converts a syntax tree to lists, without empty fields: Python versions differ in which fields they add."""
    if isinstance(node, ast.AST):
        return [type(node).__name__, *((n, _plain(v)) for n, v in ast.iter_fields(node) if v is not None and v != [])]
    return [_plain(item) for item in node] if isinstance(node, list) else repr(node)
