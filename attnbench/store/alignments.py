"""The archive of a cell's alignments, an .npz file: written atomically, and checked before and after it is unpacked."""

import hashlib
import io
import math
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from attnbench.errors import fail
from attnbench.files import cause, read_file, write_atomically
from attnbench.outcome import NO_HEADS, Alignments
from attnbench.tasks.base import PATCH, patches

MOST_BYTES = 1_000_000_000  # of an archive, and of its arrays together: 28 alignments of 8 heads and 1,000 words
WRITTEN_SHARE = 0.99  # of MOST_BYTES that the arrays may have: an archive of random bytes is a little larger than they
HINT = "delete the two files of this cell and run the grid again"
_TEXT_ARRAYS = ("source", "target", "forming_source", "forming_target")
_NUMBER_ARRAYS = ("weights", "links", "forming_links", "forming", "steps")
# Only written if several heads contribute to the alignment, if there are possible links, and if sources are images.
_OPTIONAL_ARRAYS = ("heads", "forming_heads", "possible", "forming_possible", "images", "forming_image")
_PER_SENTENCE = ("source", "target", "weights", "links", "heads", "possible", "images")
# What reading a broken archive may raise. NumPy does not wrap the errors of zipfile, zlib, or its own header parser.
_BROKEN_ARCHIVE = (
    OSError, ValueError, LookupError, EOFError, TypeError, AttributeError, RuntimeError, MemoryError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def fitting(alignments: Alignments) -> Alignments | None:
    """As many of the alignments as an archive has room for: all of them, unless they are of thousands of words.

    Otherwise half of the room is for the first test sentences, and half for training steps, evenly spaced to the last
    one. Where not one of each fits, the heads are left out; None where it does not fit without them either.
    """
    room = int(WRITTEN_SHARE * MOST_BYTES)
    for one in (alignments, replace(alignments, heads=NO_HEADS, forming_heads=NO_HEADS)):
        sentences, steps = len(one.weights), len(one.forming)
        per_sentence, per_step = _sizes(one)
        if sentences * per_sentence + steps * per_step <= room:
            return one
        few = min(sentences, room // 2 // per_sentence), min(steps, room // 2 // per_step)
        if all(few):
            return _first(one, *few)
    return None


def _sizes(alignments: Alignments) -> tuple[int, int]:
    """The bytes of a test sentence and of a training step, with the words as `write_alignments` stores them."""

    def of(arrays: Sequence[np.ndarray], sentences: Sequence[list[str]]) -> int:
        letters = max((len(word) for words in sentences for word in words), default=0)
        words = 4 * letters * max(map(len, sentences), default=0)  # NumPy stores 4 bytes per letter
        return 2 * words + sum(array.nbytes for array in arrays)

    a = alignments
    test = of((a.weights[:1], a.links[:1], a.heads[:1], a.possible[:1], a.images[:1]), [*a.source, *a.target])
    forming = of(
        (a.forming[:1], a.forming_links, a.forming_heads[:1], a.forming_possible, a.forming_image),
        [a.forming_source, a.forming_target],
    )
    return max(test, 1), max(forming, 1)


def _first(alignments: Alignments, sentences: int, steps: int) -> Alignments:
    """The first test sentences, and this number of training steps."""
    last = len(alignments.steps) - 1
    kept = np.linspace(last, 0, steps).round().astype(int)[::-1]  # one alone is the last
    a = alignments
    return replace(
        a,
        **{name: getattr(a, name)[:sentences] for name in _PER_SENTENCE},
        **{name: getattr(a, name)[kept] for name in ("forming", "steps")},
        forming_heads=a.forming_heads[kept] if a.forming_heads.size else a.forming_heads,
    )


def write_alignments(path: Path, alignments: Alignments) -> None:
    """Writes an .npz archive atomically: words as fixed-width text, short sentences padded with ""."""
    arrays = {name: getattr(alignments, name) for name in _NUMBER_ARRAYS}
    arrays |= {name: array for name in _OPTIONAL_ARRAYS if (array := getattr(alignments, name)).size}
    for name in _TEXT_ARRAYS:
        words = getattr(alignments, name)
        sentences = [words] if name.startswith("forming") else words
        arrays[name] = _to_array(sentences)
    # Never with pickle: reading a results folder from someone else must not run code.
    write_atomically(path, lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))


def read_alignments(path: Path, digest: str | None = None) -> Alignments:
    """Reads an archive written by `write_alignments`.

    Args:
        path: the file.
        digest: its SHA-256; None if it is not known.

    Raises:
        AttnbenchError: if the file has another digest, or is not a valid archive of alignments.
    """
    try:
        content = read_file(path, MOST_BYTES)
        if digest is not None and digest_of(content) != digest:
            raise ValueError("the file was changed: its digest does not match")
        arrays = _unpacked(content)
        texts = {name: [[str(word) for word in row if word] for row in arrays.pop(name)] for name in _TEXT_ARRAYS}
        found = Alignments(
            source=texts["source"],
            target=texts["target"],
            forming_source=texts["forming_source"][0],
            forming_target=texts["forming_target"][0],
            **arrays,
        )
        _check_shapes(found)
    except _BROKEN_ARCHIVE as error:
        raise fail(f"cannot be read: {cause(error)}", str(path), HINT) from error
    return found


def digest_of(content: bytes) -> str:
    """The SHA-256 of a file's content."""
    return hashlib.sha256(content).hexdigest()


def file_digest(file: Path) -> str:
    """The SHA-256 of an archive.

    Raises:
        OSError: if it cannot be read, is not a regular file or is too large.
    """
    return digest_of(read_file(file, MOST_BYTES))


def _unpacked(content: bytes) -> dict[str, np.ndarray]:
    """The arrays of an archive by name. Their sizes are checked before any of them is unpacked."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        names = [*_TEXT_ARRAYS, *_NUMBER_ARRAYS, *(name for name in _OPTIONAL_ARRAYS if name in members)]
        if missing := [name for name in names if name not in members]:
            raise ValueError(f"it has no array {missing[0]!r}")
        size = sum(members[name].file_size for name in names)
        if size > MOST_BYTES:
            raise ValueError(f"unpacked it would have {size:,} bytes, and {MOST_BYTES:,} are allowed")
        return {name: _array(archive, members[name], name) for name in names}


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> np.ndarray:
    from numpy.lib import format as npy

    kinds = "U" if name in _TEXT_ARRAYS else "biuf"
    with archive.open(info) as file:
        read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[npy.read_magic(file)]
        shape, _, dtype = read_header(file)
        # NumPy reserves memory for what the header says, which may be more than the archive has.
        if math.prod(shape) * dtype.itemsize != info.file_size - file.tell() or dtype.kind not in kinds:
            raise ValueError(f"{name!r} has the type {dtype} and the shape {shape}, which cannot be")
    with archive.open(info) as file:
        array: np.ndarray = npy.read_array(file, allow_pickle=False)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{name!r} has values that are not numbers")
    return array


def _check_shapes(found: Alignments) -> None:
    """Checks that all arrays are of the same sentences.

    Raises:
        ValueError: if they are not.
    """
    if found.weights.ndim != 3 or found.forming.ndim != 3:
        raise ValueError("the weights do not have three axes")
    sentences, *area = found.weights.shape
    records, *forming_area = found.forming.shape
    expected = {
        "links": [sentences, *area],
        "forming_links": forming_area,
        "steps": [records],
        "heads": [sentences, *found.heads.shape[1:2], *area],
        "forming_heads": [records, *found.heads.shape[1:2], *forming_area],
        "possible": [sentences, *area],
        "forming_possible": [1, *forming_area],
        "images": [sentences, *found.images.shape[1:3]],
        "forming_image": [1, *found.images.shape[1:3]],
    }
    may_be_empty = {"links", "forming_links"} if not found.links.size else set()
    for pair in (("heads", "forming_heads"), ("possible", "forming_possible"), ("images", "forming_image")):
        may_be_empty |= set() if any(getattr(found, name).size for name in pair) else set(pair)
    for name, shape in expected.items():
        array = getattr(found, name)
        if list(array.shape) != shape and (array.size or name not in may_be_empty):
            raise ValueError(f"{name!r} has the shape {array.shape}, expected {tuple(shape)}")
    for name, image, positions in (
        ("images", found.images, area[1]),
        ("forming_image", found.forming_image, forming_area[1]),
    ):
        if image.size and (image.ndim != 3 or _patches(image.shape[1:]) != positions):
            raise ValueError(f"{name!r} has the shape {image.shape}, and the weights are of {positions} patches")
    if not len(found.source) == len(found.target) == sentences:
        words = f"{len(found.source)} source and {len(found.target)} target sentences"
        raise ValueError(f"it has {words}, and the weights of {sentences}")
    rows = [*zip(found.target, found.source, strict=True), (found.forming_target, found.forming_source)]
    for place, (target, source) in enumerate(rows):
        most = area if place < sentences else forming_area
        if len(target) > most[0] or len(source) > most[1]:
            raise ValueError(f"sentence {place} has more words than weights")


def _patches(size: tuple[int, ...]) -> int | None:
    """The number of patches of an image of this size; None if it has no whole number of them."""
    return None if any(side % PATCH for side in size) else patches((size[0], size[1]))


def _to_array(sentences: list[list[str]]) -> np.ndarray:
    longest = max(map(len, sentences), default=0)
    filled = [[*words, *[""] * (longest - len(words))] for words in sentences]
    # Not an array of objects, which can be stored with pickle only.
    return np.array(filled, dtype=np.str_).reshape(len(sentences), longest)
