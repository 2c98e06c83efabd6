"""A cache of what tables need of each cell, in one file: a run of a hundred thousand cells is read in seconds.

DIR/<name>/.index has a line per cell with the time stamps and sizes of its two files. A line is valid while these are
unchanged; else the files are read and checked again. The index can be deleted at any time.

A line is `<cell> <stamp>\\t<summary as JSON>\\t<checksum>`. The fingerprint of the code that trained a cell is long and
shared by many cells, so it has a line of its own, which the cells refer to by a key.
"""

import hashlib
import json
import os
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from sys import intern
from typing import Any

from attnbench.errors import AttnbenchError, fail
from attnbench.files import cause, read_file, write_atomically
from attnbench.store.alignments import file_digest
from attnbench.store.atomic import UNREADABLE
from attnbench.store.commit import pending_packs
from attnbench.store.record import Record, read_record

INDEX, FORMAT = ".index", 6  # increase the format to invalidate existing lines, e.g. if records are checked otherwise
MOST_BYTES = 2_000_000_000  # a run of 100,000 cells has some 100 MB
RETRY_AFTER = 0.05  # seconds; enough for a running driver to move both files of a cell
# The facts about files that give the size of their test part: of sentence pairs, of images and of a dictionary.
TEST_SIZES = ("test_lines", "test_images", "test_words")
CODE = "code"  # in place of the cell's id in a line that has a fingerprint

Stamps = dict[str, str]  # by cell: the time stamps and the size of its file


@dataclass(frozen=True, slots=True)
class CellSummary:
    """The part of a cell's record that tables and states need.

    Attributes:
        status: "done" or "failed".
        metrics: as in the cell's file.
        error: the reason if it failed.
        test_lengths: the test lengths in its configuration.
        test_examples: the size of its test set, at most; None where it is a file whose lines were not counted.
        code: the fingerprint of the code that trained it.
        digest: the digest of its file; empty if it has none, so that nobody can say whether it was edited.
    """

    status: str
    metrics: Mapping[str, float | None]
    error: str | None
    test_lengths: tuple[int, ...]
    test_examples: int | None
    code: Mapping[str, str]
    digest: str


