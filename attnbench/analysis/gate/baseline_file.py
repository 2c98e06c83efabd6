"""The baseline as a CSV file, to be read in a review: small, sorted, a line for every thing that can change.

First the settings that all configurations share, a line each; then one row per configuration and metric, with the
settings that are its own:

    # train.steps=800
    model,score,scope,task,configuration,metric,seeds,values,settings,versions
    rnn,dot,global,copy,5f0c21aa93be,exact_match,0 1 2,0.998 1 0.994,data.vocabulary=20,attnbench 0.1.0 torch 2.13.0

`versions` are those that the values were first seen with: a row whose values stay keeps them.
"""

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from attnbench.analysis.gate.baseline import DECIMALS, BaselineRow, join, key_of, unknown_metric
from attnbench.cell import KINDS
from attnbench.errors import AttnbenchError, Problem, fail
from attnbench.messages import NO_VALUE
from attnbench.metrics import metric_of
from attnbench.store.atomic import write_atomically

COLUMNS = ("configuration", "metric", "seeds", "values", "settings", "versions")
_ANEW = "attnbench baseline RUN -o FILE writes it anew, attnbench baseline RUN -o FILE --update in part"


def write(rows: Sequence[BaselineRow], file: Path) -> None:
    """Writes a baseline of at least one row: the same bytes for the same rows.

    Raises:
        AttnbenchError: when the file cannot be written.
    """
    if not file.parent.is_dir():
        raise fail("cannot be written: there is no such folder", str(file.parent), "make it first")
    write_atomically(file, to_text(rows))


def to_text(rows: Sequence[BaselineRow]) -> str:
    """The file's content."""
    axes = sorted({name for row in rows for name in row.labels} - set(KINDS))
    first = rows[0].settings
    shared = {k: v for k, v in first.items() if all(row.settings.get(k) == v for row in rows)}
    if all(shared.get(k, v) == v for row in rows for k, v in _implied(row.labels).items()):
        shared = {k: v for k, v in shared.items() if k not in KINDS}
    out = io.StringIO()
    out.writelines(f"# {name}={value}\n" for name, value in sorted(shared.items()))
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*KINDS, *axes, *COLUMNS])
    for row in sorted(rows, key=lambda row: _order(row, axes)):
        said = shared.items() | _implied(row.labels).items()
        own = "; ".join(f"{k}={v}" for k, v in sorted(row.settings.items()) if (k, v) not in said)
        labels = [row.labels.get(name, NO_VALUE) for name in (*KINDS, *axes)]
        values = " ".join(f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".") for value in row.values.values())
        writer.writerow([*labels, row.configuration, row.metric, join(row.values), values, own, row.versions])
    return out.getvalue()


def _implied(labels: dict[str, str]) -> dict[str, str]:
    """The names of the components, which the labels begin with, are not said twice."""
    names = {name: labels[name].split(" ")[0] for name in KINDS}
    return {name: "null" if value == NO_VALUE else value for name, value in names.items()}


def _order(row: BaselineRow, axes: Iterable[str]) -> tuple[Any, ...]:
    """By label, numbers among the labels by size; then by metric."""
    labels = [row.labels.get(name, NO_VALUE) for name in (*KINDS, *axes)]
    parts = [[(1, int(p), "") if p.isdecimal() else (0, 0, p) for p in re.split(r"(\d+)", label)] for label in labels]
    return (*parts, row.configuration, row.metric)


def read(file: Path) -> list[BaselineRow]:
    """The rows of a baseline.

    Raises:
        AttnbenchError: with the line of everything in it that makes no sense.
    """
    try:
        content = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise fail("there is no such baseline", str(file), "attnbench baseline RUN -o FILE writes one") from None
    except (OSError, ValueError) as error:
        raise fail(f"cannot be read: {error}", str(file), _ANEW) from None
    return _Reader(file, content).run()


