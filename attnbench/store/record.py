"""A cell's file: what it holds, and a digest over it, by which a file that was edited by hand is noticed."""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnbench.metrics import is_metric, metric_of
from attnbench.outcome import Outcome
from attnbench.store.atomic import check_seal, sealed

if TYPE_CHECKING:
    from attnbench.grid.expand import PlannedCell

Record = dict[str, Any]
_KINDS: dict[str, type] = dict.fromkeys(("labels", "config", "metrics", "versions", "code"), dict) | {"history": list}


def record_of(outcome: Outcome, planned: "PlannedCell", code: Mapping[str, str], arrays: str | None) -> Record:
    """What is kept of a finished or failed cell.

    Args:
        outcome: what training gave.
        planned: the cell.
        code: the fingerprint of the code that trained it.
        arrays: the digest of the file of its alignments, if it has one.
    """
    record = {
        "cell": outcome.cell,
        "status": outcome.status,
        "labels": planned.labels,
        "config": planned.cell.model_dump(mode="json"),
        "metrics": outcome.metrics,
        "history": outcome.history,
        # A name of a file may have what no text file can hold.
        "error": outcome.error and outcome.error.encode(errors="backslashreplace").decode(),
        "versions": outcome.versions,
        "code": dict(code),
        "alignments": arrays,
    }
    return sealed(record)


def read_record(file: Path) -> Record:
    """The content of a cell's file.

    Raises:
        OSError: when it cannot be read.
        ValueError: when it is not JSON, not the record of that cell, or not what was written.
    """
    record = json.loads(file.read_text(encoding="utf-8"), parse_constant=_refuse)
    if not isinstance(record, dict) or record.get("cell") != file.stem:
        raise ValueError("it is not the record of this cell")
    if record.get("status") not in ("done", "failed"):
        raise ValueError(f"its status is {record.get('status')!r}, neither 'done' nor 'failed'")
    record.setdefault("code", {})  # what an earlier attnbench trained
    for key, kind in _KINDS.items():
        if not isinstance(record.get(key), kind):
            raise ValueError(f"it has no sound {key!r}")
    if not isinstance(record.get("error"), str | None):
        raise ValueError("its error is not a text")
    for name, value in record["metrics"].items():
        _check_metric(name, value)
    data = record["config"].get("data") or {}
    lengths = data.get("test_lengths", []) if isinstance(data, dict) else None
    if not isinstance(lengths, list) or not all(isinstance(length, int) for length in lengths):
        raise ValueError("it has no sound data.test_lengths")
    if "alignments" in record and "digest" not in record:
        raise ValueError("it was edited: it has no digest")
    check_seal(record)
    return record


def file_digest(file: Path) -> str:
    """The sha256 of a file."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _check_metric(name: str, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"its {name} is {value!r}, not a number")
    whole = is_metric(name) and metric_of(name).whole
    if whole and (value != int(value) or abs(value) > 2**53):
        raise ValueError(f"its {name} is {value!r}, not a whole number")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number")
