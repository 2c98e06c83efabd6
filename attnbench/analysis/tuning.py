"""What tuning chose for each combination, and how much a metric depends on each tuned field."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from attnbench.analysis.labels import Label, row_label, text, varying

if TYPE_CHECKING:
    from attnbench.store.store import Store

METRICS = ("exact_match", "loss")  # on the validation set
FEW = 4  # combinations with the most common value that are named; more are "all others"


@dataclass(frozen=True)
class Curve:
    """A metric on validation against a tuned field, for one combination.

    Attributes:
        labels: of the combination, by axis.
        points: by value of the field, the mean over the seeds, with the best candidate among the other tuned fields.
        chosen: the value that was chosen; None where tuning has not ended.
    """

    labels: dict[str, Label]
    points: dict[Label, float]
    chosen: Label


def chosen_notes(plan: Mapping[str, Any]) -> list[str]:
    """A sentence per tuned field: which value was chosen for which combination.

    Args:
        plan: the content of plan.json.
    """
    tuned = [one for one in plan.get("tuned", []) if one["chosen"] is not None]
    if not tuned:
        return []
    seeds, candidates = len(tuned[0]["cells"][0]), len(tuned[0]["candidates"])
    how = f"chosen on validation among {candidates} candidates with {seeds} seed{'s' * (seeds > 1)} each"
    names = varying([one["labels"] for one in tuned])
    notes = []
    for field in tuned[0]["candidates"][0]:
        by_value: dict[str, list[str]] = {}
        for one in tuned:
            name = row_label(names, [one["labels"][axis] for axis in names])
            by_value.setdefault(text(one["candidates"][one["chosen"]][field]), []).append(name)
        notes.append(f"{field}, {how}: {_listed(by_value)}")
    return notes


def _listed(by_value: Mapping[str, Sequence[str]]) -> str:
    """Each value with the combinations that have it; the most common one of many is that of all others."""
    usual = max(by_value, key=lambda value: len(by_value[value]))
    if len(by_value) == 1:
        return f"{usual} for all"
    others = {value: of for value, of in by_value.items() if value != usual}
    parts = [f"{value} for {', '.join(of)}" for value, of in others.items()]
    rest = "all others" if len(by_value[usual]) > FEW else ", ".join(by_value[usual])
    return "; ".join([*parts, f"{usual} for {rest}"])


def sensitivity(store: "Store") -> dict[tuple[str, str], list[Curve]]:
    """The curves by tuned field and metric; none for a run without tuning.

    A cell that failed is left out of the curves. Raises an AttnbenchError if the plan cannot be read.
    """
    plan = store.plan()
    tuned = plan.get("tuned", [])
    ids = {id_ for one in tuned for candidate in one["cells"] for id_ in candidate}
    ended = {id_: summary.metrics for id_, summary in store.summaries() if id_ in ids and summary.status == "done"}
    fields = list(tuned[0]["candidates"][0]) if tuned else []
    return {
        (field, metric): [curve for one in tuned if (curve := _curve(one, ended, field, metric)).points]
        for field in fields
        for metric in METRICS
    }


def _curve(tuned: Mapping[str, Any], ended: Mapping[str, Mapping[str, float | None]], field: str, metric: str) -> Curve:
    """The curve of one combination."""
    found: dict[Label, list[float]] = {}
    for candidate, cells in zip(tuned["candidates"], tuned["cells"], strict=True):
        values = [value for id_ in cells if (value := ended.get(id_, {}).get(metric)) is not None]
        if values:
            found.setdefault(candidate[field], []).append(fmean(values))
    best = min if metric == "loss" else max
    chosen = None if tuned["chosen"] is None else tuned["candidates"][tuned["chosen"]][field]
    return Curve(dict(tuned["labels"]), {value: best(means) for value, means in found.items()}, chosen)
