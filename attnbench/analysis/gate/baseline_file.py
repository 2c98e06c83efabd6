"""The baseline as a CSV file: written so that a code review shows what changed, and checked when it is read.

The file starts with the settings that all configurations share, one per line, so that a change of them is one changed
line. Then there is one row per configuration and metric, with the settings that only it has:

    # train.steps=800
    model,score,scope,task,configuration,metric,seeds,values,settings,versions
    rnn,dot,global,copy,5f0c21aa93be,exact_match,0 1 2,0.998 1 0.994,data.vocabulary=20,attnbench 0.1.0 torch 2.13.0

A seed that never reached 95 % has the value `never` in the row of steps_to_95.

`versions` are those with which the values were first measured: a row keeps them until its values change.
"""

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from attnbench.analysis.gate.baseline import DECIMALS, NEVER, BaselineRow, has_result, join_seeds, unknown_metric
from attnbench.analysis.settings import key_of
from attnbench.cell import COLUMN_KINDS
from attnbench.errors import fail
from attnbench.escapes import from_spreadsheet, spreadsheet
from attnbench.files import cause, read_file, write_output
from attnbench.grid.document import Place, Problems
from attnbench.messages import NO_VALUE
from attnbench.metrics import metric_of

COLUMNS = ("configuration", "metric", "seeds", "values", "settings", "versions")
MOST_BYTES = 100_000_000
_NEVER = "never"
# --update is no remedy: it reads the file first.
_HINT = "restore the file from version control, or delete it and write it again: attnbench baseline RUN -o FILE"


def write(rows: Sequence[BaselineRow], file: Path) -> None:
    """Writes a baseline of at least one row; the same rows give the same bytes.

    Raises:
        AttnbenchError: if the file cannot be written.
    """
    write_output(file, to_text(rows))


def to_text(rows: Sequence[BaselineRow]) -> str:
    """The file's content."""
    axes = sorted({name for row in rows for name in row.labels} - set(COLUMN_KINDS))
    first = rows[0].settings
    shared = {k: v for k, v in first.items() if all(row.settings.get(k) == v for row in rows)}
    if all(shared.get(k, v) == v for row in rows for k, v in _implied(row.labels).items()):
        shared = {k: v for k, v in shared.items() if k not in COLUMN_KINDS}
    out = io.StringIO()
    out.writelines(f"# {name}={value}\n" for name, value in sorted(shared.items()))
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*COLUMN_KINDS, *axes, *COLUMNS])
    for row in sorted(rows, key=lambda row: _order(row, axes)):
        given = shared.items() | _implied(row.labels).items()
        own = "; ".join(f"{k}={v}" for k, v in sorted(row.settings.items()) if (k, v) not in given)
        labels = [spreadsheet(row.labels.get(name, NO_VALUE)) for name in (*COLUMN_KINDS, *axes)]
        values = " ".join(map(_text, row.values.values()))
        writer.writerow([*labels, row.configuration, row.metric, join_seeds(row.values), values, own, row.versions])
    return out.getvalue()


def _text(value: float) -> str:
    return _NEVER if value == NEVER else f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".")


def _implied(labels: dict[str, str]) -> dict[str, str]:
    """The settings that follow from the labels: the names of the components. They are not written a second time."""
    names = {name: labels[name].split(" ")[0] for name in COLUMN_KINDS}
    return {name: "null" if value == NO_VALUE else value for name, value in names.items()}


def _order(row: BaselineRow, axes: Iterable[str]) -> tuple[Any, ...]:
    """A sort key: by label, with the numbers in it by value (8 before 64), then by metric."""
    labels = [row.labels.get(name, NO_VALUE) for name in (*COLUMN_KINDS, *axes)]
    parts = [[(1, int(p), "") if p.isdecimal() else (0, 0, p) for p in re.split(r"(\d+)", label)] for label in labels]
    return (*parts, row.configuration, row.metric)


def read(file: Path) -> list[BaselineRow]:
    """The rows of a baseline.

    Raises:
        AttnbenchError: with the line of every mistake in it; of very many, with the first ones.
    """
    try:
        content = read_file(file, MOST_BYTES).decode("utf-8-sig")  # spreadsheets write a byte order mark
    except FileNotFoundError:
        raise fail("there is no such baseline", str(file), "attnbench baseline RUN -o FILE writes one") from None
    except (OSError, ValueError) as error:
        raise fail(f"cannot be read: {cause(error)}", str(file), _HINT) from None
    return _Reader(file, content.replace("\r\n", "\n").replace("\r", "\n")).run()


