"""Reads a user's own images with their words, and perhaps gold patches, from an .npz file."""

import hashlib
import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from attnbench.errors import AttnbenchError, Problem, fail
from attnbench.tasks.base import PATCH, SPECIAL, patches
from attnbench.tasks.files import SHOWN, version_of
from attnbench.tasks.words import unusable_word

MOST_BYTES = 10**9  # of the arrays of a file, before images of uint8 become four times as large
REQUIRED, OPTIONAL = ("images", "words"), ("links", "possible")
FORMAT = (
    "np.savez(file, images=(N,H,W) uint8 or float, words=(N,T) text with '' after the last word; optional: "
    "links and possible, (N,T,patches) bool)"
)
# What NumPy and zipfile raise for a broken archive, an encrypted one, and an array whose header asks for more memory
# than there is.
_BROKEN = (ValueError, OSError, EOFError, KeyError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Images:
    """The content of a file.

    Attributes:
        images: (N,H,W) float32, from 0 to 1.
        words: of each image.
        links: (N,T,S) bool, the sure links; None if the file has none.
        possible: (N,T,S) bool, links that are not wrong, sure ones included; None if the file has none.
    """

    images: np.ndarray
    words: tuple[tuple[str, ...], ...]
    links: np.ndarray | None
    possible: np.ndarray | None


def read_images(path: str | Path) -> Images:
    """Reads a file; one that was read before, and has not changed since, is not read again.

    Raises:
        AttnbenchError: if it cannot be read or is not in the format, with a problem per array or image.
    """
    try:
        return _read(str(path), version_of(path))
    except OSError as error:
        raise fail(
            f"cannot read the file: {error.strerror}", str(path), "paths are relative to the grid file"
        ) from error


def images_digest(path: str | Path) -> str:
    """Returns the sha256 of the content of a file, whatever its compression.

    Raises:
        AttnbenchError: if it cannot be read.
    """
    try:
        found = read_images(path)
    except AttnbenchError:  # the grid is refused later, with the problems of the file
        try:
            return hashlib.sha256(Path(path).read_bytes()).hexdigest()
        except OSError as error:
            raise fail(f"cannot be read: {error.strerror}", str(path)) from None
    digest = hashlib.sha256(repr(found.words).encode())
    for array in (found.images, found.links, found.possible):
        digest.update(b"none" if array is None else repr(array.shape).encode() + array.tobytes())
    return digest.hexdigest()


@lru_cache(maxsize=8)
def _read(path: str, version: tuple[int, ...]) -> Images:
    """Returns `read_images`; `version` is part of the cache key, so that a changed file is read again."""
    del version
    arrays = _arrays(path)
    problems = [*_of_names(arrays, path)]
    if not problems:
        problems = [*_of_images(arrays["images"], path), *_of_words(arrays["words"], path)]
    if not problems:
        problems = [*_of_sizes(arrays, path)]
    if not problems:
        problems = [*_of_links(arrays, path)]
    if problems:
        more = [Problem(f"and {len(problems) - SHOWN} more problems", path)] if len(problems) > SHOWN else []
        raise AttnbenchError(*problems[:SHOWN], *more)
    images = arrays["images"]
    scaled = images / np.float32(255) if images.dtype == np.uint8 else images.astype(np.float32)
    words = tuple(tuple(word for word in row if word) for row in arrays["words"].tolist())
    links, possible = arrays.get("links"), arrays.get("possible")
    if links is None or possible is None:
        return Images(scaled, words, links, None)
    return Images(scaled, words, links, links | possible)


def _arrays(path: str) -> dict[str, np.ndarray]:
    try:
        if not zipfile.is_zipfile(path):  # NumPy would take it for a pickle
            raise ValueError("it is no archive of arrays")
        # Never with pickle: reading a file of someone else must not run code.
        _check_size(path)
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except _BROKEN as error:
        first = str(error).partition("\n")[0]
        if "Object arrays" in first:
            raise fail("has an array of Python objects, which may run code when they are read", path, FORMAT) from error
        raise fail(f"is not an .npz file that NumPy can read: {first}", path, FORMAT) from error
    # NumPy returns the bytes of a member that is not an array.
    if others := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
        raise fail(f"has a file {others[0]!r} that is not an array", path, FORMAT)
    return arrays


def _check_size(path: str) -> None:
    """Raises AttnbenchError if the arrays of an archive, unpacked, have more than MOST_BYTES."""
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > MOST_BYTES:
        raise fail(f"has arrays of {size:,} bytes, and {MOST_BYTES:,} are allowed", path, "give it fewer images")


def _of_names(arrays: dict[str, Any], path: str) -> list[Problem]:
    missing = [Problem(f"has no array {name!r}", path, FORMAT) for name in REQUIRED if name not in arrays]
    unknown = [name for name in arrays if name not in (*REQUIRED, *OPTIONAL)]
    return missing + [Problem(f"has an unknown array {name!r}", path, FORMAT) for name in unknown]


def _of_images(images: np.ndarray, path: str) -> list[Problem]:
    where = f"{path}, images"
    if images.ndim != 3 or not images.size:
        return [Problem(f"has the shape {images.shape}, expected (N,H,W): grey images of one size", where, FORMAT)]
    height, width = images.shape[1:]
    if height % PATCH or width % PATCH:
        what = f"are {height} × {width} pixels, and a patch has {PATCH} × {PATCH}"
        return [Problem(what, where, f"crop or pad them to multiples of {PATCH}")]
    if images.dtype == np.uint8:
        return []
    if images.dtype.kind != "f":
        return [Problem(f"are of type {images.dtype}, expected uint8 (0 to 255) or float (0 to 1)", where, FORMAT)]
    if not np.isfinite(images).all():
        first = int(np.flatnonzero(~np.isfinite(images).all((1, 2)))[0])
        return [Problem(f"image {first} has values that are not numbers (NaN or infinite)", where, "remove it")]
    if images.min() < 0 or images.max() > 1:
        what = f"have values from {images.min():g} to {images.max():g}, expected 0 to 1"
        return [Problem(what, where, "scale them, or store them as uint8 from 0 to 255")]
    return []


def _of_words(words: np.ndarray, path: str) -> list[Problem]:
    where = f"{path}, words"
    if words.ndim != 2 or words.dtype.kind != "U":
        return [Problem(f"are of type {words.dtype} and shape {words.shape}, expected text (N,T)", where, FORMAT)]
    problems = []
    for n, row in enumerate(words.tolist()):
        used = [word for word in row if word]
        if not used:
            problems.append(Problem(f"image {n} has no words", where, "remove it"))
        elif row[: len(used)] != used:
            problems.append(Problem(f"image {n} has an empty word before its last one", where, FORMAT))
        elif what := unusable_word(used):
            problems.append(Problem(f"image {n}: {what}", where, "remove the character"))
        elif blank := [word for word in used if word.isspace()]:
            problems.append(Problem(f"image {n} has a word that is only white space: {blank[0]!r}", where, "remove it"))
        elif reserved := sorted({*used} & {*SPECIAL}):
            problems.append(Problem(f"image {n} has the reserved word {reserved[0]!r}", where, "rename it"))
    return problems


def _of_sizes(arrays: dict[str, np.ndarray], path: str) -> list[Problem]:
    images, words = arrays["images"], arrays["words"]
    if len(images) != len(words):
        return [Problem(f"has {len(images)} images and the words of {len(words)}", path, "give each image its words")]
    expected = (*words.shape, patches(images.shape[1:]))
    wrong = [name for name in OPTIONAL if name in arrays and arrays[name].shape != expected]
    return [
        Problem(
            f"has the shape {arrays[name].shape}, expected {expected}: images, words and patches, row by row",
            f"{path}, {name}",
            FORMAT,
        )
        for name in wrong
    ]


def _of_links(arrays: dict[str, np.ndarray], path: str) -> list[Problem]:
    absent = arrays["words"] == ""
    problems = []
    for name in (name for name in OPTIONAL if name in arrays):
        if arrays[name].dtype != bool:
            problems.append(Problem(f"are of type {arrays[name].dtype}, expected bool", f"{path}, {name}", FORMAT))
        elif (arrays[name].any(-1) & absent).any():
            first = int(np.flatnonzero((arrays[name].any(-1) & absent).any(-1))[0])
            problems.append(Problem(f"image {first} has a link of a word that it does not have", f"{path}, {name}"))
    if "possible" in arrays and "links" not in arrays:
        problems.append(Problem("has possible links without the sure ones", path, "add links, (N,T,patches)"))
    return problems
