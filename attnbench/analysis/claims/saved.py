"""The results that claims are verified with, as a small CSV file that is committed beside the grid file.

There is one row per finished cell, in the order of the grid, with its id, its status, the axes, the seed, and the
metrics of the claims in full precision:

    cell,status,model,score,scope,task,model.width,seed,exact_match
    5f0c21aa93be,done,rnn,dot,global,copy,16,0,0.912
"""

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from attnbench.analysis.claims.results import NOT_FIXED, CellResult, Results, no_claims
from attnbench.analysis.csv_text import csv_text
from attnbench.errors import fail
from attnbench.escapes import spreadsheet
from attnbench.files import cause, read_file
from attnbench.grid.claim_cells import Labels
from attnbench.grid.document import Place, Problems
from attnbench.grid.expand import expand
from attnbench.grid.load import load_grid
from attnbench.grid.values import Label
from attnbench.metrics import metric_of

MOST_BYTES = 100_000_000
SUFFIX = ".csv"
STATUSES = ("done", "failed")
_HINT = "restore the file from version control, or write it again: attnbench verify RUN --save-cells FILE"


def saved_text(results: Results) -> str:
    """The content of the file of a run."""
    metrics = list(dict.fromkeys(part.metric for claim in results.claims for part in claim.parts))
    # Full precision: repr, which csv writes, reads back as the same number.
    return csv_text(
        [
            {"cell": cell.id, "status": cell.status, **_in_order(cell.labels)}
            | {metric: cell.metrics.get(metric) for metric in metrics}
            for cell in results.cells
        ]
    )


def _in_order(labels: Labels) -> Labels:
    """The labels with the seed last, which varies fastest."""
    return {axis: value for axis, value in labels.items() if axis != "seed"} | {"seed": labels["seed"]}


def saved_file(path: Path, name: str) -> Path:
    """The file of a grid: the path itself if it is a CSV file, else `<name>.csv` in this folder."""
    return path if path.suffix == SUFFIX and not path.is_dir() else path / f"{name}{SUFFIX}"


def results_of_file(grid_file: Path, path: Path) -> Results:
    """The claims of a grid file with saved cells.

    Args:
        grid_file: a grid file with claims.
        path: the CSV file, or the folder that holds one with the name of the grid.

    Raises:
        AttnbenchError: with all mistakes in the grid file, or in the CSV file with their lines.
    """
    grid = load_grid(grid_file)
    plan = expand(grid)
    if not grid.claims:
        raise no_claims(str(grid_file))
    every = plan.reported  # with tune, the reported cells wait for a choice
    planned = [one.labels for one in every]
    file = saved_file(path, grid.name)
    try:
        content = read_file(file, MOST_BYTES).decode("utf-8-sig")  # spreadsheets write a byte order mark
    except FileNotFoundError:
        hint = f"attnbench verify {grid.name} --save-cells {path} writes it, where the grid was run"
        raise fail(f"there are no saved cells of the grid {grid.name}", str(file), hint) from None
    except (OSError, ValueError) as error:
        raise fail(f"cannot be read: {cause(error)}", str(file), _HINT) from None
    metrics = [part.metric for claim in grid.claims for part in claim.parts]
    cells = _Reader(file, content, planned, metrics).run()
    ids = {tuple(one.labels.items()): one.id for one in every}
    # The ids of tuned cells depend on what was chosen for them, which the grid file does not say.
    others = 0 if grid.tune else sum(ids[tuple(cell.labels.items())] != cell.id for cell in cells)
    notes = [NOT_FIXED] if grid.decide else []
    if others:
        notes.append(f"{file}: {others} of {len(cells)} cells have another id than in {grid_file}, changed since")
    if grid.seed_range:  # further seeds were only trained as far as they were needed
        needed = set(grid.seeds[: grid.seed_range.at_least])
        planned = [labels for labels in planned if labels["seed"] in needed]
    return Results(grid.name, str(file), grid.claims, planned, cells, tuple(notes))


