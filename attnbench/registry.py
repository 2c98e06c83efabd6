"""The classes that a grid file names: scores, scopes, normalisers, tasks and models.

Each built-in has its own file in `attnbench/scores` (and so on). It is described by parsing the file, not by
importing it, so that `attnbench expand` and `attnbench list` work without importing torch. A user's class is
registered by the same decorator when its plugin is imported.
"""

import ast
import importlib
import inspect
import math
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
from attnbench.messages import message_of, range_text, say, show, type_text
from attnbench.option_types import FromTo, OddInt

REQUIRED = inspect.Parameter.empty

PROMPT = Path("<prompt>")  # the file of a class that was defined at a prompt or in a notebook

# The runner supplies these, and a grid may override them.
PROVIDED_UNLESS_SET = frozenset({"max_source_length"})

# The names that annotations of built-ins may use: they are evaluated without importing the file.
_OF_PYDANTIC = {name: getattr(pydantic, name) for name in pydantic.__all__ if name[0].isupper()}
_ANNOTATIONS = {**vars(typing), **_OF_PYDANTIC, "FromTo": FromTo, "OddInt": OddInt}


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
    `members` are the methods and the true constants in the body of a built-in class; None for a user's class.
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
    members: frozenset[str] | None = None

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

    def declares(self, name: str) -> bool:
        """Whether the class has a method of this name, or a constant that is true, such as `sums_to_one = True`."""
        if self.members is not None:
            return name in self.members
        return bool(getattr(self.load(), name, False))

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

    @cached_property
    def _wrong_defaults(self) -> dict[str, Problem]:
        """The options with a default that a grid file could not set."""
        # None is accepted for any type: `hidden: int = None` is common.
        defaults = {o.name: o.default for o in self.options if o.default is not REQUIRED and o.default is not None}
        plain = {name: default for name, default in defaults.items() if _is_plain(default)}
        found = {
            name: f"is {_shown(default)}, which cannot be the value of an option"
            for name, default in defaults.items()
            if name not in plain
        }
        try:
            self._schema.model_validate_json(pydantic_core.to_json(plain))
        except pydantic.ValidationError as error:
            found |= {str(e["loc"][0]): say(e) for e in error.errors() if e["loc"] and e["loc"][0] in plain}
        # With the place in the text: the problem is reported at the line of the grid file that uses the class.
        part, place = f"{self.kind} {self.name!r}", self.origin
        hint = "a default is a finite number, text, True, False, None, list, tuple or dict, of the annotated type"
        return {
            name: Problem(f"{part}, option {name!r}: the default in {place} {what}", name, hint)
            for name, what in found.items()
        }

    def resolve(self, options: dict[str, Any]) -> dict[str, Any]:
        """The given options together with the defaults of the others.

        Raises:
            AttnbenchError: with one problem per option that is unknown, missing or of the wrong type or value, or that
                is not given and has a default of the wrong type or value; the problem's `where` is the name of the
                option.
        """
        try:
            schema = self._schema
            wrong = [problem for name, problem in self._wrong_defaults.items() if name not in options]
        except Exception as error:  # pydantic raises many types for an annotation that is not a type
            what = f"{self.kind} {self.name!r}: the annotation of an option cannot be used: {_first_line(error)}"
            raise fail(f"{what} ({self.origin})", hint="use int, float, bool, str, list, tuple or Literal") from error
        if wrong:
            raise AttnbenchError(*wrong)
        try:
            # As JSON, where strict validation accepts a list for a tuple, as YAML has only lists.
            resolved = schema.model_validate_json(pydantic_core.to_json(options))
        except pydantic.ValidationError as error:
            raise AttnbenchError(*(self._problem(e) for e in error.errors())) from None
        # Without pydantic's warnings about defaults of another type, such as None for int and a tuple for a list.
        values = resolved.model_dump(by_alias=True, warnings=False)
        return {k: v for k, v in values.items() if k not in PROVIDED_UNLESS_SET or v is not None}

    def _problem(self, error: Any) -> Problem:
        name = str(error["loc"][0]) if error["loc"] else ""
        if error["type"] == "extra_forbidden":
            known = [o.name for o in self.options]
            hint = did_you_mean(name, known) if known else f"{self.name} takes no options"
            return Problem(f"{self.kind} {self.name!r} has no option {name!r}", name, hint)
        if error["type"] == "missing" and len(error["loc"]) == 1:
            return Problem(f"{self.kind} {self.name!r} needs the option {name!r}", name)
        kind = next((option.type for option in self.options if option.name == name), Any)
        range_ = range_text(kind)
        hint = f"a valid {name} is {'an' if range_[0] in 'aio' else 'a'} {range_}" if range_ else ""
        # pydantic would speak of a tuple, which YAML does not have, and of a missing field.
        wrong_size = error["type"] in ("missing", "too_long")
        what = f"should be {type_text(kind)}, found {show(error['input'])}" if wrong_size else say(error)
        return Problem(f"{self.kind} {self.name!r}, option {name!r}: {what}", name, hint)


