"""Checks that a pack is trained on the files that its ids were computed from, which may be edited while a grid runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from attnbench.cell import Pack
from attnbench.errors import fail
from attnbench.grid.identity import pairs_digest
from attnbench.outcome import Progress

Report = Callable[[Progress], None]


def check_data(pack: Pack) -> None:
    """Compares the sentence pairs with the digests of the pack; fast if the files were not touched since the last call.

    Raises:
        AttnbenchError: if a file cannot be read, or its pairs have changed.
    """
    for name, digest in pack.digests.items():
        path = getattr(pack.cell.data, name.removeprefix("data."))
        if pairs_digest(path) != digest:
            raise fail(
                f"{Path(path).name} changed while the grid ran",
                hint=f"run the grid again to train on the new {name}, or restore the file",
            )


@contextmanager
def checked_after_reading(pack: Pack, report: Report) -> Iterator[Report]:
    """Yields a report function that also checks the data again when it is first called.

    A file may be edited between `check_data` and its reading by the training. The first report comes after the reading,
    and later edits do not matter.

    Raises:
        AttnbenchError: if the data have changed, in the report or, if there was none, at the end.
    """
    checked = False

    def reporting(progress: Progress) -> None:
        nonlocal checked
        if not checked:
            check_data(pack)
            checked = True
        report(progress)

    yield reporting
    if not checked:
        check_data(pack)