class _Reader:
    """Reads the rows once, and collects the problems, so that all mistakes are reported together."""

    def __init__(self, file: Path, content: str, planned: Sequence[Labels], metrics: Sequence[str]) -> None:
        self.file, self.planned, self.metrics = file, planned, list(dict.fromkeys(metrics))
        self.lines = content.splitlines(keepends=True)
        self.problems = Problems()
        self.axes = list(_in_order(planned[0]))
        self.places = {self._key([_text(labels[axis]) for axis in self.axes]): n for n, labels in enumerate(planned)}

    def run(self) -> list[CellResult]:
        found: dict[int, tuple[CellResult, int]] = {}
        for place, cell, line in self._rows():
            first = found.setdefault(place, (cell, line))[1]
            if first != line:
                self._report(line, f"line {first} already has this cell")
        self.problems.raise_all()
        if not found:
            raise fail("the file has no rows", str(self.file), _HINT)
        return [found[place][0] for place in sorted(found)]

    def _rows(self) -> Iterator[tuple[int, CellResult, int]]:
        reader = csv.reader(self.lines, strict=True)
        try:
            columns = next(reader, [])
            if not self._columns_are_valid(columns):
                return
            for fields in reader:
                line = reader.line_num
                if fields and len(fields) != len(columns):
                    self._report(line, f"the row has {len(fields)} fields, but the header has {len(columns)}")
                elif fields and (row := self._row(dict(zip(columns, fields, strict=True)), line)):
                    yield (*row, line)
        except csv.Error as error:
            self._report(reader.line_num, f"not valid CSV: {error}")

    def _columns_are_valid(self, columns: list[str]) -> bool:
        missing = [name for name in ("cell", "status", *self.axes, *self.metrics) if name not in columns]
        twice = [name for name in dict.fromkeys(columns) if columns.count(name) > 1]
        mistakes = [f"there is no column {name}" for name in missing]
        mistakes += [f"the column {name} occurs twice" for name in twice]
        if mistakes:
            self._report(1, "; ".join(mistakes))
        return not mistakes

    def _row(self, fields: dict[str, str], line: int) -> tuple[int, CellResult] | None:
        before = len(self.problems)
        place = self.places.get(self._key([fields[axis] for axis in self.axes]))
        if place is None:
            named = ", ".join(f"{axis} {fields[axis]}" for axis in self.axes)
            self._report(line, f"the grid has no cell with {named}")
        if fields["status"] not in STATUSES:
            self._report(line, f"the status should be done or failed, found {fields['status']!r}")
        metrics = {metric: self._number(fields[metric], metric, line) for metric in self.metrics}
        if place is None or len(self.problems) > before:
            return None
        return place, CellResult(fields["cell"], self.planned[place], fields["status"], metrics)

    def _number(self, field: str, metric: str, line: int) -> float | None:
        if not field:
            return None
        number, high = _as_number(field), metric_of(metric).high
        if number is None or not 0 <= number <= (math.inf if high is None else high):
            span = "of at least 0" if high is None else f"from 0 to {high:g}"
            self._report(line, f"the value {field!r} of {metric} is not a number {span}")
        return number

    @staticmethod
    def _key(fields: Sequence[str]) -> tuple[object, ...]:
        """The fields, with numbers by value: a spreadsheet writes 0.10 as 0.1."""
        numbers = [_as_number(field) for field in fields]
        return tuple(field if number is None else number for field, number in zip(fields, numbers, strict=True))

    def _report(self, line: int, what: str) -> None:
        source = self.lines[line - 1].rstrip()[:200] if 0 < line <= len(self.lines) else ""
        self.problems.add(Place(f"{self.file}:{line}", source, line), what, _HINT)


def _text(label: Label) -> str:
    """A label as `csv_text` writes it."""
    return "" if label is None else str(spreadsheet(label))


def _as_number(field: str) -> float | None:
    """The number; None for any other text ("nan" and "1_0" included)."""
    try:
        number = float(field)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in field else None
