"""`tune`: each configuration gets, among the same candidates, the one that is best on validation (semantics.md §13).

A configuration is a combination of the grid without its seed. It is trained with every candidate, on seeds that are
never reported, and the reported seeds are then trained with the candidate that was chosen for it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from pydantic import Field, PositiveInt

from attnbench.cell import Section
from attnbench.grid.labels import Label

FIRST_SEED = 1_000_000  # of tuning; reported seeds are usually 0, 1, 2, …

# The metrics on the validation set of the tuning cells that have ended, by id; None for a cell that failed.
Measured = Mapping[str, Mapping[str, float | None] | None]


class Tune(Section):
    """The section `tune` of a grid file."""

    grid: dict[str, list[Any]] = Field(description="values to choose from, by field: all combinations are tried")
    seeds: PositiveInt = Field(2, description="number of seeds per candidate, which are never reported")
    by: Literal["exact_match", "loss"] = Field("exact_match", description="what is compared, on the validation set")

    @property
    def seed_list(self) -> range:
        """The seeds of tuning."""
        return range(FIRST_SEED, FIRST_SEED + self.seeds)

    @property
    def candidates(self) -> int:
        """The number of candidates."""
        return math.prod(map(len, self.grid.values()))


def is_tunable(path: str) -> bool:
    """Whether a field can be tuned: those of the training, and the options of the model, score, scope and normaliser.

    The task and its data say what is learned, components are what is compared, and no number depends on the time limit.
    """
    head = path.partition(".")[0]
    kinds = ("train", "model", "score", "scope", "normaliser")
    return head in kinds and path not in (head, "model.kind", "train.timeout")


def overlap(name: str, other: str) -> bool:
    """Whether two dotted names are the same, or one is a part of the other."""
    return f"{name}.".startswith(f"{other}.") or other.startswith(f"{name}.")


def tuned_in_test(axis: str, test: Any, fields: Iterable[str]) -> list[tuple[str, tuple[str, ...]]]:
    """The tuned fields that an entry of an `exclude` has a value for, each with its keys inside the entry.

    Args:
        axis: the key of the entry.
        test: its value; a component may be a mapping with options.
        fields: the tuned fields.
    """
    written: dict[str, tuple[str, ...]] = {axis: ()} if "." in axis else {}
    if not written and isinstance(test, dict):
        written = {f"{axis}.{option}": (option,) for option in test}
    return [(field, keys) for name, keys in written.items() for field in fields if overlap(name, field)]


@dataclass(frozen=True)
class Tuned:
    """A configuration with its candidates.

    Attributes:
        labels: of the configuration, by axis.
        candidates: the values of the tuned fields.
        cells: the ids of the tuning cells of each candidate.
        chosen: the index of the best candidate; None until all cells have ended.
    """

    labels: dict[str, Label]
    candidates: tuple[dict[str, Label], ...]
    cells: tuple[tuple[str, ...], ...]
    chosen: int | None


def choose(candidates: Sequence[Sequence[str]], ended: Measured, by: str) -> int | None:
    """Returns the index of the candidate with the best mean on validation, or None if a cell has not ended.

    Candidates with an equal exact match are compared by their loss, and after that by their order. A cell that failed
    has an exact match of 0 and an infinite loss.

    Args:
        candidates: the ids of the cells of each candidate.
        ended: of the cells that have ended.
        by: "exact_match" or "loss".
    """
    if not all(id_ in ended for ids in candidates for id_ in ids):
        return None
    marks = [_mark([ended[id_] for id_ in ids], by) for ids in candidates]
    return marks.index(max(marks))


def _mark(cells: Sequence[Mapping[str, float | None] | None], by: str) -> tuple[float, ...]:
    """Returns the means to compare, higher being better."""
    exact_match = fmean(0.0 if cell is None else cell.get("exact_match") or 0.0 for cell in cells)
    losses = [math.inf if cell is None or (loss := cell.get("loss")) is None else loss for cell in cells]
    return (-fmean(losses),) if by == "loss" else (exact_match, -fmean(losses))
