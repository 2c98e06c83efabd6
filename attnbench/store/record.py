"""The record of a cell, which is the content of its file, with a digest by which edits are detected."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnbench.cell import SOFTMAX
from attnbench.grid.packs import Composition
from attnbench.outcome import Outcome
from attnbench.store.atomic import read_sealed, sealed
from attnbench.store.schema import CellRecord

if TYPE_CHECKING:
    from attnbench.grid.plan import PlannedCell

Record = dict[str, Any]
MOST_BYTES = 256_000_000  # of a cell's file: the history of some 800,000 validations
SINCE_DIGESTS = ("alignments", "digests", "pack", "facts")  # keys that no record without a digest was written with


def record_of(
    outcome: Outcome,
    planned: "PlannedCell",
    code: Mapping[str, str],
    arrays: str | None,
    together: Composition,
    origin: Mapping[str, str] | None = None,
) -> Record:
    """The record of a done or failed cell.

    Args:
        outcome: the result of training.
        planned: the cell.
        code: the fingerprint of the code that trained it.
        arrays: the digest of its alignments file; None if it has no alignments.
        together: the cells that were trained together.
        origin: the run that it was copied from, and the digest of its file there; None if it was trained by this run.
    """
    record = {
        "cell": outcome.cell,
        "status": outcome.status,
        "labels": planned.labels,
        "config": planned.cell.written(),
        # Of the sentence pairs, by field: the files at the paths in `config` may be edited or moved later.
        "digests": dict(planned.digests),
        "metrics": outcome.metrics,
        "history": outcome.history,
        # A file name in the message may contain bytes that are not valid UTF-8.
        "error": outcome.error and outcome.error.encode(errors="backslashreplace").decode(),
        "versions": outcome.versions,
        "facts": outcome.facts,
        "code": dict(code),
        "alignments": arrays,
        "pack": {"ids": together.ids, "seeds": together.seeds},
    }
    return sealed(record | ({"reused_from": dict(origin)} if origin else {}))


def read_record(file: Path) -> Record:
    """Reads a cell's file and checks it whole. Without a digest in the result, nobody can vouch for it.

    Raises:
        OSError: if it cannot be read.
        ValueError, RecursionError, OverflowError: if it is not JSON, not a valid record of this cell, or was edited.
    """
    record = read_sealed(file, CellRecord, MOST_BYTES, SINCE_DIGESTS)
    if record["cell"] != file.stem:
        raise ValueError("not the record of this cell")
    for key in ("code", "digests", "facts"):  # earlier versions did not record them
        record.setdefault(key, {})
    record["config"].setdefault("normaliser", _earlier_normaliser(record["config"]))
    return record


def _earlier_normaliser(config: Record) -> Record | None:
    """The normaliser of a cell of an earlier version, which had the softmax only."""
    return None if config["scope"]["name"] == "none" else SOFTMAX.model_dump()
