"""Words pydantic's errors as "should be ..., found ...", types of options as "int > 0", and shortens messages."""

import json
import typing
from types import NoneType, UnionType
from typing import Any

NO_VALUE = "–"  # stands for a value that does not exist, in every table and list
SHOWN = 60  # longer values are cut to this number of characters
LONGEST = 2000  # the same for messages: text from a plugin or a file may be as long as the memory allows

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "finite_number": "a finite number",
    "literal_error": "{expected}",
    "greater_than": "above {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "below {lt}",
    "less_than_equal": "at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
}
# The bounds in the metadata of pydantic's types, with their signs.
_BOUNDS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤", "multiple_of": "multiple of"}
_TYPES: dict[Any, str] = {NoneType: "null", float: "number", bool: "true | false", str: "text", Any: "anything"}


def count(number: int, noun: str) -> str:
    """ "1 cell", "2 cells"."""
    return f"{number} {noun}{'s' * (number != 1)}"


def say(error: Any) -> str:
    """Returns the message for a pydantic error, e.g. "should be at least 1, found 0"."""
    # Errors raised by our own validators already have their full text.
    if error["type"] in ("value_error", "grid"):
        return str(error["ctx"]["error"] if error["type"] == "value_error" else error["msg"])
    if error["type"] not in _EXPECTED:
        message = str(error["msg"])
        return f"{message[0].lower()}{message[1:]}, found {show(error['input'])}"
    # A bound of a number is written 1, not 1.0, as in a grid file.
    bounds = {name: int(b) if _is_whole(b) else b for name, b in error.get("ctx", {}).items()}
    return f"should be {_EXPECTED[error['type']].format(**bounds)}, found {show(error['input'])}"


def _is_whole(bound: Any) -> bool:
    return isinstance(bound, float) and bound.is_integer()


def show(value: Any) -> str:
    """Formats a value as in a YAML file, cut to SHOWN characters."""
    if value is None:
        return "nothing"
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def written(value: Any) -> str:
    """Formats a value as in a grid file."""
    return value if isinstance(value, str) else json.dumps(int(value) if _is_whole(value) else value, default=str)


def type_text(kind: Any) -> str:
    """Formats the type of an option: `int > 0`, `gru | lstm`, `number or null`. A title in its metadata is taken."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        title = next((t for item in arguments[1:] if (t := getattr(item, "title", None))), None)
        return title or f"{type_text(arguments[0])} {' and '.join(_bounds(arguments[1:]))}".strip()
    if origin is typing.Literal:
        return " | ".join(map(written, arguments))
    if origin in (typing.Union, UnionType):
        return " or ".join(map(type_text, arguments))
    if kind in _TYPES:
        return _TYPES[kind]
    return kind.__name__ if isinstance(kind, type) and not arguments else str(kind)


def range_text(kind: Any) -> str:
    """Formats a type with several bounds as `type_text` does; "" for any other, whose one bound the message has."""
    bounds = _bounds(typing.get_args(kind)[1:]) if typing.get_origin(kind) is typing.Annotated else []
    return type_text(kind) if len(bounds) > 1 else ""


def _bounds(metadata: tuple[Any, ...]) -> list[str]:
    """Returns the bounds in the metadata of an annotation, from pydantic's types and Field()."""
    flat = [item for entry in metadata for item in getattr(entry, "metadata", [entry])]
    return [
        f"{sign} {written(bound)}"
        for item in flat
        for name, sign in _BOUNDS.items()
        if (bound := getattr(item, name, None)) is not None
    ]


def shortened(text: str, longest: int = LONGEST) -> str:
    """Cuts a longer text in the middle, where its length is written instead."""
    if len(text) <= longest:
        return text
    cut = f" … [{len(text):,} characters] … "
    kept = longest - len(cut)
    return text[: kept - kept // 2] + cut + text[len(text) - kept // 2 :]


def message_of(error: BaseException) -> str:
    """Returns the message of an exception, shortened; that of a user's own class may raise instead of returning it."""
    try:
        return shortened(str(error), LONGEST // 2)  # so that a message in which it is quoted is not cut again
    except KeyboardInterrupt:
        raise
    except BaseException as another:
        return f"its message cannot be shown, because its __str__ raised {type(another).__name__}"
