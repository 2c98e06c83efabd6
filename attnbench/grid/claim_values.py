"""Finds the axes and values that claims name, among those of the grid."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from itertools import permutations
from typing import Any

from attnbench.errors import did_you_mean
from attnbench.grid.claim_cells import text_of
from attnbench.grid.claims import Claim, Part, Setting
from attnbench.grid.document import Document, KeyPath
from attnbench.grid.labels import component_label, label
from attnbench.grid.schema import COMPONENTS
from attnbench.grid.values import Label
from attnbench.messages import show

MOST_VALUES = 8  # of an axis that a hint lists
MOST_OPTIONS = 5  # of a component, of which every order is tried

# The labels of every axis; None for an axis of which a value could not be read, which any value may be.
Labels = Mapping[str, Sequence[Label] | None]


def with_labels(document: Document, claims: Iterable[Claim], labels: Labels) -> tuple[Claim, ...]:
    """Returns the claims with each value replaced by its label in the grid; problems are recorded in the document."""
    finder = _Finder(document, labels)
    return tuple(replace(claim, parts=tuple(map(finder.part, claim.parts))) for claim in claims)


def setting_hint(labels: Labels, written: Any) -> str:
    """Returns what to write in place of a value without its axis.

    Args:
        labels: those of every axis.
        written: what was found where axes with a value each are expected.
    """
    if not isinstance(written, str | int | float):
        return "{axis: value}"
    known = {text_of(value): axis for axis, values in labels.items() for value in values or ()}
    name = text_of(written)
    if name in known:
        return f"write {{{known[name]}: {name}}}"
    if near := get_close_matches(name, known, n=1):
        return f"did you mean {{{known[near[0]]}: {near[0]}}}?"
    several = [f"{axis} {_first(list(map(text_of, values)))}" for axis, values in labels.items() if values]
    return f"write {{axis: value}}; the grid has: {'; '.join(several)}"


def _first(values: Sequence[str]) -> str:
    return ", ".join([*values[:MOST_VALUES], *["…"] * (len(values) > MOST_VALUES)])


class _Finder:
    def __init__(self, document: Document, labels: Labels) -> None:
        self.document, self.labels = document, labels

    def part(self, part: Part) -> Part:
        """The part with the labels that its settings stand for; problems are added to the document."""
        before = len(self.document.problems)
        sides = {key: self._setting(side, (*part.place, key)) for key, side in part.sides.items()}
        where = self._setting(part.where, (*part.place, "where"))
        more = None
        if part.more_than_in is not None:
            more = self._setting(part.more_than_in, (*part.place, "more_than_in"))
        of, *others = sides.values()
        found = replace(part, of=of, than=others[0] if others else None, where=where, more_than_in=more)
        if len(self.document.problems) == before:
            self._check_conflicts(found)
            self._check_different(found)
        return found

    def _setting(self, written: Setting, place: KeyPath) -> Setting:
        found = {}
        for axis, value in written.items():
            if axis not in self.labels:
                self._unknown_axis(axis, (*place, axis))
                continue
            known = self.labels[axis]
            if known is None:
                found[axis] = _label(axis, value)
            elif len(matching := _matching(axis, value, known)) == 1:
                found[axis] = matching[0]
            else:
                self._note_value(axis, value, matching, known, (*place, axis))
        return found

    def _unknown_axis(self, axis: str, place: KeyPath) -> None:
        hint = did_you_mean(axis, self.labels)
        if axis in ("seed", "seeds"):
            hint = "a claim is about all seeds: remove it"
        elif axis in COMPONENTS or not hint.startswith("did"):
            hint = f"remove it, or add {axis}: […] to the grid; its axes: {', '.join(self.labels)}"
        self.document.problems.add(self.document.place(place, key=True), f"the grid has no axis {axis!r}", hint)

    def _note_value(
        self, axis: str, value: Any, matching: Sequence[Label], known: Sequence[Label], place: KeyPath
    ) -> None:
        shown = [text_of(one) for one in matching or known]
        listed = _first(shown)
        if matching:
            what, hint = f"{axis} {show(value)} is several values of the grid", f"write one of: {listed}"
        else:
            written = _label(axis, value)
            near = did_you_mean(written, shown) if isinstance(written, str) else ""
            what = f"the axis {axis} has no value {show(value)}"
            hint = near if near.startswith("did") else f"its values: {listed}"
        self.document.problems.add(self.document.place(place), what, hint)

    def _check_conflicts(self, part: Part) -> None:
        """Records an axis that a side and `where` give different values."""
        for at, shared in (("where", part.where), ("more_than_in", part.more_than_in or {})):
            for key, side in part.sides.items():
                for axis, value in side.items():
                    if axis in shared and shared[axis] != value:
                        what = f"{axis} is {text_of(value)} in {key} and {text_of(shared[axis])} in {at}"
                        place = self.document.place((*part.place, at, axis), key=True)
                        self.document.problems.add(place, what, f"remove {axis} from one of them")

    def _check_different(self, part: Part) -> None:
        """Records two sides, or two settings of an interaction, that are the same."""
        sides, shared = list(part.sides.items()), list(part.conditions.items())
        for (first, one), (second, other) in ((pair[0], pair[1]) for pair in (sides, shared) if len(pair) > 1):
            if one and one == other:
                place = self.document.place((*part.place, second))
                self.document.problems.add(place, f"{first} and {second} are the same", "name two different values")


def _matching(axis: str, value: Any, known: Sequence[Label]) -> list[Label]:
    """Returns the labels that a value means: that of its own, or for the name of a component all with this name."""
    wanted = _label(axis, value)
    if axis in COMPONENTS and isinstance(value, dict):
        options = [(key, option) for key, option in value.items() if key != "name"]
        orders = permutations(options) if len(options) <= MOST_OPTIONS else [options]
        written = {component_label(str(value.get("name")), dict(order)) for order in orders}
        return [one for one in known if one in written]
    exact = [one for one in known if _equal(one, wanted)]
    if exact or axis not in COMPONENTS or not isinstance(value, str):
        return exact
    return [one for one in known if isinstance(one, str) and one.partition(" ")[0] == value]


def _label(axis: str, value: Any) -> Label:
    if axis in COMPONENTS and isinstance(value, dict):
        return component_label(str(value.get("name")), {key: one for key, one in value.items() if key != "name"})
    return label(value)


def _equal(one: Label, other: Label) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)
