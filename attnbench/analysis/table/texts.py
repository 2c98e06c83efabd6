"""The texts of a printed table: the heads of its columns, the names of its rows, and the parts of its cells."""

import math
from collections.abc import Callable

from attnbench.analysis.labels import Label, text
from attnbench.analysis.table.captions import BEYOND, mark
from attnbench.analysis.table.cell import TableCell
from attnbench.analysis.table.comparison import Comparison, RowLabels
from attnbench.analysis.table.lengths import LENGTH
from attnbench.messages import NO_VALUE


def head_text(comparison: Comparison, head: Label) -> str:
    """The head of a column; a length beyond the trained lengths is marked."""
    return f"{text(head)} {BEYOND}" if comparison.columns == LENGTH and head in comparison.beyond else text(head)


def row_names(comparison: Comparison, row: RowLabels) -> list[str]:
    """The labels of a row; a length is marked as in the head of a column."""
    return [
        f"{text(label)} {BEYOND}" if axis == LENGTH and label in comparison.beyond else text(label)
        for axis, label in zip(comparison.index, row, strict=True)
    ]


def cell_parts(comparison: Comparison, row: RowLabels, head: Label) -> list[str]:
    """The parts of a cell: the mean and its mark, the interval if any, and whatever differs from most cells."""
    cell = comparison.cells.get((row, head))
    if cell is None or cell.mean is None:
        return [f"failed {cell.failed}/{cell.of}"] if cell is not None and cell.failed else [NO_VALUE]
    parts = [comparison.about.show(cell.mean) + mark(comparison, cell)]
    decimals = comparison.about.interval_decimals
    if cell.low is not None and cell.high is not None and decimals is not None:
        parts.append(f"{_end(cell.low, decimals, math.floor)}–{_end(cell.high, decimals, math.ceil)}")
    if (cell.n, cell.of) != (comparison.n, comparison.n):
        parts.append(_count(cell))
    if cell.two_groups:
        parts.append(f"{cell.learned}/{cell.learned_of} learned")
    if cell.beyond and comparison.beyond.isdisjoint({head} if comparison.columns == LENGTH else row):
        parts.append(BEYOND)
    return parts


def _count(cell: TableCell) -> str:
    return f"n={cell.n}/{cell.of}" if cell.n < cell.of else f"n={cell.n}"


def _end(value: float, decimals: int, outward: Callable[[float], int]) -> str:
    """An end of an interval, rounded outward so that it still contains the mean: .97, and 1.0 for 1.00."""
    scale = 10**decimals
    shown = f"{outward(round(value * scale, 6)) / scale:,.{decimals}f}"
    if decimals < 2:
        return shown
    return shown[1:] if shown.startswith("0.") else shown[:-1] if shown == "1.00" else shown
