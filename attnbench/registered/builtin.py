"""The entries of the built-in classes, read from the syntax trees of their files, which are not imported."""

import ast
import importlib
import typing
from functools import cache
from pathlib import Path
from typing import Any

import pydantic

from attnbench.option_types import FromTo, OddInt
from attnbench.registered.entry import REQUIRED, Entry, Option

# The names that annotations of built-ins may use: they are evaluated without importing the file.
_OF_PYDANTIC = {name: getattr(pydantic, name) for name in pydantic.__all__ if name[0].isupper()}
_ANNOTATIONS = {**vars(typing), **_OF_PYDANTIC, "FromTo": FromTo, "OddInt": OddInt}


@cache
def entries_in(file: Path, kind: str, provided: frozenset[str]) -> tuple[Entry, ...]:
    """The entries of one built-in file, from its syntax tree."""
    module = f"attnbench.{kind}s.{file.stem}"
    entries = []
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            entries += [
                Entry(
                    kind=kind,
                    name=name,
                    class_name=node.name,
                    doc=ast.get_docstring(node) or "",
                    file=file,
                    line=node.lineno,
                    parameters=_read_parameters(node, provided),
                    load=lambda n=node.name: getattr(importlib.import_module(module), n),  # type: ignore[misc]
                    provided=provided,
                    members=_read_members(node),
                )
                for name in _decorated_names(node, kind)
            ]
    return tuple(entries)


def _decorated_names(node: ast.ClassDef, kind: str) -> list[str]:
    return [
        str(d.args[0].value)
        for d in node.decorator_list
        if isinstance(d, ast.Call)
        and isinstance(d.func, ast.Name)
        and d.func.id == kind
        and isinstance(d.args[0], ast.Constant)
    ]


def _read_members(node: ast.ClassDef) -> frozenset[str]:
    """The methods of a class and its constants that are True, without those of its bases."""
    names = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
    for each in node.body:
        if isinstance(each, ast.Assign) and isinstance(each.value, ast.Constant) and each.value.value is True:
            names |= {target.id for target in each.targets if isinstance(target, ast.Name)}
    return frozenset(names)


def _read_parameters(node: ast.ClassDef, provided: frozenset[str]) -> tuple[Option, ...]:
    init = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
    if init is None:
        return ()
    arguments = init.args.args[1:]
    defaults: list[Any] = [REQUIRED] * (len(arguments) - len(init.args.defaults))
    defaults += [ast.literal_eval(d) for d in init.args.defaults]
    return tuple(
        Option(a.arg, Any if a.arg in provided else _read_annotation(a.annotation), d)
        for a, d in zip(arguments, defaults, strict=True)
    )


def _read_annotation(node: ast.expr | None) -> Any:
    return Any if node is None else eval(ast.unparse(node), _ANNOTATIONS)
