"""Checkpoints: the state of a pack in training, from which an interrupted run continues with the same numbers.

A checkpoint is an uncompressed .npz archive without pickled objects, so that reading the folder of someone else runs no
code: the tensors as bytes, in a fixed order, the alignments recorded so far, and everything else as JSON.
"""

import json
import os
import platform
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from pydantic import TypeAdapter

from attnbench.cell import Checkpoint
from attnbench.training.state import Facts, State

# A checkpoint is written at most this often, so that a short pack is not slowed down at all …
EVERY_SECONDS = 30.0
# … and so seldom that writing takes at most this share of the time. The time of the first one is estimated.
SHARE = 0.01
BYTES_PER_SECOND = 50e6

# Bytes of a checkpoint besides its tensors, histories and alignments: far more than a pack needs.
MAX_FACTS = 2**26
# What reading a damaged archive, or restoring an invalid state, may raise. Pydantic's errors are ValueErrors.
INVALID = (
    OSError, ValueError, TypeError, LookupError, AttributeError, EOFError, RuntimeError, MemoryError, RecursionError,
    OverflowError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


class Unusable(Exception):
    """A checkpoint cannot be used; the message says why."""


class Checkpoints:
    """Writes and reads the checkpoint of one pack.

    Args:
        place: where; None for none.
        device: the device of the training.
        size: the number of bytes of the tensors.
    """

    def __init__(self, place: Checkpoint | None, device: torch.device, size: int) -> None:
        self._place = place if place is not None and _sees_run(place) else None
        self._made_by = {"key": self._place.key, **_versions(device)} if self._place else {}
        self._size = size
        self._cost = size / BYTES_PER_SECOND
        self._since = time.perf_counter()
        self._refused = False

    def read(self, records: Callable[[], int]) -> State | None:
        """Returns the saved state; None if there is none.

        Args:
            records: returns the largest number of bytes that the histories and the alignments of the pack may have.

        Raises:
            Unusable: if it cannot be read, or was made by other code, data or versions.
        """
        if self._place is None or not self._place.file.is_file():
            return None
        try:
            state, made_by = _read(self._place.file, self._size + records() + MAX_FACTS)
        except INVALID as error:
            raise self.unusable(error) from error
        for name, now in self._made_by.items():
            if made_by.get(name) != now:
                before = made_by.get(name)
                what = "other code, data or settings" if name == "key" else f"{name} {before}; it is {now} now"
                raise Unusable(f"its checkpoint was made with {what}")
        return state

    def unusable(self, error: BaseException) -> Unusable:
        """Deletes a damaged checkpoint, and returns the exception that says so."""
        assert self._place is not None
        with suppress(OSError):
            self._place.file.unlink()
        return Unusable(f"its checkpoint cannot be read ({' '.join(str(error).split()) or type(error).__name__})")

    def write(self, state: Callable[[], State]) -> str | None:
        """Writes a checkpoint if it is time for one; returns a remark if that failed for the first time."""
        begun = time.perf_counter()
        if self._place is None or begun - self._since < max(EVERY_SECONDS, self._cost / SHARE):
            return None
        remark = None
        try:
            _write(self._place.file, state(), self._made_by)
        except OSError as error:  # the disk may be full now and have space later
            if not self._refused:
                remark = f"its checkpoint cannot be written ({error.strerror}): if interrupted, it starts again"
            self._refused = True
        self._since = time.perf_counter()
        self._cost = self._since - begun
        return remark


def _sees_run(place: Checkpoint) -> bool:
    """Whether this machine sees the run's folder, and not another folder at the same path."""
    try:
        return place.lock.is_file() and place.lock.read_text(encoding="utf-8") == place.holder
    except (OSError, ValueError):
        return False


def _versions(device: torch.device) -> dict[str, str]:
    """Returns what the rounding or the random numbers depend on besides the code."""
    processor = f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    return {
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else processor,
    }


def _write(file: Path, state: State, made_by: Mapping[str, str]) -> None:
    """Writes a checkpoint completely or not at all.

    Raises:
        OSError: if it cannot be written.
    """
    content = {"made_by": dict(made_by), "state": state.facts.model_dump()}
    text = np.frombuffer(json.dumps(content).encode(), np.uint8)
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as out:
            arrays = {"tensors": state.tensors, "weights": state.weights, "heads": state.heads}
            np.savez(out, allow_pickle=False, facts=text, **arrays)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(file)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _read(file: Path, most: int) -> tuple[State, dict[str, str]]:
    """Returns the state, and what it was made by.

    Raises:
        one of INVALID: if the file is damaged, or has more than `most` bytes.
    """
    if file.stat().st_size > most:
        raise ValueError("it is too large")
    with zipfile.ZipFile(file) as archive:
        # Compressed entries could unpack to any size; attnbench writes none.
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ValueError("it is compressed")
    with np.load(file, allow_pickle=False) as archive:
        content = json.loads(archive["facts"].tobytes())
        state = State(Facts.model_validate(content["state"]), archive["tensors"], archive["weights"], archive["heads"])
    return state, TypeAdapter(dict[str, str]).validate_python(content["made_by"])
