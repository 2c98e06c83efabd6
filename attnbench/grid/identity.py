"""The id of a cell: a hash of everything in its configuration that its numbers depend on."""

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from attnbench.cell import Cell, Component
from attnbench.errors import fail
from attnbench.registry import REGISTRIES

# 48 bits: in a grid of 100,000 cells, the default limit, two of the ids are equal with a probability of 0.002 %.
DIGITS = 12
PATHS = ("path", "validation_path", "test_path")


def cell_id(cell: Cell) -> str:
    """Returns 12 hex digits of the sha256 of the cell as canonical JSON.

    Data paths are replaced by the sha256 of the file's content, and the sha256 of each plugin file whose components the
    cell uses is added: the id depends on the content of files, not on their path.

    Raises:
        AttnbenchError: if a file is missing, a name is unknown or an option's default cannot be written as JSON.
    """
    config = cell.model_dump()
    del config["train"]["timeout"]  # no number depends on it
    for field in PATHS:
        if config["data"][field] is not None:
            config["data"][field] = _file_digest(config["data"][field])
    parts = {"model": cell.model, "score": cell.score, "scope": cell.scope, "task": cell.task}
    plugins = {kind: _plugin_digest(kind, part) for kind, part in parts.items() if part is not None}
    config["plugins"] = {kind: digest for kind, digest in plugins.items() if digest}
    try:
        text = json.dumps(config, sort_keys=True, separators=(",", ":"))
    except TypeError as error:
        raise fail(f"a cell has an option that cannot be written as JSON: {error}") from None
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def _plugin_digest(kind: str, part: Component) -> str | None:
    """Returns the digest of the file that defines a component, or None for built-in ones."""
    # Built-in code is not part of the id but of the fingerprint: a new version makes a cell stale, not another cell.
    registry = REGISTRIES[kind]
    return None if registry.is_builtin(part.name) else _file_digest(registry.entry(part.name).file)


def _file_digest(path: str | Path) -> str:
    try:
        stat = Path(path).stat()
        return _cached_digest(str(path), stat.st_mtime_ns, stat.st_size, stat.st_ino)
    except OSError as error:
        raise fail(f"cannot be read: {error.strerror}", str(path)) from None


@lru_cache(maxsize=256)
def _cached_digest(path: str, *version: Any) -> str:
    """Returns the sha256 of a file; `version` is part of the cache key, so that a changed file is read again."""
    del version
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
