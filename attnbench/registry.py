"""The classes that a grid file names: scores, scopes, tasks and models.

Each built-in has its own file in `attnbench/scores` (and so on). It is described by parsing the file, not by
importing it, so that `attnbench expand` and `attnbench list` work without importing torch. A user's class is
registered by the same decorator when its plugin is imported.
"""

import ast
import importlib
import inspect
import sys
import typing
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pydantic
import pydantic_core

from attnbench.errors import AttnbenchError, Problem, did_you_mean, fail
from attnbench.messages import say

REQUIRED = inspect.Parameter.empty

# The runner supplies these, and a grid may override them.
PROVIDED_UNLESS_SET = frozenset({"max_source_length"})

# The names that annotations of built-ins may use: they are evaluated without importing the file.
_ANNOTATIONS = {**vars(typing), **{name: getattr(pydantic, name) for name in pydantic.__all__ if name[0].isupper()}}


@dataclass(frozen=True)
class Option:
    """One keyword argument of a registered class: its name, its type and its default (or REQUIRED)."""

    name: str
    type: Any
    default: Any = REQUIRED


@dataclass(frozen=True)
class Entry:
    """The description of a registered class: where it is defined and which arguments it takes.

    `sources` are the files that define and register it, with the names of their modules; empty for a built-in.
    """

    kind: str
    name: str
    class_name: str
    doc: str
    file: Path
    line: int
    parameters: tuple[Option, ...]
    load: Callable[[], type]
    provided: frozenset[str] = frozenset()
    sources: tuple[tuple[Path, str], ...] = ()

    @property
    def origin(self) -> str:
        """Where the class is defined, as file:line."""
        return f"{self.file}:{self.line}"

    @property
    def options(self) -> tuple[Option, ...]:
        """The arguments that a user sets; the runner provides the others."""
        return tuple(p for p in self.parameters if p.name not in self.provided)

    def takes(self, name: str) -> bool:
        """Whether its constructor declares this argument."""
        return any(p.name == name for p in self.parameters)

    @cached_property
    def _schema(self) -> type[pydantic.BaseModel]:
        # Prefixed, because an option may have the name of an attribute of pydantic's models, such as copy.
        fields: dict[str, Any] = {}
        for option in self.options:
            default = ... if option.default is REQUIRED else option.default
            kind = option.type
            if option.name in PROVIDED_UNLESS_SET:
                kind, default = kind | None, None
            fields[f"option_{option.name}"] = (kind, pydantic.Field(default, alias=option.name))
        config = pydantic.ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True, allow_inf_nan=False)
        return pydantic.create_model(self.name, __config__=config, **fields)

    def resolve(self, options: dict[str, Any]) -> dict[str, Any]:
        """The given options together with the defaults of the others.

        Raises:
            AttnbenchError: with one problem per option that is unknown, missing or of the wrong type or value;
                the problem's `where` is the name of the option.
        """
        try:
            # As JSON, where strict validation accepts a list for a tuple, as YAML has only lists.
            resolved = self._schema.model_validate_json(pydantic_core.to_json(options)).model_dump(by_alias=True)
        except pydantic.ValidationError as error:
            raise AttnbenchError(*(self._problem(e) for e in error.errors())) from None

        return {k: v for k, v in resolved.items() if k not in PROVIDED_UNLESS_SET or v is not None}

    def _problem(self, error: Any) -> Problem:
        name = str(error["loc"][0]) if error["loc"] else ""
        if error["type"] == "extra_forbidden":
            known = [o.name for o in self.options]
            hint = did_you_mean(name, known) if known else f"{self.name} takes no options"
            return Problem(f"{self.kind} {self.name!r} has no option {name!r}", name, hint)
        if error["type"] == "missing":
            return Problem(f"{self.kind} {self.name!r} needs the option {name!r}", name)
        return Problem(f"{self.kind} {self.name!r}, option {name!r}: {say(error)}", name)


