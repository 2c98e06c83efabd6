"""The JSON files of a run: written atomically, sealed with a digest, and read within a limit."""

import hashlib
import json
import math
import os
from collections.abc import Collection, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import BaseModel, ValidationError

from attnbench.errors import fail
from attnbench.files import read_file, write_atomically
from attnbench.messages import say

# What reading a broken JSON file may raise: also nesting too deep, or an integer too large for a float.
UNREADABLE = (OSError, ValueError, RecursionError, OverflowError)
_checked: dict[type[BaseModel], str] = {}  # the digest of the last file that was checked, by its model
AT_ONCE = 10_000  # elements of a list that are checked, and pieces of text that are written: large plans have gigabytes


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
    try:
        write_atomically(path, partial(_write_indented, content))
    except ValueError:
        write_atomically(path, partial(_write_indented, finite(content)))


def _write_indented(content: dict[str, Any], file: BinaryIO) -> None:
    # In parts: the encoder makes a string per bracket and comma, and json.dump writes each of them by itself.
    pieces = json.JSONEncoder(indent=1, ensure_ascii=False, allow_nan=False).iterencode(content)
    while part := "".join(islice(pieces, AT_ONCE)):
        file.write(part.encode())


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """The content as JSON reads it back, plus a digest of it, by which later edits of the file are detected."""
    plain: dict[str, Any] = _parse(_json_text(content))
    return plain | {"digest": _digest(plain)}


def read_sealed(path: Path, model: type[BaseModel], most: int, later: Collection[str]) -> dict[str, Any]:
    """Reads a file that was written with `sealed`, and checks it whole.

    Args:
        path: the file.
        model: what the content must be.
        most: the largest size of the file in bytes.
        later: keys that only files with a digest have: a file that has one of them but no digest was edited.

    A file that was the last one to be read and checked is not checked again, if its digest is the same: a run reads its
    plan several times.

    Returns:
        The content as it is in the file. It has no "digest" if an early version wrote the file, which could not be
        told from an edited one.

    Raises:
        OSError: if it cannot be read.
        ValueError, RecursionError, OverflowError: if it is not JSON, was edited, or is not what the model says.
    """
    content = _parse(read_file(path, most).decode("utf-8"))
    if not isinstance(content, dict):
        raise ValueError("it is not a mapping")
    if "digest" in content and content["digest"] != _digest(content):
        raise ValueError("the file was edited: its digest does not match its content")
    if "digest" not in content and any(key in content for key in later):
        raise ValueError("the file was edited: it has no digest")
    if content.get("digest") and _checked.get(model) == content["digest"]:
        return content
    for first, part in _parts(content):
        try:
            # As text and not as it is, because a model is strict about JSON: 5 is not "5", but [5] is a tuple.
            model.model_validate_json("".join(_canonical(part)))
        except ValidationError as error:
            raise ValueError(_first_error(error, first)) from None
    _checked[model] = content.get("digest", "")
    return content


def _parts(content: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the content in parts that have at most AT_ONCE elements of each list, with the index of the first element.

    The models of all cells of a large plan would take gigabytes.
    """
    long = {name for name, value in content.items() if isinstance(value, list) and len(value) > AT_ONCE}
    for first in range(0, max([1, *(len(content[name]) for name in long)]), AT_ONCE):
        yield (
            first,
            {name: value[first : first + AT_ONCE] if name in long else value for name, value in content.items()},
        )


def _first_error(error: ValidationError, first: int) -> str:
    """The first error of a part of the content whose lists begin with the element `first`."""
    found = error.errors()[0]
    place = [first + each if index == 1 and isinstance(each, int) else each for index, each in enumerate(found["loc"])]
    return f"{'.'.join(map(str, place)) or 'the file'}: {say(found)}"


def _parse(text: str) -> Any:
    """The content of JSON, in which equal texts are one string: the labels of the cells of a plan have few values."""
    seen: dict[str, str] = {}

    def shared(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {name: seen.setdefault(value, value) if type(value) is str else value for name, value in pairs}

    # Python's parser accepts NaN and Infinity, which are not JSON and are never written.
    return json.loads(text, parse_constant=_refuse, object_pairs_hook=shared)


def _canonical(content: dict[str, Any]) -> Iterator[str]:
    """The content without its digest as JSON with sorted keys, as json.dumps writes it, in pieces."""
    yield "{"
    for index, name in enumerate(sorted(content.keys() - {"digest"})):
        yield f"{', ' if index else ''}{json.dumps(name)}: "
        value = content[name]
        if not isinstance(value, list):
            yield json.dumps(value, sort_keys=True)
            continue
        yield "["
        for first in range(0, len(value), AT_ONCE):
            yield (", " if first else "") + json.dumps(value[first : first + AT_ONCE], sort_keys=True)[1:-1]
        yield "]"
    yield "}"


def _digest(content: dict[str, Any]) -> str:
    found = hashlib.sha256()
    for piece in _canonical(content):
        found.update(piece.encode())
    return found.hexdigest()


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number")


def _json_text(content: dict[str, Any]) -> str:
    """The content as JSON. It is copied only if it has NaN or infinity."""
    try:
        return json.dumps(content, allow_nan=False)
    except ValueError:
        return json.dumps(finite(content), allow_nan=False)


def finite(value: Any) -> Any:
    """The same value with None in place of NaN and infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list | tuple) else value
