"""The description of a class that a grid file names, and how its options are checked."""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pydantic
import pydantic_core

from attnbench.errors import AttnbenchError, Problem, did_you_mean, fail
from attnbench.messages import message_of, range_text, say, show, type_text

REQUIRED = inspect.Parameter.empty

# The runner supplies these, and a grid may override them.
PROVIDED_UNLESS_SET = frozenset({"max_source_length"})


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
            name: f"is {shown(default)}, which cannot be the value of an option"
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


def _is_plain(value: Any) -> bool:
    """Whether a default can be written into a cell's id and a results file."""
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, bool | int | str | pydantic.BaseModel)


def shown(value: Any) -> str:
    """A value for a message; its type if the value has no short text."""
    try:
        text = repr(value)
    except Exception:
        text = ""
    return text if 0 < len(text) <= 40 and "\n" not in text else type(value).__name__


def _first_line(error: BaseException) -> str:
    return (message_of(error) or type(error).__name__).strip().partition("\n")[0]