class Index:
    """The summaries of the cells in a run's folder. Reading is safe at any time; writing requires the run's lock."""

    def __init__(self, folder: Path) -> None:
        self.file, self.cells, self.arrays = folder / INDEX, folder / "cells", folder / "alignments"
        self._lines: dict[str, tuple[str, str]] | None = None  # by cell: its stamp and its summary as JSON
        self._codes: dict[str, dict[str, str]] = {}
        self._changed = False  # whether a scan found cells that are not in the file

    def scan(self) -> Iterator[tuple[str, CellSummary | str]]:
        """Yields the id of every cell that has a file, with its summary or a message that names the broken file."""
        lines = self._load()
        cells, arrays = _folder_stamps(self.cells, ".json"), _folder_stamps(self.arrays, ".npz")
        for deleted in lines.keys() - cells.keys():
            del lines[deleted]
        for cell in sorted(cells):
            stamp = f"{cells[cell]} {arrays.get(cell, '')}"
            # Time and size are compared instead of the content, because reading every file is what the index avoids.
            known, text = lines.get(cell, ("", ""))
            summary = self._parse_summary(text) if known == stamp else None
            if summary is None:
                try:
                    text = self._format_summary(self._check_with_retry(cell, stamp))
                except UNREADABLE as error:
                    lines.pop(cell, None)  # so that the broken files are checked again by the next scan
                    yield cell, str(error)
                    continue
                lines[cell], self._changed, summary = (stamp, text), True, self._parse_summary(text)
            assert summary is not None
            yield cell, summary

    def save(self) -> None:
        """Rewrites the file if a scan found cells that were not in it."""
        if not self._changed:
            return
        lines = self._load()
        codes = "".join(_line(f"{CODE} {key}", json.dumps(files)) for key, files in self._codes.items())
        text = codes + "".join(_line(f"{cell} {stamp}", summary) for cell, (stamp, summary) in lines.items())
        with suppress(AttnbenchError):  # without the index the next scan is slower, nothing else
            write_atomically(self.file, text)
            self._changed = False

    def add(self, records: list[Record]) -> None:
        """Adds cells that were just written."""
        lines, known = self._load(), set(self._codes)
        new = []
        for record in records:
            cell, summary = record["cell"], self._format_summary(record)
            stamp = self._cell_stamp(cell)
            lines[cell] = (stamp, summary)
            new.append(_line(f"{cell} {stamp}", summary))
        codes = [_line(f"{CODE} {key}", json.dumps(self._codes[key])) for key in self._codes.keys() - known]
        # Appended: rewriting the whole file after every pack takes time that grows with the square of the run.
        # A pipe in its place would make the run wait, and a link may lead to a file of somebody else.
        with suppress(OSError):
            if not self.file.is_symlink() and (self.file.is_file() or not self.file.exists()):
                with self.file.open("a", encoding="utf-8") as file:
                    file.write("".join([*codes, *new]))

    def _load(self) -> dict[str, tuple[str, str]]:
        """The lines of the file, read once. Invalid lines are ignored."""
        if self._lines is None:
            self._lines = {}
            with suppress(*UNREADABLE):
                # One line at a time: the file of a large run has hundreds of megabytes.
                for line in BytesIO(read_file(self.file, MOST_BYTES)):
                    self._read_line(line.decode("utf-8").rstrip("\r\n"))
        return self._lines

    def _read_line(self, line: str) -> None:
        assert self._lines is not None
        head, _, rest = line.partition("\t")
        text, _, check_sum = rest.rpartition("\t")
        if check_sum != _check_sum(head, text):  # truncated, edited, or of another format
            return
        name, _, stamp = head.partition(" ")
        if name == CODE:
            self._codes[stamp] = json.loads(text)
        else:
            self._lines[name] = (stamp, text)

    def _check_with_retry(self, cell: str, stamp: str) -> Record:
        """Like `_check`, but tries once more if a running driver may be replacing the two files one after the other."""
        try:
            return self._check(cell)
        except UNREADABLE:
            if stamp == self._cell_stamp(cell) and not pending_packs(self.cells.parent):
                raise
            time.sleep(RETRY_AFTER)
            return self._check(cell)

    def _cell_stamp(self, cell: str) -> str:
        return f"{_stamp(self.cells / f'{cell}.json')} {_stamp(self.arrays / f'{cell}.npz')}"

    def _check(self, cell: str) -> Record:
        """Reads and checks the two files of a cell, and returns its record.

        Raises:
            OSError, ValueError: if a file is not valid; the message names it.
        """
        file, arrays = self.cells / f"{cell}.json", self.arrays / f"{cell}.npz"
        try:
            record = read_record(file)
        except UNREADABLE as error:
            raise ValueError(f"{file}: {cause(error)}") from error
        expected = record.get("alignments")  # a digest; earlier versions have none
        if expected:
            try:
                found = file_digest(arrays)
            except FileNotFoundError as error:
                raise ValueError(f"{arrays}: the file is missing") from error
            except OSError as error:
                raise ValueError(f"{arrays}: {cause(error)}") from error
            if found != expected:
                raise ValueError(f"{arrays}: the file was changed: its digest does not match")
        return record

    def _format_summary(self, record: Record) -> str:
        key = key_of(record["code"])
        self._codes.setdefault(key, record["code"])
        data = record["config"].get("data") or {}
        examples = data.get("test_examples")
        if data.get("path"):  # the file may have fewer
            facts = record.get("facts", {})
            held = next((facts[name] for name in TEST_SIZES if name in facts), None)  # earlier versions had no facts
            examples = min(examples, int(held)) if held is not None and isinstance(examples, int) else None
        kept = {name: record[name] for name in ("status", "metrics", "error")} | {
            "test_lengths": data.get("test_lengths", ()),
            "test_examples": examples if isinstance(examples, int) else None,
            "code": key,
            "digest": record.get("digest", ""),
        }
        return json.dumps(kept)

    def _parse_summary(self, text: str) -> CellSummary | None:
        """The summary of a line; None if the line of its fingerprint is missing, or another program wrote the line."""
        try:
            content: dict[str, Any] = json.loads(text)
            code = self._codes.get(content["code"])
            if code is None:
                return None
            # One string per name, and not one per cell: a table holds the metrics of all cells.
            metrics = {intern(name): value for name, value in content["metrics"].items()}
            more = {"metrics": metrics, "test_lengths": tuple(content["test_lengths"]), "code": code}
            return CellSummary(**content | more)
        except (*UNREADABLE, KeyError, TypeError, AttributeError):
            return None


def key_of(code: Mapping[str, str]) -> str:
    """A short key for a fingerprint."""
    return hashlib.sha256(json.dumps(dict(code), sort_keys=True).encode()).hexdigest()[:12]


def _line(head: str, text: str) -> str:
    return f"{head}\t{text}\t{_check_sum(head, text)}\n"


def _check_sum(head: str, text: str) -> str:
    return f"{zlib.crc32(f'{FORMAT} {head} {text}'.encode()):08x}"


def _folder_stamps(folder: Path, suffix: str) -> Stamps:
    """The stamps of the files in a folder, by name without the suffix.

    Raises:
        AttnbenchError: if it is not a folder, or cannot be read.
    """
    found: Stamps = {}
    try:
        with os.scandir(folder) as files:
            for file in files:
                wanted = file.name.endswith(suffix) and not file.name.startswith(".")
                if wanted and (stamp := _stamp(file)):  # empty if a running driver is replacing the file
                    found[file.name.removesuffix(suffix)] = stamp
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise fail(f"cannot be read: {cause(error)}", str(folder), "it should be a folder of this run") from error
    return found


def _stamp(file: "Path | os.DirEntry[str]") -> str:
    """The time stamps and the size of a file; empty if it does not exist."""
    try:
        state = file.stat()
    except FileNotFoundError:
        return ""
    except OSError:  # for example a link to itself: reading it gives the reason
        return "unreadable"
    return f"{state.st_mtime_ns}/{state.st_ctime_ns}/{state.st_size}"