class Registry:
    """All classes of one kind, such as score, by name; calling it gives the decorator that adds one."""

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
        """The decorator that registers a class under a name.

        Raises:
            AttnbenchError: if the name is not text, as in `@attnbench.score` without parentheses.
        """
        if not isinstance(name, str) or not name.strip():
            raise self._without_name(name)

        def register(cls: type) -> type:
            # A class may come from a function in another file, and depend on what this call passed to it.
            caller = sys._getframe(1)
            entry = _inspect(cls, self.kind, name, self.provided, (caller.f_code.co_filename, caller.f_lineno))
            file, module = Path(caller.f_code.co_filename), str(caller.f_globals.get("__name__", ""))
            if file.is_file():
                entry = replace(entry, sources=(*entry.sources, (file, module)))
            other = self._builtin.get(name) or self._added.get(name)
            if other is not None and not _replaces(entry, other):
                raise fail(
                    f"the {self.kind} {name!r} is defined twice: in {other.origin} and in {entry.origin}",
                    hint="give yours another name",
                )
            if name not in self._builtin:
                self._added[name] = entry
            return cls

        return register

    def _without_name(self, found: Any) -> AttnbenchError:
        """The error for a decorator without a name, at the decorated class or at the line that calls it."""
        caller = sys._getframe(2)  # the line with the decorator
        if callable(found):
            file, line = _file_and_line(found, (caller.f_code.co_filename, caller.f_lineno))
            where, what = f"{file}:{line}", f"@attnbench.{self.kind} needs a name in parentheses"
        else:
            where = f"{caller.f_code.co_filename}:{caller.f_lineno}"
            what = f"@attnbench.{self.kind} needs a name, found {_shown(found)}"
        return fail(what, where, f'write @attnbench.{self.kind}("my_{self.kind}"), with the name for grid files')

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


def _inspect(cls: type, kind: str, name: str, provided: frozenset[str], caller: tuple[str, int]) -> Entry:
    """The entry of an imported class; `caller` is the file and the line of its decorator."""
    init = inspect.getattr_static(cls, "__init__")
    parameters = [] if init is object.__init__ else _arguments(init)[1:]
    file, line = _file_and_line(cls, caller)
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


def _file_and_line(cls: Any, caller: tuple[str, int]) -> tuple[Path, int]:
    """Where a class or function is defined; (PROMPT, 0) if no file has it, as at a prompt or in a notebook."""
    try:
        return Path(inspect.getfile(cls)), inspect.getsourcelines(cls)[1]
    except Exception:  # of any type: a metaclass may define what inspect reads, such as __module__
        file = Path(caller[0])
        return (file, caller[1]) if file.is_file() else (PROMPT, 0)


def _replaces(entry: Entry, other: Entry) -> bool:
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


def _is_plain(value: Any) -> bool:
    """Whether a default can be written into a cell's id and a results file."""
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, bool | int | str | pydantic.BaseModel)


def _shown(value: Any) -> str:
    """A value for a message; its type if the value has no short text."""
    try:
        text = repr(value)
    except Exception:
        text = ""
    return text if 0 < len(text) <= 40 and "\n" not in text else type(value).__name__


def _first_line(error: BaseException) -> str:
    return (message_of(error) or type(error).__name__).strip().partition("\n")[0]


# Each registry is also the decorator of its kind. The set names the keyword arguments that the runner provides.
score = Registry("score", frozenset({"width"}))
scope = Registry("scope", frozenset({"width", "normaliser"}))
normaliser = Registry("normaliser", frozenset())
task = Registry("task", frozenset({"vocabulary", "unseen_symbols"}))
model = Registry(
    "model",
    frozenset({"source_vocabulary", "target_vocabulary", "source_words", "target_words", "image_size", "attention"}),
)

REGISTRIES = {registry.kind: registry for registry in (score, scope, normaliser, task, model)}


def has_lengths_of_files(name: str) -> bool:
    """Whether the lengths of a task with `data.path` are those of the files, and cannot be set."""
    return task.is_builtin(name) and task.entry(name).declares("lengths_of_files")


def has_digits(name: str) -> bool:
    """Whether the lengths of a task without `data.path` are those of its option `digits`, and cannot be set."""
    return task.is_builtin(name) and task.entry(name).takes("digits")


def has_bundled_data(name: str) -> bool:
    """Whether a task without `data.path` reads a file of an installed package, whose path is `bundled()`."""
    return task.is_builtin(name) and task.entry(name).declares("bundled")
