"""The sentences below a comparison: which cells are not compared as one may expect."""

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from attnbench.analysis.compare.pairing import measured, others, results
from attnbench.analysis.labels import KIND, Label, label_columns, text, values_of
from attnbench.analysis.learned import LEARNED_AT, accuracy_of, in_two_groups
from attnbench.analysis.parameters import Pair, on, side_name
from attnbench.messages import NO_VALUE
from attnbench.metrics import Metric

if TYPE_CHECKING:
    import pandas as pd

MOST_NAMED = 6  # combinations or values that a note lists


def unshared(axis: str, values: Sequence[Label], compared: Iterable[Label], reference: Label) -> list[str]:
    """The note on the values that could not be compared."""
    compared = {reference, *compared}
    # "–" alone would read as the explanation of an empty place in the table.
    shown = (text(value) for value in values if value not in compared)
    named = ", ".join(f"{axis} {NO_VALUE}" if name == NO_VALUE else name for name in shown)
    return [f"{named}: no setting and seed shared with {text(reference)}"] if named else []


def missing(frame: "pd.DataFrame", about: Metric, metric: str) -> list[str]:
    """Notes about cells without a value: whether they count as the worst result, or are not compared."""
    failed = int((frame["status"] == "failed").sum())
    without = int((frame[metric].isna() & (frame["status"] == "done")).sum())
    worst = (
        f"count as {about.worst(()):g}" if about.better > 0 or about.high is not None else "count as the worst result"
    )
    notes = []
    if failed:
        use = "not used" if about.per_pack else worst if failed > 1 else worst.replace("count", "counts")
        notes.append(f"{failed} failed cell{'s' * (failed != 1)}: {use}")
    if without:
        use = (worst if without > 1 else worst.replace("count", "counts")) if about.missing_is_worst else "not used"
        notes.append(f"{without} cell{'s' * (without != 1)} without {metric}: {use}")
    return notes


def confounded(frame: "pd.DataFrame", axis: str, metric: str) -> list[str]:
    """A note about other axes that vary together with this one, and so may cause the difference."""
    done = measured(frame, metric)
    same = {axis, "task", "seed", *(("model", KIND) if axis in ("model", KIND) else (KIND,)), *others(done, axis)}
    varying = [c for c in label_columns(done) if c not in same and len(set(values_of(done, c))) > 1]
    return [f"{', '.join(varying)} {'varies' if len(varying) == 1 else 'vary'} with {axis}"] * bool(varying)


def two_groups(frame: "pd.DataFrame", axis: str, metric: str) -> list[str]:
    """A note on the values of which some seeds learned a task and some did not: their mean is that of two groups."""
    found: dict[tuple[str, ...], list[float]] = {}
    names = [axis, "task"] if axis != "task" else [axis]
    settings = [*names, *(name for name in others(measured(frame, metric), axis) if name != "task")]
    keys = zip(*(values_of(frame, name) for name in settings), strict=True)
    for key, accuracy in zip(keys, accuracy_of(frame, metric), strict=True):
        if accuracy is not None:
            found.setdefault(tuple(map(text, key)), []).append(accuracy)
    # The settings that distinguish two groups of the same value and task.
    own = [place for place in range(len(names), len(settings)) if settings[place] != KIND]  # "model" has it as well
    varying = [place for place in own if len({key[place] for key in found}) > 1]
    parts = [
        " · ".join([" on ".join(key[: len(names)]), *(key[place] for place in varying)])
        + f" {sum(one >= LEARNED_AT for one in seeds)}/{len(seeds)}"
        for key, seeds in found.items()
        if in_two_groups(seeds)
    ]
    if not parts:
        return []
    more = f" and {len(parts) - MOST_NAMED} more" if len(parts) > MOST_NAMED else ""
    return [
        f"Seeds that learned (exact match of at least {LEARNED_AT:g}): {', '.join(parts[:MOST_NAMED])}{more}. The mean "
        "of two such groups has no reliable interval with few seeds."
    ]


def uneven_parameters(frame: "pd.DataFrame", axis: str, metric: str, reference: Label) -> list[str]:
    """A note on the values that differ from the reference by more than 10 % in their number of parameters.

    Of a value with several settings it has the numbers of that in which they differ most.
    """
    done = measured(frame, metric)
    sizes = {
        (value, *block): fmean(seeds.values()) for (value, block), seeds in results(done, axis, "parameters").items()
    }
    axes = [axis, "task", *others(measured(done, "parameters"), axis)]
    found = []
    for value in dict.fromkeys(labels[0] for labels in sizes if labels[0] != reference):
        names = side_name([axis], [value]), side_name([axis], [reference])
        shared = [labels for labels in sizes if labels[0] == value and (reference, *labels[1:]) in sizes]
        pairs = {labels: Pair(*names, sizes[labels], sizes[reference, *labels[1:]]) for labels in shared}
        most = max(pairs, key=lambda labels: pairs[labels].distance, default=None)
        if most is not None and pairs[most].uneven:
            found.append((pairs[most], on(axes, most, range(1, len(axes)), sizes)))
    if len(found) < 2:
        return [pair.sentence(where) for pair, where in found]
    return [_listed(found)]


def _listed(found: Sequence[tuple[Pair, str]]) -> str:
    """One sentence about several values, with the number of the reference once if it is the same for all of them."""
    once = len({(pair.of, where) for pair, where in found}) == 1
    first, where = found[0]
    reference = f"{first.other} ({first.of:,.0f}{where})" if once else first.other
    named = [
        f"{pair.name} {pair.times} ({f'{pair.size:,.0f}' if once else pair.sizes + where})" for pair, where in found
    ]
    more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
    return f"Times the parameters of {reference}: {', '.join(named[:MOST_NAMED])}{more}."
