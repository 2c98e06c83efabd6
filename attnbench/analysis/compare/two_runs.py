"""Whether the cells of two runs can be compared: what differs in their settings and in the code that trained them."""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from attnbench.analysis.labels import text
from attnbench.analysis.settings import differences, settings_of
from attnbench.cell import KINDS
from attnbench.errors import AttnbenchError, Exit, Problem
from attnbench.fingerprint import changed, named_files

if TYPE_CHECKING:
    from attnbench.store.store import Store

MOST_NAMED = 8
Labels = tuple[tuple[str, object], ...]
Cells = tuple[Container[str] | None, Container[str] | None]
Value = TypeVar("Value")


class NotComparable(AttnbenchError):
    """The cells of two runs were trained or tested on different data."""

    exit = Exit.NOTHING_COMPARABLE


def different_settings(first: "Store", second: "Store", names: Sequence[str], cells: Cells | None = None) -> list[str]:
    """The settings in which cells with the same labels differ, e.g. "train.steps: 30 → 90".

    These differences, such as another number of steps, are what is compared.

    Args:
        first, second: the runs.
        names: of the runs, for the messages.
        cells: the ids of the cells of each run that are compared; default: all.

    Raises:
        NotComparable: if the task or its data differ: equal seeds have different sentences then, and one test set may
            be harder than the other.
    """
    cells = cells or (None, None)
    old, new = _settings(first, cells[0]), _settings(second, cells[1])
    apart = _without_common_value(old, new)
    columns = _common(old, new) - apart.keys()
    before, after = _by_labels(old, columns), _by_labels(new, columns)
    found = dict.fromkeys(f"{name}: {change}" for name, change in apart.items() if name not in KINDS)
    for labels in before.keys() & after.keys():
        found |= dict.fromkeys(differences(before[labels], after[labels]))
    changes = sorted(found)
    data = [change for change in changes if change.split(":")[0].split(".")[0] in ("data", "task")]
    if data:
        hint = "compare runs of the same task and data; --where selects cells of both runs"
        raise NotComparable(
            *(Problem(change, " and ".join(names), hint if change == data[-1] else "") for change in data)
        )
    more = [f"and {len(changes) - MOST_NAMED} more"] if len(changes) > MOST_NAMED else []
    return [*changes[:MOST_NAMED], *more]


def different_code(first: "Store", second: "Store", names: Sequence[str], cells: Cells | None = None) -> str:
    """The files in which the code of cells with the same labels differs, in a few words; "" where none does.

    Only files count that the numbers of these cells depend on.

    Args:
        first, second, names, cells: as for `different_settings`.
    """
    cells = cells or (None, None)
    old, new = _code(first, cells[0]), _code(second, cells[1])
    columns = _common(old, new)
    files: set[str] = set()
    unknown: set[str] = set()
    before, after = _grouped(old, columns), _grouped(new, columns)
    for labels in before.keys() & after.keys():
        for one in before[labels]:
            for other in after[labels]:
                unknown |= {name for name, code in zip(names, (one, other), strict=True) if not code}
                files |= set(changed(one, other)) if one and other else set()
    parts = [named_files(sorted(files))] if files else []
    return "; ".join([*parts, *(f"that of {name} is not recorded" for name in sorted(unknown))])


def _settings(store: "Store", cells: Container[str] | None) -> dict[Labels, dict[str, str]]:
    """The settings of the finished cells by their labels, one seed of each."""
    found: dict[Labels, dict[str, str]] = {}
    for labels, cell in _finished(store, cells):
        if labels not in found:
            found[labels] = settings_of(store.read(cell))
    return found


def _code(store: "Store", cells: Container[str] | None) -> dict[Labels, list[Mapping[str, str]]]:
    """The distinct fingerprints of the code of the finished cells, by their labels."""
    codes = {cell: summary.code for cell, summary in store.summaries()}
    found: dict[Labels, list[Mapping[str, str]]] = {}
    for labels, cell in _finished(store, cells):
        known = found.setdefault(labels, [])
        if codes[cell] not in known:
            known.append(codes[cell])
    return found


def _finished(store: "Store", cells: Container[str] | None) -> Iterator[tuple[Labels, str]]:
    """The labels without the seed, and the id, of the finished cells among those that are compared."""
    states = store.states()
    for cell in store.plan()["cells"]:
        if cell["id"] in states and (cells is None or cell["id"] in cells):
            yield tuple(sorted((name, value) for name, value in cell["labels"].items() if name != "seed")), cell["id"]


def _common(old: Iterable[Labels], new: Iterable[Labels]) -> set[str]:
    """The label columns that both runs have."""
    names = [{name for name, _ in labels} for labels in (*old, *new)]
    return set.intersection(*names) if names else set()


def _without_common_value(old: Iterable[Labels], new: Iterable[Labels]) -> dict[str, str]:
    """The columns in which no value of one run is a value of the other, and how they differ: "4 → 8"."""
    found = {}
    for name in sorted(_common(old, new)):
        sides = [{text(dict(labels)[name]): None for labels in run} for run in (old, new)]
        if not sides[0].keys() & sides[1].keys():
            found[name] = " → ".join(", ".join(side) for side in sides)
    return found


def _by_labels(settings: Mapping[Labels, dict[str, str]], columns: set[str]) -> dict[Labels, dict[str, str]]:
    """The settings by the labels of these columns; without those of which several settings have the same labels."""
    return {labels: found[0] for labels, found in _by_columns(settings, columns).items() if len(found) == 1}


def _grouped(
    codes: Mapping[Labels, list[Mapping[str, str]]], columns: set[str]
) -> dict[Labels, list[Mapping[str, str]]]:
    """The fingerprints by the labels of these columns."""
    return {labels: [code for one in found for code in one] for labels, found in _by_columns(codes, columns).items()}


def _by_columns(values: Mapping[Labels, Value], columns: set[str]) -> dict[Labels, list[Value]]:
    found: dict[Labels, list[Value]] = {}
    for labels, value in values.items():
        found.setdefault(tuple(pair for pair in labels if pair[0] in columns), []).append(value)
    return found
