"""Files that are whole or not there: atomic writing, and the archive of a cell's alignments."""

import hashlib
import json
import math
import os
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from attnbench.errors import fail
from attnbench.outcome import Alignments

_TEXT_ARRAYS = ("source", "target", "forming_source", "forming_target")
_NUMBER_ARRAYS = ("weights", "links", "forming_links", "forming", "steps")
_HEAD_ARRAYS = ("heads", "forming_heads")  # not there where an alignment has a single head
# What reading a broken archive may raise: of zip, of its compression, of an array's header, or of what is not in it.
BROKEN_ARCHIVE = (
    OSError, ValueError, LookupError, EOFError, TypeError, AttributeError, RuntimeError, MemoryError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
UNREADABLE = (OSError, ValueError, RecursionError, OverflowError)  # what reading a broken file of JSON may raise


def make_writable(folder: Path) -> None:
    """Makes a folder, with those above it.

    Raises:
        AttnbenchError: when it cannot be made, or is there and cannot be written.
    """
    hint = "choose another: --results DIR"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise fail(f"the results folder cannot be made: {error.strerror}", str(folder), hint) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise fail("the results folder cannot be written", str(folder), hint)


def write_atomically(path: Path, content: str | Callable[[BinaryIO], None]) -> None:
    """Writes a whole file or none: beside its place first, then into it.

    Args:
        path: the file; what stood there is replaced.
        content: the text, or what writes the bytes.

    Raises:
        AttnbenchError: when the disk refuses.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            if isinstance(content, str):
                file.write(content.encode())
            else:
                content(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise fail(f"cannot be written: {error.strerror}", str(path)) from error
        raise


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes JSON atomically; a number that JSON cannot say (NaN, infinity) becomes null."""
    write_atomically(path, json.dumps(finite(content), indent=1, ensure_ascii=False, allow_nan=False))


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """What a file of JSON gives back of this content, with a digest over it, by which an edit is noticed."""
    plain: dict[str, Any] = json.loads(json.dumps(finite(content)))
    return plain | {"digest": _content_digest(plain)}


def check_seal(content: dict[str, Any]) -> None:
    """Raises a ValueError when the content is not what was sealed; an earlier attnbench sealed nothing."""
    if "digest" in content and content["digest"] != _content_digest(content):
        raise ValueError("it was edited: it is not what was written")


def _content_digest(content: dict[str, Any]) -> str:
    rest = {name: value for name, value in content.items() if name != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def write_alignments(path: Path, alignments: Alignments) -> None:
    """Writes an archive of plain arrays, atomically: words as fixed-width text, short sentences filled with ""."""
    arrays = {name: getattr(alignments, name) for name in _NUMBER_ARRAYS}
    arrays |= {name: array for name in _HEAD_ARRAYS if (array := getattr(alignments, name)).size}
    for name in _TEXT_ARRAYS:
        words = getattr(alignments, name)
        sentences = [words] if name.startswith("forming") else words
        arrays[name] = _to_array(sentences)
    write_atomically(path, lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))


def read_alignments(path: Path) -> Alignments:
    """Reads what `write_alignments` wrote.

    Raises:
        AttnbenchError: when the file is not such an archive.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            there = [name for name in _HEAD_ARRAYS if name in archive]
            arrays = {name: archive[name] for name in (*_TEXT_ARRAYS, *_NUMBER_ARRAYS, *there)}
        texts = {name: [[str(word) for word in row if word] for row in arrays.pop(name)] for name in _TEXT_ARRAYS}
        forming = texts["forming_source"][0], texts["forming_target"][0]
    except BROKEN_ARCHIVE as error:
        raise fail(
            f"cannot be read: {error}", str(path), "delete the cell's two files, and run the grid again"
        ) from error
    return Alignments(
        source=texts["source"],
        target=texts["target"],
        forming_source=forming[0],
        forming_target=forming[1],
        **arrays,
    )


def _to_array(sentences: list[list[str]]) -> np.ndarray:
    longest = max(map(len, sentences), default=0)
    filled = [[*words, *[""] * (longest - len(words))] for words in sentences]
    return np.array(filled, dtype=np.str_).reshape(len(sentences), longest)


def finite(value: Any) -> Any:
    """The same with None for every number that JSON cannot say."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list | tuple) else value
