"""The syntax of a source file: a digest without comments and docstrings, and the modules that it imports."""

import ast
import hashlib
import json
from dataclasses import dataclass

DIGITS = 12


@dataclass(frozen=True)
class Import:
    """A module that a file imports, also inside a function.

    Attributes:
        parts: of its dotted name; the last one may be a name in the module instead of a module.
        level: the number of leading dots; 0 for an absolute import.
    """

    parts: tuple[str, ...]
    level: int = 0


def imports_of(tree: ast.Module) -> list[Import]:
    """Returns all imports of a file."""
    found: list[Import] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [Import(tuple(alias.name.split("."))) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = tuple(node.module.split(".")) if node.module else ()
            # `from attnbench.tasks import copy` names a module, `from attnbench.cell import Cell` does not.
            found += [Import(parts, node.level) for alias in node.names for parts in (module, (*module, alias.name))]
    return list(dict.fromkeys(found))


def digest_of_source(content: bytes) -> str:
    """Returns the digest of a file's syntax; that of its bytes if they are not Python."""
    try:
        return digest_of(ast.parse(content))
    except (SyntaxError, ValueError):  # ValueError: NUL bytes
        return hashlib.sha256(content).hexdigest()[:DIGITS]


def digest_of(tree: ast.Module) -> str:
    """Returns the hash of a syntax tree without docstrings, which are removed from the tree itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return hashlib.sha256(json.dumps(_plain(tree)).encode()).hexdigest()[:DIGITS]


def _plain(node: object) -> object:
    """Converts a syntax tree to lists, without empty fields: Python versions differ in which fields they add."""
    if isinstance(node, ast.AST):
        return [type(node).__name__, *((n, _plain(v)) for n, v in ast.iter_fields(node) if v is not None and v != [])]
    return [_plain(item) for item in node] if isinstance(node, list) else repr(node)
