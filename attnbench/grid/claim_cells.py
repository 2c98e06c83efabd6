"""Finds the cells that claims are about, among those of a plan."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from attnbench.grid.claims import Claim, Part, Setting
from attnbench.grid.document import Document
from attnbench.grid.values import Label
from attnbench.messages import show

Labels = Mapping[str, Label]
MOST_VALUES = 5  # of an axis that is left open


def is_of(setting: Setting, labels: Labels) -> bool:
    """Returns whether a cell with these labels has all values of a setting."""
    # By type as well, because True equals 1.
    return all(
        axis in labels and labels[axis] == value and isinstance(labels[axis], bool) == isinstance(value, bool)
        for axis, value in setting.items()
    )


def check_cells(
    document: Document, claims: Iterable[Claim], cells: Sequence[Labels], skipped: Sequence[tuple[Labels, str]]
) -> None:
    """Records every configuration of a claim that is no cell of the plan, or that is several.

    Args:
        document: the grid file.
        claims: with labels as values.
        cells: the labels of the planned cells.
        skipped: the labels of the combinations that are not trained, with the reason.
    """
    # Seeds are left out: once each.
    distinct = list({tuple(one.items()): one for one in map(_without_seed, cells)}.values())
    for claim in claims:
        for part in claim.parts:
            found = [_check(document, part, *given, distinct, skipped) for given in _written(part)]
            sides = len(part.sides)
            for first in range(0, len(found), sides):
                same = found[first : first + sides]
                if len(same) == 2 and same[0] is not None and same[0] == same[1]:
                    place = document.place((*part.place, list(part.sides)[1]))
                    document.problems.add(place, "both sides are the same cells", "name two different values")


def _written(part: Part) -> Iterator[tuple[str, str, Setting]]:
    """Yields the configurations with the keys of their side and of their condition."""
    for at, shared in part.conditions.items():
        for key, side in part.sides.items():
            yield key, at, {**shared, **side}


def _without_seed(labels: Labels) -> Labels:
    return {axis: value for axis, value in labels.items() if axis != "seed"}


def _check(
    document: Document,
    part: Part,
    key: str,
    at: str,
    setting: Setting,
    cells: Sequence[Labels],
    skipped: Sequence[tuple[Labels, str]],
) -> Labels | None:
    """Returns the labels of the only configuration that has the values of a setting; else records a problem."""
    found = [labels for labels in cells if is_of(setting, labels)]
    if len(found) == 1:
        return found[0]
    place = document.place((*part.place, key), key=True)
    written = ", ".join(f"{axis}: {text_of(value)}" for axis, value in setting.items())
    if not found:
        reasons = [reason for labels, reason in skipped if is_of(setting, labels)]
        hint = f"{reasons[0]}" if reasons else f"correct {key} or {at}: the grid has no such combination"
        document.problems.add(place, f"no cell of the grid has {{{written}}}", hint)
        return None
    open_ = {axis: list(dict.fromkeys(labels[axis] for labels in found)) for axis in found[0] if axis != "model"}
    open_ = {axis: values for axis, values in open_.items() if len(values) > 1}
    what = " and ".join(f"{axis} open, which is {_listed(values)}" for axis, values in open_.items())
    first = ", ".join(f"{axis}: {text_of(found[0][axis])}" for axis in open_)
    document.problems.add(
        place, f"{{{written}}} leaves {what}", f"choose a value, e.g. add {first} to {at} or to {key}"
    )
    return None


def _listed(values: Sequence[Label]) -> str:
    shown = list(map(text_of, values[:MOST_VALUES]))
    if len(values) > MOST_VALUES:
        return f"{', '.join(shown)}, …"
    return " or ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def text_of(value: Label) -> str:
    """Returns a label as it is written in a grid file."""
    return value if isinstance(value, str) else show(value).replace("nothing", "null")
