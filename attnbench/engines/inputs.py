"""Checks that a pack is trained with the data and the code that were planned: files may be edited while a grid runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from attnbench.cell import Pack
from attnbench.errors import fail
from attnbench.fingerprint import changed
from attnbench.grid.identity import data_digest, data_files
from attnbench.outcome import Progress
from attnbench.plugins import code_of, load_entry_points, load_plugin
from attnbench.registry import REGISTRIES
from attnbench.user_code import FILE

Report = Callable[[Progress], None]


def load_code(pack: Pack) -> None:
    """Loads the plugins of a pack.

    A version that this process has loaded already is kept if it is the planned one, also if its files were edited
    since.

    Raises:
        AttnbenchError: if a plugin cannot be imported, or has changed since the pack was planned.
    """
    for plugin in pack.plugins:
        load_plugin(plugin, keep=True)
    if not all(part.name in REGISTRIES[kind] for kind, part in pack.cell.components().items()):
        load_entry_points()  # only if needed: a broken installed plugin must not fail packs that do not use it
    if _changed_code(pack):
        for plugin in pack.plugins:
            load_plugin(plugin)
        check_code(pack)


def check_code(pack: Pack) -> None:
    """Compares the code that is loaded with that of the pack.

    Raises:
        AttnbenchError: if a file has changed.
    """
    if files := _changed_code(pack):
        names = ", ".join(name.removeprefix(FILE) for name in files)
        hint = "run the grid again to train with the new version, or restore it and use --retry-failed"
        if not all(name.startswith(FILE) for name in files):
            hint += "; on a cluster, install the same version of your modules on every node"
        raise fail(f"{names} changed while the grid ran", hint=hint)


def _changed_code(pack: Pack) -> list[str]:
    components = {kind: part.name for kind, part in pack.cell.components().items()}
    # A pack without plugins has no code to compare, and most packs are like that.
    return changed(pack.code, code_of(components)) if pack.code else []


def check_data(pack: Pack) -> None:
    """Compares the data files with the digests of the pack; fast if the files were not touched since the last call.

    Raises:
        AttnbenchError: if a file cannot be read, or its content has changed.
    """
    task = pack.cell.task.name
    files = data_files(task, pack.cell.data) if pack.digests else {}
    for name, digest in pack.digests.items():
        path = files[name]
        if data_digest(task, path) != digest:
            raise fail(
                f"{Path(path).name} changed while the grid ran",
                hint=f"run the grid again to train on the new {name}, or restore the file and use --retry-failed",
            )


@contextmanager
def checked_after_reading(pack: Pack, report: Report) -> Iterator[Report]:
    """Yields a report function that also checks data and code again when it is first called.

    A file may be edited between the first check and its reading by the training, or its import inside a function. The
    first report comes after both, and later edits do not matter.

    Raises:
        AttnbenchError: if a file has changed, in the report or, if there was none, at the end.
    """
    checked = False

    def check() -> None:
        check_data(pack)
        check_code(pack)

    def reporting(progress: Progress) -> None:
        nonlocal checked
        if not checked:
            check()
            checked = True
        report(progress)

    yield reporting
    if not checked:
        check()
