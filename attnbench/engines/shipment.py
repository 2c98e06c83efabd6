"""Takes the files that a pack names to a machine with another file system: by their content, not by their place."""

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
    """A file on its way: where the user has it, the sha256 of its content, and the content or a reference to it."""

    path: str
    digest: str
    content: Content


def named_files(pack: Pack) -> list[str]:
    """The files that training the pack reads: its plugins, and its own sentence pairs. Modules are not among them."""
    plugins = [str(plugin) for plugin in pack.plugins if str(plugin).endswith(".py")]
    data = [getattr(pack.cell.data, field) for field in PATHS]
    return [*plugins, *(path for path in data if path is not None)]


def ship(path: str, put: Callable[[bytes], Content]) -> Shipped[Content]:
    """Reads a file and hands its content to `put`.

    Raises:
        OSError: when it cannot be read.
    """
    content = Path(path).read_bytes()
    return Shipped(path, hashlib.sha256(content).hexdigest(), put(content))


@contextmanager
def unpacked(files: Sequence[Shipped[Content]], get: Callable[[Content], bytes]) -> Iterator[dict[str, str]]:
    """Has the files here meanwhile; gives where they are, by where the user has them.

    The same content is at the same place as long as this process lives: a plugin that is loaded again from another
    place would register its components twice.

    Raises:
        OSError: when they cannot be written.
    """
    if not files:
        yield {}
        return
    folder = _folder()
    folder.mkdir(mode=0o700)  # anew each time: what stood there already might be another's
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
    """Of this process alone, under a name that nobody guesses."""
    return Path(tempfile.gettempdir()) / f"attnbench-{secrets.token_hex(8)}"


def moved(pack: Pack, places: dict[str, str]) -> Pack:
    """The pack with its files where they are now; its ids stay, which are those of the contents."""
    config = pack.cell.data
    found = {name: places[path] for name in PATHS if (path := getattr(config, name)) is not None}
    cell = pack.cell.model_copy(update={"data": config.model_copy(update=found)})
    plugins = tuple(places.get(str(plugin), plugin) for plugin in pack.plugins)
    return pack.model_copy(update={"cell": cell, "plugins": plugins})
