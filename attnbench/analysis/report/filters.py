"""The filters of the report: which axis values each part of the page shows, so that the script can hide it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from attnbench.analysis.labels import Label, text
from attnbench.analysis.report.markup import Html, element


@dataclass(frozen=True)
class Filters:
    """The axes with several values, each with the texts of its values in the order of the tables."""

    axes: dict[str, list[str]]

    def of(self, labels: Mapping[str, Label]) -> str | None:
        """What a part shows, as "axis:value" numbers for `data-of`; None where it is the same for every filter."""
        places = {axis: place for place, axis in enumerate(self.axes)}
        parts = [
            f"{places[axis]}:{self.axes[axis].index(text(label))}"
            for axis, label in labels.items()
            if axis in places and text(label) in self.axes[axis]
        ]
        return " ".join(parts) or None

    def form(self) -> Html:
        """A box to tick per value. It is hidden until the script, without which it has no effect, shows it."""
        if not self.axes:
            return Html()
        groups = [
            element("fieldset", element("legend", axis), *(_box(place, n, label) for n, label in enumerate(labels)))
            for place, (axis, labels) in enumerate(self.axes.items())
        ]
        return element("details", element("summary", "Filter"), *groups, class_="filters", hidden=True)


def filters_of(rows: Iterable[Mapping[str, Label]]) -> Filters:
    """The filters for the labels of a run's cells."""
    values: dict[str, dict[str, None]] = {}
    for labels in rows:
        for axis, label in labels.items():
            values.setdefault(axis, {}).setdefault(text(label))
    return Filters({axis: list(labels) for axis, labels in values.items() if len(labels) > 1})


def _box(axis: int, value: int, label: str) -> Html:
    return element("label", element("input", type="checkbox", checked=True, value=f"{axis}:{value}"), " ", label)