class _Reader:
    """Goes through the lines once, collecting rows and problems."""

    def __init__(self, file: Path, content: str) -> None:
        self.file = file
        lines = [f"{line}\n" for line in content.split("\n")]
        self.start = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
        self.comments, self.table = lines[: self.start], lines[self.start :]
        self.problems: list[Problem] = []
        self.columns: list[str] = []
        self.edited = False

    def run(self) -> list[BaselineRow]:
        shared = self._shared()
        rows = list(self._rows(shared))
        if not rows and not self.problems:
            self._wrong(self.start + 1, "it has no rows")
        self._refuse_doubles(rows)
        if self.problems:
            raise AttnbenchError(*self.problems)
        return rows

    def _shared(self) -> dict[str, str]:
        settings: dict[str, str] = {}
        for number, line in enumerate(self.comments, 1):
            name, equals, value = line.removeprefix("#").strip().partition("=")
            if not equals or name in settings:
                self._wrong(number, f"{line.strip()!r} is not a setting, or there twice", "write # name=value")
            settings[name] = value
        return settings

    def _rows(self, shared: dict[str, str]) -> Iterator[BaselineRow]:
        reader = csv.reader(self.table, strict=True)
        try:
            self.columns = next(reader, [])
            if not self._sound_columns():
                return
            for cells in reader:
                line = self.start + reader.line_num
                if cells and len(cells) != len(self.columns):
                    self._wrong(line, f"it has {len(cells)} cells where the first row has {len(self.columns)}")
                elif cells and (row := self._row(dict(zip(self.columns, cells, strict=True)), shared, line)):
                    yield row
        except csv.Error as error:
            self._wrong(self.start + reader.line_num, f"this is no CSV: {error}")

    def _sound_columns(self) -> bool:
        wanted = (*KINDS, *COLUMNS)
        missing = [name for name in wanted if name not in self.columns]
        twice = [name for name, count in Counter(self.columns).items() if count > 1]
        if missing or twice:
            named = [f"there is no column {name}" for name in missing] + [f"twice the column {name}" for name in twice]
            self._wrong(self.start + 1, "; ".join(named))
        return not missing and not twice

    def _row(self, cells: dict[str, str], shared: dict[str, str], line: int) -> BaselineRow | None:
        before = len(self.problems)
        metric = cells["metric"]
        if problem := unknown_metric(metric):
            self._wrong(line, problem.what, problem.hint)
            return None
        values = self._values(cells["seeds"].split(), cells["values"].split(), metric, line)
        own = dict(part.partition("=")[::2] for part in cells["settings"].split("; ") if part)
        settings = {**_implied(cells), **shared, **own}
        if key_of(settings) != cells["configuration"] and not self.edited:
            self.edited = True  # a setting that all share is wrong in every row
            what = f"the configuration {cells['configuration']!r} does not go with the settings, here and above"
            self._wrong(line, what, "they are not made to be edited: change the grid, run it, and update the baseline")
        if len(self.problems) > before:
            return None
        labels = {name: cells[name] for name in self.columns if name not in COLUMNS}
        return BaselineRow(labels, cells["configuration"], metric, values, settings, cells["versions"], line)

    def _values(self, seeds: list[str], values: list[str], metric: str, line: int) -> dict[int, float]:
        numbers = [int(seed) for seed in seeds if re.fullmatch("[0-9]{1,18}", seed)]
        if not seeds or len(set(numbers)) < len(seeds):
            self._wrong(line, f"the seeds {' '.join(seeds)!r} are not different whole numbers")
        elif len(seeds) != len(values):
            self._wrong(line, f"there are {len(seeds)} seeds and {len(values)} values")
        found = {}
        for seed, value in zip(numbers, values, strict=False):
            found[seed] = number = _number(value)
            high = metric_of(metric).high
            if not 0 <= number <= (math.inf if high is None else high) or math.isinf(number):
                range_ = "of at least 0" if high is None else f"from 0 to {high:g}"
                self._wrong(line, f"the value {value!r} of {metric} is not a number {range_}")
        return found

    def _refuse_doubles(self, rows: Iterable[BaselineRow]) -> None:
        first: dict[tuple[str, str], int] = {}
        for row in rows:
            line = first.setdefault((row.configuration, row.metric), row.line)
            if line != row.line:
                self._wrong(row.line, f"{row.metric} of this configuration stands in line {line} already")

    def _wrong(self, line: int, what: str, hint: str = _ANEW) -> None:
        lines = [*self.comments, *self.table]
        source = lines[line - 1].rstrip()[:200] if line <= len(lines) else ""
        self.problems.append(Problem(what, f"{self.file}:{line}", hint, source))


def _number(value: str) -> float:
    """The number, or NaN, which is in no range."""
    return float(value) if re.fullmatch(r"[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", value) else math.nan
