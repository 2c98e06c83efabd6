"""Breaks the files of a finished run, and looks what the commands make of it: shared by a test and a benchmark."""

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from grid.yard import call
from made_up_run import diagonal, outcome, plan, write_run

COMMANDS = (
    ("table",),
    ("table", "--columns", "length"),
    ("compare",),
    ("check", "--baseline", "base.csv"),
    ("report",),
)
Break = Callable[[bytes, random.Random], bytes | None]


def _cut(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content))]


def _flip(content: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(content))
    return content[:at] + bytes([content[at] ^ draw.randrange(1, 256)]) + content[at + 1 :]


def _number(content: bytes, draw: random.Random) -> bytes:
    """Another digit in the place of one."""
    places = [at for at, byte in enumerate(content) if chr(byte).isdigit()]
    if not places:
        return _flip(content, draw)
    at = draw.choice(places)
    return content[:at] + str((int(chr(content[at])) + draw.randrange(1, 10)) % 10).encode() + content[at + 1 :]


def _value(content: bytes, draw: random.Random) -> bytes:
    """JSON with something else in the place of one of its values."""
    try:
        record = json.loads(content)
    except ValueError:
        return _flip(content, draw)
    record[draw.choice(list(record))] = draw.choice([None, [], {}, "x", -1, 1e308, [[]], {"a": []}, True])
    return json.dumps(record).encode()


BREAKS: dict[str, Break] = {
    "cut short": _cut,
    "emptied": lambda *_: b"",
    "a byte flipped": _flip,
    "a digit edited": _number,
    "a value edited": _value,
    "made of noise": lambda content, draw: draw.randbytes(len(content)),
    "nested without end": lambda *_: b"[" * 100_000,
    "gone": lambda *_: None,
}


@dataclass
class Report:
    """What happened: cases tried, commands called, and those that ended in a traceback or kept a broken cell."""

    tried: int = 0
    called: int = 0
    tracebacks: list[str] = field(default_factory=list)
    unnoticed: list[str] = field(default_factory=list)


def break_files(folder: Path, cases: int, seed: int) -> Report:
    """Breaks a file of a finished run, so many times, each time another copy of it.

    Args:
        folder: an empty one.
        cases: how many.
        seed: of the choices.
    """
    draw, report = random.Random(seed), Report()
    grid = plan("made", score=["dot", "general"], task=["copy", "sort"], seed=[0, 1])
    store = write_run(folder, grid, [])
    for number, cell in enumerate(grid.cells):
        done = outcome(cell, exact_match=number / 10, loss=0.25, exact_match_at_20=0.5)
        store.write_pack([done.__class__(**vars(done) | {"alignments": diagonal(["a", "b"])})], [cell], {})
    store.write_table()
    results = store.folder.parent
    assert call("baseline", "made", "-o", str(folder / "base.csv"), "--results", str(results)).status == 0
    for _ in range(cases):
        copy = folder / "copy"
        shutil.copytree(results, copy)
        file = draw.choice(sorted(f for f in (copy / "made").rglob("*") if f.is_file()))
        how = draw.choice(list(BREAKS))
        _one(file, how, copy, folder / "base.csv", draw, report)
        shutil.rmtree(copy)
    return report


def _one(file: Path, how: str, results: Path, baseline: Path, draw: random.Random, report: Report) -> None:
    before = file.read_bytes()
    after = BREAKS[how](before, draw)
    if after is None:
        file.unlink()
    else:
        file.write_bytes(after)
    report.tried += 1
    case = f"{file.relative_to(results)} {how}"
    is_gone_cell = after is None and file.parent.name == "cells"  # which is simply not finished
    is_broken = file.parent.name in ("cells", "alignments") and not is_gone_cell and not _same(before, after)
    for command in COMMANDS:
        words = [word.replace("base.csv", str(baseline)) for word in command[1:]]
        words += ["-o", str(results / "page.html")] if command[0] == "report" else []
        told = call(command[0], "made", *words, "--results", str(results))
        report.called += 1
        if "Traceback" in told.errors or told.status not in (0, 1, 2, 3, 4):
            report.tracebacks.append(f"{case}: {command[0]}\n{told.errors}")
        if command == ("table",) and is_broken and file.name not in told.output:
            report.unnoticed.append(case)


def _same(before: bytes, after: bytes | None) -> bool:
    """Whether they say the same, whatever the layout."""
    try:
        return after is not None and bool(json.loads(before) == json.loads(after))
    except (ValueError, RecursionError):
        return before == after
