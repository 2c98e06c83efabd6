"""Breaks the files of a finished run, and calls every command on what is left: shared by a test and a benchmark."""

import io
import json
import os
import random
import resource
import shutil
import signal
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import Mock, patch

import numpy as np
from grid.yard import Told, call
from made_up_run import diagonal, outcome

from attnbench.fingerprint import fingerprint
from attnbench.grid.expand import expand
from attnbench.grid.load import load_grid
from attnbench.store.atomic import sealed
from attnbench.store.store import Store
from attnbench.tracking.client import Tracker

GRID = """
name: made
seeds: 2
grid:
  score: [dot, general]
  task: [copy, sort]
data: {test_lengths: [9, 20]}
claims:
  - says: general is better than dot
    parts: [{better: {score: general}, than: {score: dot}, where: {task: copy}}]
"""
# CELL, BASE, FILE and GRID stand for the broken cell, a baseline, an output file and the grid file.
COMMANDS = (
    ("table", "made"),
    ("table", "made", "--columns", "length", "--format", "json"),
    ("compare", "made"),
    ("compare", "made", "--format", "csv"),
    ("verify", "made"),
    ("check", "made", "--baseline", "BASE"),
    ("baseline", "made", "-o", "FILE"),
    ("report", "made", "-o", "FILE"),
    ("show", "made", "CELL"),
    ("expand", "GRID"),
    ("expand", "GRID", "--format", "csv"),
    ("sync", "made"),
    ("runs",),
)
COUNTING = (("runs",),)  # counts the cells, and names none of them
SECONDS = 60  # after which a command hangs
EVERY = 10  # of so many syncs, one goes to MLflow, which takes a second; the others read as much
BOMB = 1_200_000_000  # bytes of an archive when it is unpacked; the largest that is read has 1,000,000,000

Break = Callable[[Path, random.Random], None]
Content = Callable[[bytes, random.Random], bytes]


def _cut(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content))] if content else b" "


def _flip(content: bytes, draw: random.Random) -> bytes:
    content = content or b"\0"  # the lock is an empty file
    at = draw.randrange(len(content))
    return content[:at] + bytes([content[at] ^ draw.randrange(1, 256)]) + content[at + 1 :]


def _number(content: bytes, draw: random.Random) -> bytes:
    """Another digit in the place of one."""
    places = [at for at, byte in enumerate(content) if byte in b"0123456789"]
    if not places:
        return _flip(content, draw)
    at = draw.choice(places)
    return content[:at] + str((int(chr(content[at])) + draw.randrange(1, 10)) % 10).encode() + content[at + 1 :]


SEAL = ("alignments", "digest", "digests", "facts", "pack", "packs")  # without these, a file looks like an old one
VALUES = (None, [], {}, "x", "", -1, 0, 1e308, -0.5, [[]], [7], {"a": []}, True, 2**70, "\u202e\x1b[2J", 10**400)
KEYS = ("", "x", "a?b", "exact_match@9999999999999", "exact_match@x", "seed", "\x1b")


def _nodes(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) in a JSON value."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _nodes(value[key])


def _edited(seal: str) -> Content:
    """JSON with another value or key somewhere; `seal`: what happens to its digest: kept, removed or renewed."""

    def edit(content: bytes, draw: random.Random) -> bytes:
        try:
            record = json.loads(content)
            where, key = draw.choice([node for node in _nodes(record) if node[1] != "digest"])
        except (ValueError, TypeError, IndexError):  # not JSON, not a mapping, or empty
            return _flip(content, draw)
        if isinstance(where, dict) and draw.random() < 0.3:
            where[draw.choice(KEYS)] = where.pop(key)
        elif draw.random() < 0.2:
            del where[key]
        else:
            where[key] = draw.choice(VALUES)
        if seal == "kept":
            return json.dumps(record).encode()
        for name in SEAL if seal == "removed" else ("digest",):
            record.pop(name, None)
        return json.dumps(record if seal == "removed" else sealed(record)).encode()

    return edit


