"""Whether the cells of two runs can be compared: what differs in their settings beside what is compared."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from attnbench.analysis.settings import differences, settings_of
from attnbench.errors import AttnbenchError, Exit, Problem

if TYPE_CHECKING:
    from attnbench.store.store import Store

MOST_NAMED = 8
Labels = tuple[tuple[str, object], ...]


class NotComparable(AttnbenchError):
    """The cells of two runs were trained or tested on different data."""

    exit = Exit.NOTHING_COMPARABLE


def different_settings(first: "Store", second: "Store", names: Sequence[str]) -> list[str]:
    """The settings in which cells with the same labels differ, e.g. "train.steps: 30 → 90".

    These differences, such as another number of steps, are what is compared.

    Args:
        first, second: the runs.
        names: of the runs, for the messages.

    Raises:
        NotComparable: if the task or its data differ: equal seeds have different sentences then, and one test set may
            be harder than the other.
    """
    old, new = _settings(first), _settings(second)
    columns = set.intersection(*({name for name, _ in key} for key in (*old, *new))) if old and new else set()
    before, after = _by_labels(old, columns), _by_labels(new, columns)
    found: dict[str, None] = {}
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


def _settings(store: "Store") -> dict[Labels, dict[str, str]]:
    """The settings of the finished cells by their labels, one seed of each."""
    states = store.states()
    found: dict[Labels, dict[str, str]] = {}
    for cell in store.plan()["cells"]:
        labels = tuple(sorted((name, value) for name, value in cell["labels"].items() if name != "seed"))
        if cell["id"] in states and labels not in found:
            found[labels] = settings_of(store.read(cell["id"]))
    return found


def _by_labels(settings: Mapping[Labels, dict[str, str]], columns: set[str]) -> dict[Labels, dict[str, str]]:
    """The settings by the labels of these columns; without those of which several settings have the same labels."""
    found: dict[Labels, list[dict[str, str]]] = {}
    for labels, values in settings.items():
        found.setdefault(tuple(pair for pair in labels if pair[0] in columns), []).append(values)
    return {labels: values[0] for labels, values in found.items() if len(values) == 1}
