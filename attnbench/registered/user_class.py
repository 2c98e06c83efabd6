"""The entry of a user's class, by inspection: its plugin has imported it."""

import ast
import inspect
from pathlib import Path
from typing import Any

from attnbench.registered.entry import REQUIRED, Entry, Option

PROMPT = Path("<prompt>")  # the file of a class that was defined at a prompt or in a notebook


def entry_of(cls: type, kind: str, name: str, provided: frozenset[str], caller: tuple[str, int]) -> Entry:
    """The entry of an imported class; `caller` is the file and the line of its decorator."""
    init = inspect.getattr_static(cls, "__init__")
    parameters = [] if init is object.__init__ else _arguments(init)[1:]
    file, line = file_and_line(cls, caller)
    doc = getattr(cls, "__doc__", None)
    return Entry(
        kind=kind,
        name=name,
        class_name=str(getattr(cls, "__qualname__", name)),
        doc=inspect.cleandoc(doc) if isinstance(doc, str) else "",  # not inherited, unlike inspect.getdoc
        file=file,
        line=line,
        parameters=tuple(
            Option(p.name, Any if p.annotation is REQUIRED else p.annotation, p.default)
            for p in parameters
            if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        ),
        load=lambda: cls,
        provided=provided,
        sources=((file, _module_of(cls)),),
    )


def _arguments(init: Any) -> list[inspect.Parameter]:
    """The parameters of a constructor, with those of the function that it wraps if it passes on any keyword."""
    found = list(inspect.signature(init, eval_str=True, follow_wrapped=False).parameters.values())
    wrapped = getattr(init, "__wrapped__", None)
    if wrapped is None or not any(p.kind is p.VAR_KEYWORD for p in found):
        return found
    own = {p.name for p in found}
    # The first argument of the wrapped constructor is the instance, which the wrapper may call *args.
    instance, *more = _arguments(wrapped)
    named = [p for p in found if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name != instance.name]
    return [instance, *named, *(p for p in more if p.name not in own)]


def _module_of(cls: Any) -> str:
    """The name of the module that defines a class; "" where it cannot be read."""
    try:
        return str(cls.__module__)
    except Exception:  # of any type, as below
        return ""


def file_and_line(cls: Any, caller: tuple[str, int]) -> tuple[Path, int]:
    """Where a class or function is defined; (PROMPT, 0) if no file has it, as at a prompt or in a notebook."""
    try:
        return Path(inspect.getfile(cls)), inspect.getsourcelines(cls)[1]
    except Exception:  # of any type: a metaclass may define what inspect reads, such as __module__
        file = Path(caller[0])
        return (file, caller[1]) if file.is_file() else (PROMPT, 0)


def replaces(entry: Entry, other: Entry) -> bool:
    """Whether a class may take the name of another one: its file was reloaded, or its notebook cell was run again."""
    if entry.file != other.file:
        return False
    if entry.class_name == other.class_name or entry.file == PROMPT:
        return True
    # The class was renamed, unless the file still registers the old one under this name as well.
    try:
        tree = ast.parse(entry.file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return True
    old = other.class_name.rpartition(".")[2]
    definitions = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    return not any(node.name == old and _is_named(node, other.name) for node in definitions)


def _is_named(node: ast.ClassDef | ast.FunctionDef, name: str) -> bool:
    """Whether a decorator of a class has this name as its argument; also if the argument is not written as text."""
    calls = [d for d in node.decorator_list if isinstance(d, ast.Call) and d.args]
    return any(not isinstance(d.args[0], ast.Constant) or d.args[0].value == name for d in calls)
