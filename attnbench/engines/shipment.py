"""Copies the files that a pack needs to a machine with another file system, by content instead of by path."""

import hashlib
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Generic, TypeVar

from attnbench.cell import Pack
from attnbench.grid.identity import PATHS

Content = TypeVar("Content")


@dataclass(frozen=True)
class Shipped(Generic[Content]):
    """A file to copy: its path on the user's machine, the sha256 of its content, and the content or a reference."""

    path: str
    digest: str
    content: Content


def named_files(pack: Pack) -> list[str]:
    """Returns the files that training the pack reads: plugin files and sentence pairs, but not plugin modules."""
    plugins = [str(plugin) for plugin in pack.plugins if str(plugin).endswith(".py")]
    data = [getattr(pack.cell.data, field) for field in PATHS]
    return [*plugins, *(path for path in data if path is not None)]


def ship(path: str, put: Callable[[bytes], Content]) -> Shipped[Content]:
    """Reads a file and passes its content to `put`.

    Raises:
        OSError: if it cannot be read.
    """
    content = Path(path).read_bytes()
    return Shipped(path, hashlib.sha256(content).hexdigest(), put(content))


@contextmanager
def unpacked(files: Sequence[Shipped[Content]], get: Callable[[Content], bytes]) -> Iterator[dict[str, str]]:
    """Writes the files to a temporary folder; yields their paths there by their paths on the user's machine.

    The same content always gets the same path in this process: a plugin that is loaded again from another path would
    register its components twice.

    Raises:
        OSError: if they cannot be written.
    """
    if not files:
        yield {}
        return
    folder = _folder()
    folder.mkdir(mode=0o700)  # fails if it exists: another user might have created it with their files
    try:
        places = {}
        for file in files:
            place = folder / file.digest / Path(file.path).name
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(get(file.content))
            places[file.path] = str(place)
        yield places
    finally:
        shutil.rmtree(folder)


@cache
def _folder() -> Path:
    """Returns a folder for this process, with a name that other users cannot guess."""
    return Path(tempfile.gettempdir()) / f"attnbench-{secrets.token_hex(8)}"


def moved(pack: Pack, places: dict[str, str]) -> Pack:
    """Returns the pack with the new paths of its files; its ids stay valid, since they depend on the contents only."""
    config = pack.cell.data
    found = {name: places[path] for name in PATHS if (path := getattr(config, name)) is not None}
    cell = pack.cell.model_copy(update={"data": config.model_copy(update=found)})
    plugins = tuple(places.get(str(plugin), plugin) for plugin in pack.plugins)
    return pack.model_copy(update={"cell": cell, "plugins": plugins})
