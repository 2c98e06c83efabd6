"""The archive of a cell's alignments, an .npz file: written atomically, and checked before and after it is unpacked."""

import hashlib
import io
import math
import zipfile
import zlib
from pathlib import Path

import numpy as np

from attnbench.errors import fail
from attnbench.files import cause, read_file, write_atomically
from attnbench.outcome import Alignments

MOST_BYTES = 1_000_000_000  # of an archive, and of its arrays together: 28 alignments of 8 heads and 1,000 words
HINT = "delete the two files of this cell and run the grid again"
_TEXT_ARRAYS = ("source", "target", "forming_source", "forming_target")
_NUMBER_ARRAYS = ("weights", "links", "forming_links", "forming", "steps")
_HEAD_ARRAYS = ("heads", "forming_heads")  # only written if several heads contribute to the alignment
# What reading a broken archive may raise. NumPy does not wrap the errors of zipfile, zlib, or its own header parser.
_BROKEN_ARCHIVE = (
    OSError, ValueError, LookupError, EOFError, TypeError, AttributeError, RuntimeError, MemoryError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


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
        names = [*_TEXT_ARRAYS, *_NUMBER_ARRAYS, *(name for name in _HEAD_ARRAYS if name in members)]
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
    }
    may_be_empty = {"links", "forming_links"} if not found.links.size else set()
    may_be_empty |= {"heads", "forming_heads"} if not (found.heads.size or found.forming_heads.size) else set()
    for name, shape in expected.items():
        array = getattr(found, name)
        if list(array.shape) != shape and (array.size or name not in may_be_empty):
            raise ValueError(f"{name!r} has the shape {array.shape}, expected {tuple(shape)}")
    if not len(found.source) == len(found.target) == sentences:
        words = f"{len(found.source)} source and {len(found.target)} target sentences"
        raise ValueError(f"it has {words}, and the weights of {sentences}")
    rows = [*zip(found.target, found.source, strict=True), (found.forming_target, found.forming_source)]
    for place, (target, source) in enumerate(rows):
        most = area if place < sentences else forming_area
        if len(target) > most[0] or len(source) > most[1]:
            raise ValueError(f"sentence {place} has more words than weights")


def _to_array(sentences: list[list[str]]) -> np.ndarray:
    longest = max(map(len, sentences), default=0)
    filled = [[*words, *[""] * (longest - len(words))] for words in sentences]
    # Not an array of objects, which can be stored with pickle only.
    return np.array(filled, dtype=np.str_).reshape(len(sentences), longest)