def _arrays(content: bytes, draw: random.Random) -> bytes:
    """An archive with another value in one of its arrays, or an array of another shape or type."""
    try:
        with np.load(io.BytesIO(content)) as archive:
            arrays = dict(archive)
    except (ValueError, EOFError):
        return _flip(content, draw)
    name = draw.choice(sorted(arrays))
    changes = [
        lambda a: a * np.nan if a.dtype.kind == "f" else a[..., :1],
        lambda a: a[:1],
        lambda a: a.T,
        lambda a: a.astype(str),
        lambda a: np.zeros((0, 0), a.dtype),
        lambda a: a.ravel(),
    ]
    arrays[name] = draw.choice(changes)(arrays[name])
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


@cache
def _bomb() -> bytes:
    out = io.BytesIO()
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (BOMB // 8, 1, 1)})
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in (
            "source",
            "target",
            "forming_source",
            "forming_target",
            "links",
            "forming_links",
            "forming",
            "steps",
        ):
            archive.writestr(f"{name}.npy", header.getvalue())
        with archive.open("weights.npy", "w", force_zip64=True) as file:
            file.write(header.getvalue())
            for _ in range(BOMB // 10_000_000):
                file.write(bytes(10_000_000))
    return out.getvalue()


def _content(change: Content) -> Break:
    return lambda file, draw: (file.write_bytes(change(file.read_bytes(), draw)), None)[1]


def _instead(make: Callable[[Path], Any]) -> Break:
    """Something else in the place of the file."""

    def put(file: Path, _: random.Random) -> None:
        file.unlink()
        make(file)

    return put


CONTENTS: dict[str, Content] = {
    "cut short": _cut,
    "emptied": lambda *_: b"",
    "a byte flipped": _flip,
    "a digit edited": _number,
    "a value edited": _edited("kept"),
    "a value edited, its digest removed": _edited("removed"),
    "a value edited, its digest renewed": _edited("renewed"),
    "an array edited": _arrays,
    "made of noise": lambda content, draw: draw.randbytes(len(content)),
    "nested without end": lambda *_: b"[" * 100_000,
}
PLACES: dict[str, Break] = {
    "gone": lambda file, _: file.unlink(),
    "a folder": _instead(Path.mkdir),
    "a pipe": _instead(os.mkfifo),
    "a link to itself": _instead(lambda file: file.symlink_to(file.name)),
    "a link to /dev/zero": _instead(lambda file: file.symlink_to("/dev/zero")),
    "a name of 255 bytes": lambda file, _: file.rename(file.with_name("é" * 125 + file.suffix)),
    "endless": lambda file, _: os.truncate(file, 2**40),
}
BREAKS: dict[str, Break] = {name: _content(change) for name, change in CONTENTS.items()} | PLACES
ARCHIVES: dict[str, Break] = {"a bomb": lambda file, _: (file.write_bytes(_bomb()), None)[1]}
# After these there is no file of the cell any more, which is then not finished.
GONE = ("gone", "a name of 255 bytes")
# After this nothing shows that a cell was edited: anyone can compute a digest.
FORGED = "a value edited, its digest renewed"


@dataclass
class Report:
    """What happened.

    Attributes:
        tried: the number of cases.
        called: the number of commands.
        tracebacks: those that ended in a traceback or with an unknown status.
        hangs: those that took longer than SECONDS.
        unnoticed: those that did not name the edited cell.
        megabytes: the most memory of this process.
    """

    tried: int = 0
    called: int = 0
    tracebacks: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)
    unnoticed: list[str] = field(default_factory=list)
    megabytes: float = 0.0


class Hang(BaseException):
    """A command took longer than SECONDS. Not an Exception, which a command might catch."""


class OnlyRead(Tracker):
    """Computes what would be logged and sends it nowhere; draws nothing, which takes most of the time."""

    def start(self, plan: Any, grid_text: str) -> None:
        assert isinstance(grid_text, str)
        self._varying = {"model"}
        self._last_step = max((planned.cell.train.steps for planned in plan.cells), default=0)
        self._client, self._runs = Mock(), Mock(finished={})

    def _drawn(self, *_: Any) -> None:
        pass


def write_made_up_run(folder: Path) -> Path:
    """Writes a finished run of a real grid, with made-up outcomes, and returns its results folder."""
    grid = folder / "made.yaml"
    grid.write_text(GRID)
    plan = expand(load_grid(grid))
    code = {cell.id: fingerprint(cell.cell) for cell in plan.cells}
    store = Store(folder / "results" / plan.name)
    store.start(plan, GRID, [], code)
    for number, cell in enumerate(plan.cells):
        done = outcome(cell, exact_match=number / 10, loss=0.25, exact_match_at_20=0.5)
        store.write_pack([replace(done, alignments=diagonal(["a", "b"]))], [cell], code[cell.id])
    store.write_table()
    return store.folder.parent


def break_files(folder: Path, cases: int, seed: int, mlflow: bool = False) -> Report:
    """Breaks a file of a finished run, so many times, each time another copy of it.

    Args:
        folder: an empty one.
        cases: how many.
        seed: of the choices.
        mlflow: whether some of the calls of sync go to MLflow.
    """
    draw, report = random.Random(seed), Report()
    results = write_made_up_run(folder)
    assert call("baseline", "made", "-o", str(folder / "base.csv"), "--results", str(results)).status == 0
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    if mlflow:
        assert call("sync", "made", "--results", str(results), "--tracking-uri", uri).status == 0
    for number in range(cases):
        copy = folder / "copy"
        shutil.copytree(results, copy)
        shutil.copy(folder / "base.csv", copy / "base.csv")
        file = draw.choice(sorted(f for f in copy.rglob("*") if f.is_file()))
        how = draw.choice([*BREAKS, *(ARCHIVES if file.suffix == ".npz" else ())])
        with ExitStack() as stack:
            if not mlflow or number % EVERY:
                stack.enter_context(patch("attnbench.tracking.sync.Tracker", OnlyRead))
            _one(file, how, copy, ["--tracking-uri", uri], draw, report)
        shutil.rmtree(copy)
    report.megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return report


def _one(file: Path, how: str, copy: Path, tracking: list[str], draw: random.Random, report: Report) -> None:
    before = file.read_bytes()
    is_cell = file.parent.name in ("cells", "alignments")
    cell = file.stem if is_cell else sorted((copy / "made" / "cells").iterdir())[0].stem
    (BREAKS | ARCHIVES)[how](file, draw)
    report.tried += 1
    case = f"{file.relative_to(copy)} {how}"
    is_gone = how in GONE and file.parent.name == "cells"
    hidden = how == FORGED and file.parent.name == "cells"
    is_edited = is_cell and not is_gone and not hidden and not _same(before, file)
    words = {
        "CELL": cell,
        "BASE": str(copy / "base.csv"),
        "FILE": str(copy / "out"),
        "GRID": str(copy.parent / "made.yaml"),
    }
    for command in COMMANDS:
        (copy / "out").unlink(missing_ok=True)
        arguments = [words.get(word, word) for word in command]
        arguments += ["--results", str(copy), *(tracking if command[0] == "sync" else ())]
        report.called += 1
        told = _called(arguments)
        said = f"{case}: {' '.join(command)}"
        if told is None:
            report.hangs.append(said)
        elif "Traceback" in told.errors or told.status not in (0, 1, 2, 3, 4):
            report.tracebacks.append(f"{said}\n{told.errors}")
        elif is_edited and command not in COUNTING and file.name not in f"{told.output}{told.errors}".replace("\n", ""):
            report.unnoticed.append(f"{said}\n{told.output}\n{told.errors}")


def _called(arguments: list[str]) -> Told | None:
    """Calls a command; None if it hangs."""
    try:
        with _alarm():
            return call(*arguments)
    except Hang:
        return None


@contextmanager
def _alarm() -> Iterator[None]:
    """Raises Hang after SECONDS; pytest-timeout's own alarm is restored afterwards."""

    def ring(*_: object) -> None:
        raise Hang

    handler = signal.signal(signal.SIGALRM, ring)
    before, _ = signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, before)
        signal.signal(signal.SIGALRM, handler)


def _same(before: bytes, file: Path) -> bool:
    """Whether a file has the same content as before, whatever the layout."""
    if not file.is_file() or file.stat().st_size > 10 * len(before) + 1000:
        return False
    after = file.read_bytes()
    try:
        return bool(json.loads(before) == json.loads(after))
    except (ValueError, RecursionError):
        return before == after
