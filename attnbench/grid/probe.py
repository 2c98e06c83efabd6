"""Checks every value of a grid by itself, before the axes are combined."""

from attnbench.errors import did_you_mean
from attnbench.grid.document import Document, Place, Problems
from attnbench.grid.resolve import LENGTHS, Resolver
from attnbench.grid.schema import COMPONENTS
from attnbench.grid.signatures import wrong_signatures
from attnbench.grid.values import Axes, Combination, Sections, Value
from attnbench.registered.entry import Entry
from attnbench.registry import REGISTRIES


def probe(document: Document, axes: Axes, sections: Sections, problems: Problems) -> None:
    """Notes each value that is wrong in every combination."""
    resolver = Resolver(document, axes, sections, problems)
    _check_signatures(axes, sections, problems)
    for kind in COMPONENTS:
        for value in axes.values(kind):
            entry = REGISTRIES[kind].entry(value.name)
            _note_set_twice(document, axes, value, problems)
            for options in _variants(axes, kind, entry):
                resolver.component(kind, {kind: value} | options)
    _probe_models(document, axes, sections, resolver)
    for combination in _one_by_one(axes, "train"):
        resolver.train(combination)
    ordered = not any(f"data.{field}" in axes.names for field in LENGTHS)
    for combination in _one_by_one(axes, "data"):
        resolver.section_of_data(combination, check_order=ordered)


def _check_signatures(axes: Axes, sections: Sections, problems: Problems) -> None:
    """Notes the methods of the user's own classes that attnbench cannot call; those of built-ins are tested."""
    names = [(kind, value.name) for kind in COMPONENTS for value in axes.values(kind)]
    names += [("model", value.data) for value in axes.values("model.kind")]
    if not axes.always_has("model.kind"):
        names.append(("model", sections.kind))
    for kind, name in dict.fromkeys(names):
        registry = REGISTRIES[kind]
        if not registry.is_builtin(name):
            for problem in wrong_signatures(registry.entry(name)):
                problems.add(Place(problem.where, problem.source), problem.what, problem.hint)


def _probe_models(document: Document, axes: Axes, sections: Sections, resolver: Resolver) -> None:
    combinations: list[Combination] = [{"model.kind": value} for value in axes.values("model.kind")]
    if not axes.always_has("model.kind"):
        combinations.append({})
    entries = [REGISTRIES["model"].entry(c["model.kind"].data if c else sections.kind) for c in combinations]
    for combination, entry in zip(combinations, entries, strict=True):
        for options in _variants(axes, "model", entry):
            resolver.model(combination | options)
    known = dict.fromkeys(["kind", *(option.name for entry in entries for option in entry.options)])
    for option in sections.model:
        if option not in known and len(entries) > 1:
            place = document.place(("model", option), key=True)
            resolver.problems.add(
                place, f"no model of this grid has the option {option!r}", did_you_mean(option, known)
            )


def _note_set_twice(document: Document, axes: Axes, value: Value, problems: Problems) -> None:
    """Notes an option that is set by an axis and by the value itself."""
    for option in value.options:
        field = f"{value.axis}.{option}"
        if field in (*axes.names, *axes.tuned):
            place = document.place((*value.place, option), key=True)
            what = f"{field} is {'an axis' if field in axes.names else 'tuned'}, and {value.name} sets it too"
            problems.add(place, what, "keep one of them")


def _variants(axes: Axes, kind: str, entry: Entry) -> list[Combination]:
    """Combinations of the option axes in which every value occurs once; the other axes keep their first value."""
    names = [axis for axis in axes.by_head[kind] if entry.takes(axis.partition(".")[2]) and axis != "model.kind"]
    first = {axis: axes.values(axis)[0] for axis in names}
    return [first, *({**first, axis: value} for axis in names for value in axes.values(axis)[1:])]


def _one_by_one(axes: Axes, head: str) -> list[Combination]:
    """The empty combination, then every value of every axis by itself."""
    return [{}, *({axis: value} for axis in axes.by_head[head] for value in axes.values(axis))]
