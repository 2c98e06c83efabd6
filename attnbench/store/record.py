"""The record of a cell, which is the content of its file, with a digest by which edits are detected."""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnbench.grid.packs import Composition
from attnbench.metrics import is_metric, metric_of
from attnbench.outcome import Outcome
from attnbench.store.atomic import check_seal, sealed

if TYPE_CHECKING:
    from attnbench.grid.expand import PlannedCell

Record = dict[str, Any]
_MAPPINGS = ("labels", "config", "digests", "metrics", "versions", "code")
_KINDS: dict[str, type] = dict.fromkeys(_MAPPINGS, dict) | {"history": list}


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
        "config": planned.cell.model_dump(mode="json"),
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
    """Reads and checks a cell's file.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is not JSON, not a valid record of this cell, or was edited.
    """
    # Python's parser accepts NaN and Infinity, which are not JSON and are never written.
    record = json.loads(file.read_text(encoding="utf-8"), parse_constant=_refuse)
    if not isinstance(record, dict) or record.get("cell") != file.stem:
        raise ValueError("not the record of this cell")
    if record.get("status") not in ("done", "failed"):
        raise ValueError(f"the status is {record.get('status')!r}; expected 'done' or 'failed'")
    for key in ("code", "digests"):  # earlier versions did not record them
        record.setdefault(key, {})
    for key, kind in _KINDS.items():
        if not isinstance(record.get(key), kind):
            raise ValueError(f"{key!r} is missing or invalid")
    if not isinstance(record.get("error"), str | None):
        raise ValueError("'error' is not text")
    for name, value in record["metrics"].items():
        _check_metric(name, value)
    data = record["config"].get("data") or {}
    lengths = data.get("test_lengths", []) if isinstance(data, dict) else None
    if not isinstance(lengths, list) or not all(isinstance(length, int) for length in lengths):
        raise ValueError("data.test_lengths is invalid")
    # Both keys were introduced together, so a record that has one alone was edited.
    if "alignments" in record and "digest" not in record:
        raise ValueError("the file was edited: it has no digest")
    check_seal(record)
    return record


def file_digest(file: Path) -> str:
    """The SHA-256 of a file."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _check_metric(name: str, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} is {value!r}, not a number")
    whole = is_metric(name) and metric_of(name).whole
    # Above 2**53 not every whole number is a float, so the table could not hold it exactly.
    if whole and (value != int(value) or abs(value) > 2**53):
        raise ValueError(f"{name} is {value!r}, not a whole number")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number")
