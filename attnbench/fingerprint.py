"""The code that trained a cell: a hash of each source file that its numbers depend on.

A cell is stale if one of these files has changed. A file counts if the training or a component of the cell imports it,
directly or indirectly, so a change to one score affects only the cells that use it. Comments, docstrings and formatting
do not count: the hash is computed from the syntax tree. The user's own files count in the same way: a plugin, and what
it imports outside installed packages, as they were when they were loaded.
"""

import ast
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from attnbench.cell import Cell
from attnbench.plugins import code_of, imports_of_package
from attnbench.registry import REGISTRIES
from attnbench.syntax import digest_of_source, imports_of
from attnbench.user_code import FILE

PACKAGE = Path(__file__).parent
TRAINING = PACKAGE / "training" / "train.py"
# Imported by the training code, but no number depends on them: error messages, descriptions, plain data classes.
NOT_COUNTED = frozenset({"cell.py", "errors.py", "outcome.py", "registry.py", "messages.py"})
NOT_COUNTED_FOLDERS = ("training/trial/", "registered/")

SINCE = "changed since: "

Fingerprint = dict[str, str]


def fingerprint(cell: Cell) -> Fingerprint:
    """Returns the hash of each file that this cell's numbers depend on.

    The names are paths in attnbench, "plugin:my_score.py" for the files of a plugin, and module names for other modules
    of the user. None contains the place of a project.

    Raises:
        AttnbenchError: if a component is unknown, or its file cannot be read.
    """
    names = {kind: part.name for kind, part in cell.components().items()}
    entries = [REGISTRIES[kind].entry(name) for kind, name in names.items()]
    files = {entry.file for entry in entries if REGISTRIES[entry.kind].is_builtin(entry.name)}
    own = code_of(names)
    if not own:
        return _of_files(frozenset([TRAINING, *files]))
    return _merged(frozenset([TRAINING, *files, *_existing(imports_of_package(names))]), tuple(own.items()))


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Returns the files that differ, and those that only one side has."""
    if before == now:
        return []
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))


def describe_changes(files: list[str]) -> str:
    """Describes the changed files in a few words."""
    return f"{SINCE}{named_files(files)}" if files else ""


def named_files(files: list[str]) -> str:
    """Names the files of a fingerprint, at most three; the user's own ones come first."""
    own_first = sorted(files, key=lambda name: name.endswith(".py") and not name.startswith(FILE))
    more = f" and {len(files) - 2} more" if len(files) > 3 else ""
    return ", ".join(name.removeprefix(FILE) for name in (own_first[:2] if more else own_first)) + more


def stale_note(number: int, reason: str | None, noun: str = "cell") -> str:
    """Returns how many cells are stale for a reason: "12 cells trained with an earlier my_score.py: stale"."""
    files = (reason or "").removeprefix(SINCE)
    return f"{number} {noun}{'s' * (number != 1)} trained with an earlier {files}: stale"


@cache  # one object for many cells: a grid may have a hundred thousand
def _merged(roots: frozenset[Path], own: tuple[tuple[str, str], ...]) -> Fingerprint:
    return _of_files(roots) | dict(own)


@cache
def _of_files(roots: frozenset[Path]) -> Fingerprint:
    found: set[Path] = set()
    waiting = set(roots)
    while waiting:
        file = waiting.pop()
        found.add(file)
        waiting |= _imported(file) - found
    names = {file.relative_to(PACKAGE).as_posix(): file for file in found if file.is_relative_to(PACKAGE)}
    return {name: _syntax_digest(file) for name, file in sorted(names.items()) if _counts(name)}


def _counts(name: str) -> bool:
    return name not in NOT_COUNTED and not name.startswith(NOT_COUNTED_FOLDERS)


@cache
def _imported(file: Path) -> frozenset[Path]:
    """Returns the files of attnbench that a file imports, also those imported inside functions."""
    return frozenset(_existing(item.parts for item in imports_of(ast.parse(file.read_bytes())) if not item.level))


def _existing(modules: Iterable[tuple[str, ...]]) -> Iterable[Path]:
    for first, *rest in modules:
        file = PACKAGE.joinpath(*rest).with_suffix(".py")
        if first == PACKAGE.name and rest and file.is_file():
            yield file


@cache
def _syntax_digest(file: Path) -> str:
    return digest_of_source(file.read_bytes())