class _Reader:
    """Reads the lines once and collects rows and problems, so that all mistakes are reported together."""

    def __init__(self, file: Path, content: str) -> None:
        self.file = file
        lines = [f"{line}\n" for line in content.split("\n")]
        self.start = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
        self.lines, self.comments, self.table = lines, lines[: self.start], lines[self.start :]
        self.problems = Problems()
        self.columns: list[str] = []
        self.reported_edit = False

    def run(self) -> list[BaselineRow]:
        shared = self._shared()
        rows = list(self._rows(shared))
        if not rows and not self.problems:
            self._report(self.start + 1, "the file has no rows")
        self._report_duplicates(rows)
        self.problems.raise_all()
        return rows

    def _shared(self) -> dict[str, str]:
        settings: dict[str, str] = {}
        for number, line in enumerate(self.comments, 1):
            name, equals, value = line.removeprefix("#").strip().partition("=")
            if not equals or name in settings:
                self._report(number, f"{line.strip()!r} is not a setting, or occurs twice", "write # name=value")
            settings[name] = value
        return settings

    def _rows(self, shared: dict[str, str]) -> Iterator[BaselineRow]:
        reader = csv.reader(self.table, strict=True)
        try:
            self.columns = next(reader, [])
            if not self._columns_are_valid():
                return
            for cells in reader:
                line = self.start + reader.line_num
                if cells and len(cells) != len(self.columns):
                    self._report(line, f"the row has {len(cells)} cells, but the header has {len(self.columns)}")
                elif cells and (row := self._row(dict(zip(self.columns, cells, strict=True)), shared, line)):
                    yield row
        except csv.Error as error:
            self._report(self.start + reader.line_num, f"not valid CSV: {error}")

    def _columns_are_valid(self) -> bool:
        missing = [name for name in (*COLUMN_KINDS, *COLUMNS) if name not in self.columns]
        twice = [name for name, count in Counter(self.columns).items() if count > 1]
        if missing or twice:
            mistakes = [f"there is no column {name}" for name in missing]
            mistakes += [f"the column {name} occurs twice" for name in twice]
            self._report(self.start + 1, "; ".join(mistakes))
        return not missing and not twice

    def _row(self, cells: dict[str, str], shared: dict[str, str], line: int) -> BaselineRow | None:
        before = len(self.problems)
        metric = cells["metric"]
        if problem := unknown_metric(metric):
            self._report(line, problem.what, problem.hint)
            return None
        values = self._values(cells["seeds"].split(), cells["values"].split(), metric, line)
        cells |= {name: from_spreadsheet(cells[name]) for name in self.columns if name not in COLUMNS}
        own = dict(part.partition("=")[::2] for part in cells["settings"].split("; ") if part)
        settings = {**_implied(cells), **shared, **own}
        if key_of(settings) != cells["configuration"] and not self.reported_edit:
            self.reported_edit = True  # an edited shared setting is wrong in every row; one message is enough
            what = f"the configuration {cells['configuration']!r} does not match its settings, here and at the top"
            self._report(line, what, "settings cannot be edited here: change the grid, run it, and update the baseline")
        if len(self.problems) > before:
            return None
        labels = {name: cells[name] for name in self.columns if name not in COLUMNS}
        return BaselineRow(labels, cells["configuration"], metric, values, settings, cells["versions"], line)

    def _values(self, seeds: list[str], values: list[str], metric: str, line: int) -> dict[int, float]:
        numbers = [int(seed) for seed in seeds if re.fullmatch("[0-9]{1,18}", seed)]
        if not seeds or len(set(numbers)) < len(seeds):
            self._report(line, f"the seeds {' '.join(seeds)!r} are not different whole numbers")
        elif len(seeds) != len(values):
            self._report(line, f"there are {len(seeds)} seeds and {len(values)} values")
        by_seed = {}
        facts = metric_of(metric)
        for seed, value in zip(numbers, values, strict=False):
            if value == _NEVER and facts.missing_is_worst:
                by_seed[seed] = NEVER
                continue
            by_seed[seed] = number = _number(value)
            high = facts.high
            if not 0 <= number <= (math.inf if high is None else high) or math.isinf(number):
                range_ = "of at least 0" if high is None else f"from 0 to {high:g}"
                self._report(line, f"the value {value!r} of {metric} is not a number {range_}")
        if by_seed and not has_result(by_seed):
            self._report(line, f"no seed has a value of {metric}: there is nothing to compare with", "delete the row")
        return by_seed

    def _report_duplicates(self, rows: Iterable[BaselineRow]) -> None:
        first: dict[tuple[str, str], int] = {}
        for row in rows:
            line = first.setdefault((row.configuration, row.metric), row.line)
            if line != row.line:
                self._report(row.line, f"line {line} already has {row.metric} of this configuration")

    def _report(self, line: int, what: str, hint: str = _HINT) -> None:
        source = self.lines[line - 1].rstrip()[:200] if line <= len(self.lines) else ""
        self.problems.add(Place(f"{self.file}:{line}", source, line), what, hint)


def _number(value: str) -> float:
    """The number; NaN, which is in no range, for any other text ("nan", "-1" and "1_0" included)."""
    return float(value) if re.fullmatch(r"[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", value) else math.nan
