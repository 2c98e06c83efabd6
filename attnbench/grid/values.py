"""The parts of a checked grid: axis values, combinations of them, and the grid itself."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, product
from pathlib import Path
from typing import Any

from attnbench.grid.claims import Claim
from attnbench.grid.decide import Decide, SeedRange
from attnbench.grid.document import Document, KeyPath
from attnbench.grid.labels import Label, label
from attnbench.grid.schema import COMPONENTS, DEFAULT_MODEL, DEFAULT_NORMALISER, DEFAULT_SCOPE
from attnbench.grid.tune import Tune


# Compared by identity (eq=False), because `data` may be a list, which cannot be hashed.
@dataclass(frozen=True, eq=False)
class Value:
    """One value of an axis as written, with its place, its label, and for a component its name and options."""

    axis: str
    place: KeyPath
    data: Any
    label: Label
    name: str = ""
    options: dict[str, Any] = field(default_factory=dict)


Combination = dict[str, Value]

# The scope and the normaliser of every combination that does not choose one. The normaliser is not written into the
# combinations, because every axis of a combination is a column of the tables.
GLOBAL = Value("scope", (), DEFAULT_SCOPE, DEFAULT_SCOPE, DEFAULT_SCOPE)
SOFTMAX = Value("normaliser", (), DEFAULT_NORMALISER, DEFAULT_NORMALISER, DEFAULT_NORMALISER)
DEFAULTS = {"scope": GLOBAL, "normaliser": SOFTMAX}


def plain_value(axis: str, place: KeyPath, data: Any) -> Value:
    """Returns a value of a dotted axis."""
    return Value(axis, place, data, label(data))


@dataclass(frozen=True, eq=False)
class Exclude:
    """Combinations to leave out: those that have all of these values."""

    place: KeyPath
    tests: dict[str, Any]


@dataclass(frozen=True)
class Sections:
    """The sections model, data and train as written, without the axes."""

    model: dict[str, Any]
    data: dict[str, Any]
    train: dict[str, Any]

    @property
    def kind(self) -> Any:
        """The kind of model, if it is not an axis."""
        return self.model.get("kind", DEFAULT_MODEL)


@dataclass(frozen=True)
class Axes:
    """The axes with their values.

    `groups` are the factors of the product. Each is a list of parts, and a part holds the value of one axis, or with
    `zip` of several. `includes` are complete combinations in addition to the product. `candidates` are the values of
    the tuned fields, among which every combination gets one; they are not axes.
    """

    groups: tuple[tuple[Combination, ...], ...]
    includes: tuple[Combination, ...]
    excludes: tuple[Exclude, ...]
    candidates: tuple[Combination, ...] = ()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All axes, those of the product first."""
        parts = chain((group[0] for group in self.groups), self.includes)
        return tuple(dict.fromkeys(axis for part in parts for axis in part))

    @cached_property
    def tuned(self) -> tuple[str, ...]:
        """The tuned fields."""
        return tuple(self.candidates[0]) if self.candidates else ()

    @cached_property
    def by_head(self) -> dict[str, tuple[str, ...]]:
        """The dotted axes and the tuned fields by the part of their name before the first dot."""
        heads, names = ("model", "data", "train", *COMPONENTS), (*self.names, *self.tuned)
        return {head: tuple(name for name in names if name.startswith(f"{head}.")) for head in heads}

    def values(self, axis: str) -> list[Value]:
        """Returns every value of an axis, in the product and in the included combinations, or of a tuned field."""
        parts = chain(chain.from_iterable(self.groups), self.includes, self.candidates)
        return list(dict.fromkeys(part[axis] for part in parts if axis in part))

    def always_has(self, axis: str) -> bool:
        """Returns whether every combination has a value for the axis."""
        in_product = not self.groups or any(axis in group[0] for group in self.groups)
        return in_product and all(axis in combination for combination in self.includes)

    def product(self) -> Iterator[Combination]:
        """Yields the combinations of the product; the last axis varies fastest."""
        for parts in product(*self.groups) if self.groups else ():
            combination = {"scope": GLOBAL}
            for part in parts:
                combination.update(part)
            yield combination


@dataclass(frozen=True)
class Grid:
    """A grid file that was read and checked by `load_grid`.

    `text` is the YAML that is run, with the values of `--set` in it. `axes` are the names in order; `plugins` are
    absolute paths or names of modules. `seed_range` is set with `decide`; `seeds` are then all that it may train.
    `claims` have the labels of the grid as values; no cell depends on them.
    """

    name: str
    path: Path
    text: str
    seeds: tuple[int, ...]
    axes: tuple[str, ...]
    plugins: tuple[str, ...]
    values: Axes
    sections: Sections
    document: Document
    claims: tuple[Claim, ...] = ()
    tune: Tune | None = None
    decide: Decide | None = None
    seed_range: SeedRange | None = None
