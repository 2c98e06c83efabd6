"""Atomic writing: a file is complete or absent. Also the archive of a cell's alignments."""

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
_HEAD_ARRAYS = ("heads", "forming_heads")  # only written if several heads contribute to the alignment
# What reading a broken archive may raise. NumPy does not wrap the errors of zipfile, zlib, or its own header parser.
BROKEN_ARCHIVE = (
    OSError, ValueError, LookupError, EOFError, TypeError, AttributeError, RuntimeError, MemoryError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
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
    except OSError as error:
        raise fail(f"the results folder cannot be created: {error.strerror}", str(folder), hint) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise fail("the results folder cannot be written", str(folder), hint)


def write_atomically(path: Path, content: str | Callable[[BinaryIO], None]) -> None:
    """Writes a file completely or not at all: first to a temporary file in the same folder, which is then renamed.

    Args:
        path: the file; an existing one is replaced.
        content: the text, or a function that writes the bytes to an open file.

    Raises:
        AttnbenchError: if the file cannot be written.
    """
    # In the same folder, because a rename is atomic only within one file system.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            if isinstance(content, str):
                file.write(content.encode())
            else:
                content(file)
            file.flush()
            # Without fsync, a power cut after the rename can leave an empty file under the final name.
            os.fsync(file.fileno())
        temporary.replace(path)
    # BaseException, so that Ctrl-C does not leave the temporary file behind.
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise fail(f"cannot be written: {error.strerror}", str(path)) from error
        raise


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes JSON atomically. NaN and infinity, which JSON does not have, become null."""
    write_atomically(path, json.dumps(finite(content), indent=1, ensure_ascii=False, allow_nan=False))


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """The content as JSON reads it back, plus a digest of it, by which later edits of the file are detected."""
    plain: dict[str, Any] = json.loads(json.dumps(finite(content)))
    return plain | {"digest": _content_digest(plain)}


def check_seal(content: dict[str, Any]) -> None:
    """Raises a ValueError if the digest does not match the content. Files of earlier versions have no digest."""
    if "digest" in content and content["digest"] != _content_digest(content):
        raise ValueError("the file was edited: its digest does not match its content")


def _content_digest(content: dict[str, Any]) -> str:
    rest = {name: value for name, value in content.items() if name != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def write_alignments(path: Path, alignments: Alignments) -> None:
    """Writes an .npz archive atomically: words as fixed-width text, short sentences padded with ""."""
    arrays = {name: getattr(alignments, name) for name in _NUMBER_ARRAYS}
    arrays |= {name: array for name in _HEAD_ARRAYS if (array := getattr(alignments, name)).size}
    for name in _TEXT_ARRAYS:
        words = getattr(alignments, name)
        sentences = [words] if name.startswith("forming") else words
        arrays[name] = _to_array(sentences)
    # Never with pickle: reading a results folder from someone else must not run code.
    write_atomically(path, lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))


def read_alignments(path: Path) -> Alignments:
    """Reads an archive written by `write_alignments`.

    Raises:
        AttnbenchError: if the file is not a valid archive of alignments.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            heads = [name for name in _HEAD_ARRAYS if name in archive]
            arrays = {name: archive[name] for name in (*_TEXT_ARRAYS, *_NUMBER_ARRAYS, *heads)}
        texts = {name: [[str(word) for word in row if word] for row in arrays.pop(name)] for name in _TEXT_ARRAYS}
        forming = texts["forming_source"][0], texts["forming_target"][0]
    except BROKEN_ARCHIVE as error:
        raise fail(
            f"cannot be read: {error}", str(path), "delete the two files of this cell and run the grid again"
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
    # Not an array of objects, which can be stored with pickle only.
    return np.array(filled, dtype=np.str_).reshape(len(sentences), longest)


def finite(value: Any) -> Any:
    """The same value with None in place of NaN and infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list | tuple) else value
