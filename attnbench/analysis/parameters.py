"""The note below a comparison whose sides differ in their number of parameters by more than 10 %."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from attnbench.analysis.labels import NONE, Label, row_label, text
from attnbench.messages import NO_VALUE

UNEVEN = 0.1  # a difference above this share of the smaller number is noted
Labels = tuple[Label, ...]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Pair:
    """A side of a comparison, another side, and their numbers of parameters."""

    name: str
    other: str
    size: float
    of: float

    @property
    def uneven(self) -> bool:
        """Whether one has more than 10 % more parameters than the other."""
        low, high = sorted((self.size, self.of))
        return high - low > UNEVEN * low

    @property
    def distance(self) -> float:
        """How many times the fewer parameters the more are."""
        return max(self.size, self.of) / min(self.size, self.of)

    @property
    def times(self) -> str:
        """How many times the other's parameters a side has, to three digits."""
        ratio = self.size / self.of
        return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:#.3g}"

    @property
    def sizes(self) -> str:
        """Both numbers."""
        return f"{self.size:,.0f} and {self.of:,.0f}"

    def sentence(self, rest: str = "") -> str:
        """That they differ; `rest` is where, or anything else that follows the numbers."""
        return f"{self.name} has {self.times} times the parameters of {self.other}: {self.sizes}{rest}."


def most_and_fewest(axes: Sequence[str], sizes: Mapping[Labels, float], separate: Collection[str]) -> list[str]:
    """The note on the sides with the most and the fewest parameters; none where they are within 10 %.

    Sides are compared with each other where they agree in the axes of `separate`. Where the numbers are not the same
    everywhere, such as for tasks with other vocabularies, the note is about the place with the largest ratio.

    Args:
        axes: of the labels.
        sizes: the number of parameters by labels.
        separate: axes whose values are not compared with each other.
    """
    apart = [place for place, axis in enumerate(axes) if axis in separate]
    compared = [place for place, axis in enumerate(axes) if axis not in (*separate, "seed")]
    families: dict[Labels, list[Labels]] = {}
    for labels in sizes:
        families.setdefault(_at(apart, labels), []).append(labels)
    extremes = [(max(own, key=sizes.__getitem__), min(own, key=sizes.__getitem__)) for own in families.values()]
    most, fewest = max(extremes, key=lambda two: sizes[two[0]] / sizes[two[1]], default=((), ()))
    differing = [place for place in compared if most and most[place] != fewest[place]]
    if not differing:
        return []
    name, other = (side_name(_at(differing, axes), _at(differing, side)) for side in (most, fewest))
    pair = Pair(name, other, sizes[most], sizes[fewest])
    if not pair.uneven:
        return []
    agreeing = [place for place in compared if place not in differing]
    where = on(axes, most, [*apart, *agreeing], sizes)
    several = len({_at(compared, labels) for labels in families[_at(apart, most)]}) > 2
    return [pair.sentence(where + ", the most and the fewest" * several)]


def on(axes: Sequence[str], labels: Labels, places: Iterable[int], sizes: Mapping[Labels, float]) -> str:
    """Where a statement about the sizes holds: " on copy", of the labels at these places; "" if it holds everywhere.

    Labels that no size depends on are left out, such as a test length, and axes that have no value there, such as an
    option that the model does not have.
    """
    shown = [place for place in places if text(labels[place]) != NO_VALUE and _matters(place, sizes)]
    return f" on {row_label(_at(shown, axes), _at(shown, labels))}" if shown else ""


def _matters(place: int, sizes: Mapping[Labels, float]) -> bool:
    """Whether sizes differ where only the label at this place does."""
    seen: dict[Labels, float] = {}
    return any(seen.setdefault((*labels[:place], *labels[place + 1 :]), size) != size for labels, size in sizes.items())


def side_name(axes: Sequence[str], labels: Sequence[Label]) -> str:
    """The name of a side in a sentence; with its axis where it is a dash or "none"."""
    name = row_label(axes, labels)
    if labels and name in (NO_VALUE, NONE):
        return f"{axes[[text(label) for label in labels].index(name)]} {name}"
    return name


def _at(places: Sequence[int], items: Sequence[Item]) -> tuple[Item, ...]:
    return tuple(items[place] for place in places)
