"""What the cells of a table cost: parameters, operations of a training step and seconds, in columns of its rows."""

import math
from collections.abc import Hashable, Mapping
from statistics import fmean
from typing import TYPE_CHECKING, TypeVar

from attnbench.analysis.table.cell import SeedResults
from attnbench.messages import NO_VALUE
from attnbench.metrics import METRICS

if TYPE_CHECKING:
    from attnbench.analysis.table.comparison import Comparison, Key, RowLabels

PARAMETERS, FLOPS, SECONDS = COST = ("parameters", "flops", "seconds")  # names of METRICS
UNITS = ("FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP")  # by powers of 1,000
_POWERS = ("", "", "million ", "billion ", "trillion ", "quadrillion ")
Place = TypeVar("Place", bound=Hashable)


def means(groups: Mapping[Place, SeedResults]) -> dict[Place, float]:
    """The mean over the seeds, or over the packs where the seeds of one share a measurement."""
    return {key: fmean(group.values.values()) for key, group in groups.items() if group.values}


def cost_heads(comparison: "Comparison") -> list[str]:
    """The heads of the columns of costs: none if they are not shown."""
    return [UNITS[_power(comparison)] if name == FLOPS else name for name in comparison.cost]


def cost_parts(comparison: "Comparison", row: "RowLabels") -> list[str]:
    """The costs of a row as text: one number, or the range of its cells where they differ as shown."""
    return [_range(comparison, row, name) for name in comparison.cost]


def cost_numbers(comparison: "Comparison", key: "Key") -> dict[str, int | float | None]:
    """The costs of one cell in full precision; None where one is not known."""
    return {name: _number(name, values.get(key)) for name, values in comparison.cost.items()}


def cost_caption(comparison: "Comparison") -> list[str]:
    """What the columns of costs are."""
    if not comparison.cost:
        return []
    unit, power = UNITS[_power(comparison)], _POWERS[_power(comparison)]
    shown = [part for row in comparison.rows for part in cost_parts(comparison, row)]
    lines = [
        f"parameters: trained, of one model. {unit}: {power}floating-point operations of the matrix products of one "
        "training step, on the longest training sources. seconds: training time per cell, that of a pack divided among "
        "its seeds."
    ]
    if any("–" in part.strip("–") for part in shown):
        lines.append(f"a–b: from the lowest to the highest of the columns ({comparison.columns}).")
    if comparison.cost[PARAMETERS].keys() - comparison.cost[FLOPS].keys():
        lines.append(f"{unit}: only of cells that were trained by this version of attnbench or a later one.")
    return lines


def _power(comparison: "Comparison") -> int:
    """The power of 1,000 that the operations of the smallest model reach, so that all are shown in one unit."""
    least = min((flops for flops in comparison.cost.get(FLOPS, {}).values() if flops >= 1), default=1)
    return min(int(math.log10(least)) // 3, len(UNITS) - 1)


def _range(comparison: "Comparison", row: "RowLabels", name: str) -> str:
    values = comparison.cost[name]
    numbers = [values[row, head] for head in comparison.heads if (row, head) in values]
    if not numbers:
        return NO_VALUE
    low, high = (_shown(comparison, name, number) for number in (min(numbers), max(numbers)))
    return low if low == high else f"{low}–{high}"


def _shown(comparison: "Comparison", name: str, value: float) -> str:
    if name != FLOPS:
        return METRICS[name].show(value)
    power = _power(comparison)
    return f"{value / 1000**power:,.{1 if power else 0}f}"


def _number(name: str, value: float | None) -> int | float | None:
    whole = value is not None and METRICS[name].whole and float(value).is_integer()
    return int(value) if whole and value is not None else value
