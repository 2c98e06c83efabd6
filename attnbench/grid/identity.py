"""The id of a cell: a hash of everything that its numbers depend on."""

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from attnbench.cell import Cell, Component
from attnbench.errors import fail
from attnbench.registry import REGISTRIES

DIGITS = 12
PATHS = ("path", "validation_path", "test_path")


def cell_id(cell: Cell) -> str:
    """12 hex digits of the sha256 over the cell as canonical JSON.

    Data paths are replaced by the sha256 of the file's content, and the files of the plugins whose components the
    cell uses are added by theirs: the id changes with the content, not with the place.

    Raises:
        AttnbenchError: when a file is gone, a name is unknown or an option's default cannot be written as JSON.
    """
    config = cell.model_dump()
    del config["train"]["timeout"]  # no number depends on it
    for field in PATHS:
        if config["data"][field] is not None:
            config["data"][field] = _digest(config["data"][field])
    parts = {"model": cell.model, "score": cell.score, "scope": cell.scope, "task": cell.task}
    plugins = {kind: _plugin_digest(kind, part) for kind, part in parts.items() if part is not None}
    config["plugins"] = {kind: digest for kind, digest in plugins.items() if digest}
    try:
        text = json.dumps(config, sort_keys=True, separators=(",", ":"))
    except TypeError as error:
        raise fail(f"a cell has an option that cannot be written as JSON: {error}") from None
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def _plugin_digest(kind: str, part: Component) -> str | None:
    """The content of the file that defines the component, or None where attnbench itself does."""
    registry = REGISTRIES[kind]
    return None if registry.is_builtin(part.name) else _digest(registry.entry(part.name).file)


def _digest(path: str | Path) -> str:
    try:
        state = Path(path).stat()
        return _digest_of(str(path), state.st_mtime_ns, state.st_size, state.st_ino)
    except OSError as error:
        raise fail(f"cannot be read: {error.strerror}", str(path)) from None


@lru_cache(maxsize=256)
def _digest_of(path: str, *state: Any) -> str:
    """The sha256 of a file; `state` makes the cache forget a file that changed."""
    del state
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
