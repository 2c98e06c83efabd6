"""The id of a cell: a hash of everything in its configuration that its numbers depend on."""

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from attnbench.cell import SOFTMAX, Cell, Component, Data
from attnbench.errors import AttnbenchError, fail
from attnbench.registry import REGISTRIES, has_bundled_data
from attnbench.tasks.files import version_of

# 48 bits: in a grid of 100,000 cells, the default limit, two of the ids are equal with a probability of 0.002 %.
DIGITS = 12
PATHS = ("path", "validation_path", "test_path")


def cell_id(cell: Cell, digests: Mapping[str, str] | None = None) -> str:
    """Returns 12 hex digits of the sha256 of the cell as canonical JSON.

    Data paths are replaced by the digests of their pairs: the id depends on the content of files, not on their path.
    Code, also that of plugins, is not part of the id but of the fingerprint: a new version makes a cell stale, not
    another cell.

    Args:
        cell: the cell.
        digests: those of `data_digests`; default: computed from the files as they are now.

    Raises:
        AttnbenchError: if a file is missing or an option's default cannot be written as JSON.
    """
    config = cell.model_dump()
    del config["train"]["timeout"]  # no number depends on it
    if cell.normaliser in (None, SOFTMAX):
        del config["normaliser"]  # earlier versions had the softmax only; with it, every id would change
    if not cell.tuning:
        del config["tuning"]  # earlier versions had no tuning
    for name, digest in (data_digests(cell.task, cell.data) if digests is None else digests).items():
        config["data"][name.removeprefix("data.")] = digest
    config["plugins"] = {}  # earlier versions had the digests of plugins here; without it, every id would change
    try:
        text = json.dumps(config, sort_keys=True, separators=(",", ":"))
    except TypeError as error:
        raise fail(f"a cell has an option that cannot be written as JSON: {error}") from None
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def data_digests(task: Component, data: Data) -> dict[str, str]:
    """Returns the digest of each file that a task reads, by its field ("data.path").

    Raises:
        AttnbenchError: if a file cannot be read.
    """
    return {field: data_digest(task.name, path) for field, path in data_files(task.name, data).items()}


def data_files(task: str, data: Data) -> dict[str, str]:
    """Returns the path of each file that a task reads, by its field.

    A file of an installed package that is read without `data.path` is that of "data.path".

    Raises:
        AttnbenchError: if the package is not installed.
    """
    files = {f"data.{field}": path for field in PATHS if (path := getattr(data, field)) is not None}
    if not files and has_bundled_data(task):
        reader: Any = REGISTRIES["task"].entry(task).load()
        return {"data.path": reader.bundled()}
    return files


def data_digest(task: str, path: str) -> str:
    """Returns the digest of what a task reads from a file: its own `digest(path)`, or that of sentence pairs.

    Raises:
        AttnbenchError: if the file cannot be read.
    """
    entries = REGISTRIES["task"]
    if entries.is_builtin(task) and entries.entry(task).declares("digest"):
        reader: Any = entries.entry(task).load()
        return str(reader.digest(path))
    return pairs_digest(path)


def pairs_digest(path: str | Path) -> str:
    """Returns the sha256 of the sentence pairs in a file.

    Line ends, a byte order mark, a missing final newline and repeated spaces do not count, because the reader ignores
    them: copies of one file that a spreadsheet or Git has saved differently are the same data. A file that was read
    before and has the same time stamps and size is not read again.

    Raises:
        AttnbenchError: if it cannot be read.
    """
    try:
        return _cached_pairs_digest(str(path), *version_of(path))
    except OSError as error:
        raise fail(f"cannot be read: {error.strerror}", str(path)) from None


@lru_cache(maxsize=256)
def _cached_pairs_digest(path: str, *version: Any) -> str:
    """Returns `pairs_digest`; `version` is part of the cache key, so that a changed file is read again."""
    from attnbench.tasks.pairs import read_pairs  # imports NumPy, which grids without sentence pairs do not need

    del version
    content = Path(path).read_bytes()
    try:
        pairs = read_pairs(path)
    except AttnbenchError:  # the grid is refused later, with the place of each line that is not a pair
        return hashlib.sha256(content).hexdigest()
    # Words contain neither spaces nor tabs nor line ends, so different pairs give different text.
    text = "".join(f"{' '.join(pair.source)}\t{' '.join(pair.target)}\n" for pair in pairs)
    return hashlib.sha256(text.encode()).hexdigest()
