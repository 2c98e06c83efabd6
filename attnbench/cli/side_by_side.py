"""Several cells side by side: the fields in which they differ, their metrics and their alignments."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attnbench.messages import NO_VALUE

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

GAP = 4  # columns of the terminal between two drawings


def differences(records: Sequence[Mapping[str, Any]]) -> "Table":
    """Returns a row per resolved field in which the cells differ, and a column per cell."""
    from attnbench.tracking.content import flat_config

    configs = [flat_config(record["config"]) for record in records]
    names = dict.fromkeys(name for config in configs for name in config)
    lines = {name: [config.get(name, NO_VALUE) for config in configs] for name in names}
    return _columns(records, {name: line for name, line in lines.items() if len(set(line)) > 1})


def metrics(records: Sequence[Mapping[str, Any]]) -> "Table":
    """Returns a row per metric, over the trained lengths and then per test length, and a column per cell."""
    from attnbench.metrics import is_metric, metric_of

    # A later version may have written other metrics.
    names = dict.fromkeys(name for record in records for name in record["metrics"] if is_metric(name))
    lines = {}
    for name in names:
        values = [record["metrics"].get(name) for record in records]
        if any(value is not None for value in values):
            show = metric_of(name).show
            lines[name] = [NO_VALUE if value is None else show(value) for value in values]
    return _columns(records, lines)


def _columns(records: Sequence[Mapping[str, Any]], lines: Mapping[str, Sequence[str]]) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, header_style="cyan", pad_edge=False)
    table.add_column("")
    for record in records:
        table.add_column(Text(record["cell"]), justify="right", overflow="fold")
    for name, line in lines.items():
        table.add_row(Text(name, style="cyan"), *map(Text, line))
    return table


def drawings(drawn: Sequence["Text"], width: int) -> "RenderableType":
    """Arranges drawings in rows that fit the width of the terminal."""
    from rich.console import Group
    from rich.table import Table

    rows: list[list[Text]] = [[]]
    for one in drawn:
        taken = sum(_width(other) + GAP for other in rows[-1])
        if rows[-1] and taken + _width(one) > width:
            rows.append([])
        rows[-1].append(one)
    grids = []
    for row in rows:
        grid = Table.grid(padding=(0, GAP, 1, 0))
        for one in row:
            grid.add_column(no_wrap=True, min_width=_width(one))
        grid.add_row(*row)
        grids.append(grid)
    return Group(*grids)


def _width(drawn: "Text") -> int:
    return max(line.cell_len for line in drawn.split("\n"))
