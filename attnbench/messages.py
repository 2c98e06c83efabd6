"""Says pydantic's errors in plain words: what should stand there, and what was found; and shows any text safely."""

import json
import re
from typing import Any

NO_VALUE = "–"  # stands for a value that does not exist, in every table and list
SHOWN = 60  # characters of a value that are shown
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")

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


def say(error: Any) -> str:
    """A pydantic error, e.g. "should be at least 1, found 0"."""
    if error["type"] in ("value_error", "grid"):
        return str(error["ctx"]["error"] if error["type"] == "value_error" else error["msg"])
    if error["type"] not in _EXPECTED:
        message = str(error["msg"])
        return f"{message[0].lower()}{message[1:]}, found {show(error['input'])}"
    return f"should be {_EXPECTED[error['type']].format(**error.get('ctx', {}))}, found {show(error['input'])}"


def show(value: Any) -> str:
    """A value as it could stand in the file, cut short where it is long."""
    if value is None:
        return "nothing"
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def harmless(text: str) -> str:
    """The text with a � for every sign that a terminal would obey, or that HTML and UTF-8 cannot hold; lines stay."""
    return _CONTROL.sub("\ufffd", text.replace("\r\n", "\n"))
