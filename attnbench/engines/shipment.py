"""Copies the files that a pack needs to a machine with another file system, by content instead of by path."""

import hashlib
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Generic, TypeVar

from attnbench.cell import Pack
from attnbench.grid.identity import PATHS
from attnbench.user_code import FILE, root_of_file, user_code

Content = TypeVar("Content")


@dataclass(frozen=True)
class Shipped(Generic[Content]):
    """A file to copy.

    Attributes:
        path: on the user's machine.
        name: its path on the node, in the folder of this file and its neighbours.
        digest: the sha256 of its content and that of its neighbours.
        content: the content or a reference to it.
        neighbours: the files in the folder of a plugin that the plugin imports.
    """

    path: str
    name: str
    digest: str
    content: Content
    neighbours: tuple["Shipped[Content]", ...] = ()


def named_files(pack: Pack) -> list[str]:
    """Returns the files that training the pack reads: plugin files and sentence pairs, but not plugin modules."""
    plugins = [str(plugin) for plugin in pack.plugins if str(plugin).endswith(".py")]
    data = [getattr(pack.cell.data, field) for field in PATHS]
    return [*plugins, *(path for path in data if path is not None)]


def ship(path: str, put: Callable[[bytes], Content]) -> Shipped[Content]:
    """Reads a file and passes its content to `put`; with a plugin file, also the files beside it that it imports.

    Raises:
        OSError: if a file cannot be read.
    """
    if not path.endswith(".py"):
        return _ship(path, Path(path).name, put)
    real = Path(path).resolve()
    names = {
        file: name.removeprefix(FILE) for file, name in user_code(root_of_file(real)).names.items() if FILE in name
    }
    plugin = _ship(path, names.pop(real), put)
    neighbours = tuple(_ship(str(file), name, put) for file, name in sorted(names.items()))
    together = "".join(f"{file.name}\0{file.digest}\n" for file in (plugin, *neighbours))
    return replace(plugin, digest=hashlib.sha256(together.encode()).hexdigest(), neighbours=neighbours)


def _ship(path: str, name: str, put: Callable[[bytes], Content]) -> Shipped[Content]:
    content = Path(path).read_bytes()
    return Shipped(path, name, hashlib.sha256(content).hexdigest(), put(content))


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
            for one in (file, *file.neighbours):
                place = folder / file.digest / one.name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(get(one.content))
                places[one.path] = str(place)
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
