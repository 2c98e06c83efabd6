"""Words pydantic's errors as "should be ..., found ...", and shortens messages."""

import json
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


def say(error: Any) -> str:
    """Returns the message for a pydantic error, e.g. "should be at least 1, found 0"."""
    # Errors raised by our own validators already have their full text.
    if error["type"] in ("value_error", "grid"):
        return str(error["ctx"]["error"] if error["type"] == "value_error" else error["msg"])
    if error["type"] not in _EXPECTED:
        message = str(error["msg"])
        return f"{message[0].lower()}{message[1:]}, found {show(error['input'])}"
    return f"should be {_EXPECTED[error['type']].format(**error.get('ctx', {}))}, found {show(error['input'])}"


def show(value: Any) -> str:
    """Formats a value as in a YAML file, cut to SHOWN characters."""
    if value is None:
        return "nothing"
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


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
