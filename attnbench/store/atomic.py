"""The JSON files of a run: written atomically, sealed with a digest, and read within a limit."""

import hashlib
import json
import math
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from attnbench.errors import fail
from attnbench.files import read_file, write_atomically
from attnbench.messages import say

# What reading a broken JSON file may raise: also nesting too deep, or an integer too large for a float.
UNREADABLE = (OSError, ValueError, RecursionError, OverflowError)


def make_writable(folder: Path) -> None:
    """Creates a folder and its parents, and checks that files can be created in it.

    Raises:
        AttnbenchError: if the folder cannot be created or is not writable.
    """
    hint = "choose another folder: --results DIR"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise fail("it is not a folder", str(folder), f"move it away, or {hint}") from error
    except OSError as error:
        raise fail(f"the results folder cannot be created: {error.strerror}", str(folder), hint) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise fail("the results folder cannot be written", str(folder), hint)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes JSON atomically. NaN and infinity, which JSON does not have, become null."""
    write_atomically(path, _json_text(content, indent=1, ensure_ascii=False))


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """The content as JSON reads it back, plus a digest of it, by which later edits of the file are detected."""
    plain: dict[str, Any] = json.loads(_json_text(content))
    return plain | {"digest": _digest(_canonical(plain))}


def read_sealed(path: Path, model: type[BaseModel], most: int, later: Collection[str]) -> dict[str, Any]:
    """Reads a file that was written with `sealed`, and checks it whole.

    Args:
        path: the file.
        model: what the content must be.
        most: the largest size of the file in bytes.
        later: keys that only files with a digest have: a file that has one of them but no digest was edited.

    Returns:
        The content as it is in the file. It has no "digest" if an early version wrote the file, which could not be
        told from an edited one.

    Raises:
        OSError: if it cannot be read.
        ValueError, RecursionError, OverflowError: if it is not JSON, was edited, or is not what the model says.
    """
    # Python's parser accepts NaN and Infinity, which are not JSON and are never written.
    content = json.loads(read_file(path, most).decode("utf-8"), parse_constant=_refuse)
    if not isinstance(content, dict):
        raise ValueError("it is not a mapping")
    text = _canonical(content)
    if "digest" in content and content["digest"] != _digest(text):
        raise ValueError("the file was edited: its digest does not match its content")
    if "digest" not in content and any(key in content for key in later):
        raise ValueError("the file was edited: it has no digest")
    try:
        # The text again and not the content, because a model is strict about JSON: 5 is not "5", but [5] is a tuple.
        model.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc'])) or 'the file'}: {say(first)}") from None
    return content


def _canonical(content: dict[str, Any]) -> str:
    return json.dumps({name: value for name, value in content.items() if name != "digest"}, sort_keys=True)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number")


def _json_text(content: dict[str, Any], **options: Any) -> str:
    """The content as JSON. It is copied only if it has NaN or infinity: the plan of a large grid has gigabytes."""
    try:
        return json.dumps(content, allow_nan=False, **options)
    except ValueError:
        return json.dumps(finite(content), allow_nan=False, **options)


def finite(value: Any) -> Any:
    """The same value with None in place of NaN and infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list | tuple) else value