class Registry:
    """All classes of one kind (score, scope, task or model) by name; calling it gives the decorator that adds one."""

    def __init__(self, kind: str, provided: frozenset[str]) -> None:
        self.kind = kind
        self.provided = provided
        self._added: dict[str, Entry] = {}

    @cached_property
    def _builtin(self) -> MappingProxyType[str, Entry]:
        folder = Path(__file__).parent / f"{self.kind}s"
        found = (e for file in sorted(folder.glob("*.py")) for e in _read(file, self.kind, self.provided))
        return MappingProxyType({entry.name: entry for entry in found})

    def __call__(self, name: str) -> Callable[[type], type]:
        """The decorator that registers a class under a name."""

        def register(cls: type) -> type:
            entry = _inspect(cls, self.kind, name, self.provided)
            # A class may come from a function in another file, and depend on what this call passed to it.
            caller = sys._getframe(1)
            file, module = Path(caller.f_code.co_filename), str(caller.f_globals.get("__name__", ""))
            if file.is_file():
                entry = replace(entry, sources=(*entry.sources, (file, module)))
            other = self._builtin.get(name) or self._added.get(name)
            # The same class again: a module was reloaded, or a notebook cell was run again.
            if other is not None and (other.file, other.class_name) != (entry.file, entry.class_name):
                raise fail(
                    f"the {self.kind} {name!r} is defined twice: in {other.origin} and in {entry.origin}",
                    hint="give yours another name",
                )
            if name not in self._builtin:
                self._added[name] = entry
            return cls

        return register

    def names(self) -> list[str]:
        """All names, the built-in ones first."""
        return [*self._builtin, *self._added]

    def __contains__(self, name: str) -> bool:
        return name in self._builtin or name in self._added

    def entry(self, name: str) -> Entry:
        """The description of the named class.

        Raises:
            AttnbenchError: if the name is unknown, with the most similar one.
        """
        entry = self._builtin.get(name) or self._added.get(name)
        if entry is None:
            raise fail(f"unknown {self.kind} {name!r}", hint=did_you_mean(name, self.names()))
        return entry

    def is_builtin(self, name: str) -> bool:
        """Whether attnbench itself defines the name."""
        return name in self._builtin

    def origin(self, name: str) -> str:
        """Where the class is defined, as file:line."""
        return self.entry(name).origin

    def build(self, name: str, options: dict[str, Any], **provided: Any) -> Any:
        """Returns an instance, built with the options and the provided arguments that the class declares."""
        entry = self.entry(name)
        given = {key: value for key, value in provided.items() if entry.takes(key)}
        return entry.load()(**(given | options))


@cache
def _read(file: Path, kind: str, provided: frozenset[str]) -> tuple[Entry, ...]:
    """The entries of one built-in file, from its syntax tree."""
    module = f"attnbench.{kind}s.{file.stem}"
    entries = []
    for node in ast.parse(file.read_text()).body:
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


def _inspect(cls: type, kind: str, name: str, provided: frozenset[str]) -> Entry:
    """The entry of an imported class."""
    init = inspect.getattr_static(cls, "__init__")
    signature = [] if init is object.__init__ else list(inspect.signature(init, eval_str=True).parameters.values())[1:]
    empty = inspect.Parameter.empty
    try:
        file, line = Path(inspect.getfile(cls)), inspect.getsourcelines(cls)[1]
    except (OSError, TypeError):  # defined at a prompt
        file, line = Path("<prompt>"), 0
    return Entry(
        kind=kind,
        name=name,
        class_name=cls.__qualname__,
        doc=inspect.cleandoc(cls.__doc__ or ""),  # not inherited, unlike inspect.getdoc
        file=file,
        line=line,
        parameters=tuple(
            Option(p.name, Any if p.annotation is empty else p.annotation, p.default)
            for p in signature
            if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        ),
        load=lambda: cls,
        provided=provided,
        sources=((file, cls.__module__),),
    )


# Each registry is also the decorator of its kind. The set names the keyword arguments that the runner provides.
score = Registry("score", frozenset({"width"}))
scope = Registry("scope", frozenset({"width"}))
task = Registry("task", frozenset({"vocabulary", "unseen_symbols"}))
model = Registry(
    "model", frozenset({"source_vocabulary", "target_vocabulary", "source_words", "target_words", "attention"})
)

REGISTRIES = {registry.kind: registry for registry in (score, scope, task, model)}
