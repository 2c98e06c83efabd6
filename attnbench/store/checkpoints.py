"""Where the checkpoints of packs in training are: in checkpoints/ of the run's folder, named by the pack's first cell.

The workers write and read them (training/checkpoint.py); the driver says where, and deletes those that it is done with.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from attnbench.cell import Checkpoint, Pack
from attnbench.files import read_file
from attnbench.fingerprint import fingerprint
from attnbench.store.commit import CHECKPOINTS
from attnbench.store.lock import HOLDER, MOST_BYTES

_NAME = re.compile(r"([^.]+)\.npz|\.([^.]+)\.npz\.\d+\.tmp")  # of a checkpoint, or of one that was being written


def with_checkpoints(packs: Sequence[Pack], run: Path) -> list[Pack]:
    """Returns the packs with the place of their checkpoints. The caller must hold the lock of the run's folder."""
    # Absolute, because a worker may have another working folder.
    folder = run.resolve()
    holder = read_file(folder / HOLDER, MOST_BYTES).decode("utf-8")
    return [
        pack.model_copy(
            update={
                "checkpoint": Checkpoint(
                    file=_file(folder, pack.ids[0]), key=_key(pack), lock=folder / HOLDER, holder=holder
                )
            }
        )
        for pack in packs
    ]


def delete_checkpoints(run: Path, first_cells: Iterable[str]) -> None:
    """Deletes the checkpoints of packs, by the id of their first cell, with temporary files of killed workers."""
    unwanted = set(first_cells)
    with suppress(OSError):  # there is no folder yet
        for file in os.scandir(run / CHECKPOINTS):
            match = _NAME.fullmatch(file.name)
            if match and (match[1] or match[2]) in unwanted:
                with suppress(OSError):  # the next run deletes it
                    os.unlink(file)


def _file(run: Path, cell: str) -> Path:
    return run / CHECKPOINTS / f"{cell}.npz"


def _key(pack: Pack) -> str:
    """Returns a digest of everything that the numbers of a pack follow from, except for torch and the processor."""
    # The ids contain the settings and the content of data files, but not the code.
    parts = [pack.ids, pack.seeds, pack.digests, pack.code, fingerprint(pack.cell)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
