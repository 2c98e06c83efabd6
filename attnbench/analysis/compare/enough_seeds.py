"""Whether a grid has enough seeds for any verdict of `compare`, before it is trained."""

from collections.abc import Mapping, Sequence
from typing import Any

from attnbench.analysis.paired import ALPHA, fewest_pairs
from attnbench.analysis.table.cell import comparisons
from attnbench.messages import NO_VALUE

AXES = (
    "score",
    "scope",
    "normaliser",
    "model",
)  # the first of them that varies is what `compare` is expected to be asked for


def too_few_seeds(cells: Sequence[Mapping[str, Any]]) -> str:
    """Says how many seeds could decide which value is best; "" where there are enough, or nothing to compare.

    Args:
        cells: the labels of the cells.
    """
    values = {axis: {cell.get(axis, NO_VALUE) for cell in cells} - {NO_VALUE} for axis in AXES}
    axis = next((axis for axis in AXES if len(values[axis]) > 1), None)
    if axis is None:
        return ""
    seeds, count = len({cell["seed"] for cell in cells}), len(values[axis])
    needed = fewest_pairs(ALPHA / comparisons(count))
    if seeds >= needed:
        return ""
    return f"{seeds} seed{'s' * (seeds > 1)} cannot decide between {count} {axis}s: {needed} or more can"
