"""One axis of a run, value against value: is additive better than dot, on which task, and how sure is that?"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attnbench.analysis.labels import KIND, Label, label_columns, text, values_of
from attnbench.analysis.paired import (
    ALPHA,
    Paired,
    Verdict,
    corrected,
    fewest_pairs,
    mean_ranks,
    paired_over_tasks,
    probability_of_improvement,
    seeds_needed,
    verdict,
)
from attnbench.analysis.stats import Estimate
from attnbench.analysis.table.comparison import STYLES
from attnbench.errors import AttnbenchError, did_you_mean, fail

if TYPE_CHECKING:
    import pandas as pd

EVERYTHING = "all"  # the task of a line that is over all of them
Block = tuple[Label, ...]  # everything but the axis and the seed


@dataclass(frozen=True)
class Line:
    """One value of the axis against the one that it is held against, on one task or over all.

    Attributes:
        value: of the axis.
        task: its name, or EVERYTHING.
        paired: the difference to the other and its test, the p corrected for all lines of the same task.
        probability: that a seed of this one is better than a seed of the other.
        rank: the mean rank among all values of the axis that have every block of the one held against; None where this
            one has not.
        verdict: in words.
        needed: the seeds that it would take to tell, for a difference as large as seen, and never fewer than the test
            needs to reach ALPHA at all; None where there is no difference.
    """

    value: Label
    task: str
    paired: Paired
    probability: Estimate
    rank: float | None
    verdict: Verdict
    needed: int | None


@dataclass(frozen=True)
class Contrast:
    """The values of an axis, each against one of them; `notes` say what could not be compared."""

    name: str
    metric: str
    axis: str
    against: Label
    lines: list[Line]
    notes: tuple[str, ...]


def contrast(
    frame: "pd.DataFrame",
    axis: str,
    against: str | None = None,
    metric: str = "exact_match",
    name: str = "",
    notes: Iterable[str] = (),
) -> Contrast:
    """Holds every value of an axis against one of them, on the seeds and in the settings that both have.

    Args:
        frame: rows of table.csv; failed cells do not count.
        axis: a label column.
        against: the value that the others are held against; the one that is best over all unless given.
        metric: a name of METRICS, or `<metric>@<length>`, of which higher or lower is better.
        name: of the run, for the title.
        notes: what else there is to say of the cells.

    Raises:
        AttnbenchError: for an unknown axis, value or metric, or when no two values share a setting and a seed.
    """
    better = _direction(frame, axis, metric)
    if _counted(frame, metric).empty:
        raise fail(f"no cell is done and has {metric}", name, "attnbench run carries on with what is missing")
    seeds = _seeds_by_block(frame, axis, metric)
    values = list(dict.fromkeys(value for value, _ in seeds))
    if len(values) < 2:
        raise fail(f"{axis} has fewer than two values that are finished", name or "--axis", "choose another axis")
    chosen = _against(values, against, seeds, better)
    tasks = list(dict.fromkeys(text(block[0]) for _, block in seeds))
    lines = [
        line
        for task in ([*tasks, EVERYTHING] if len(tasks) > 1 else tasks)
        for line in _lines_of(seeds, values, chosen, task, better)
    ]
    if not lines:
        raise _nothing_shared(frame, axis, metric, text(chosen), name)
    told = {line.value for line in lines}
    left_out = [text(value) for value in values if value != chosen and value not in told]
    alone = [f"{', '.join(left_out)}: no setting and seed shared with {text(chosen)}"] if left_out else []
    told_as_well = [*alone, *_not_counted(frame, metric), *_going_with(frame, axis, metric), *notes]
    return Contrast(name, metric, axis, chosen, lines, tuple(told_as_well))


def _not_counted(frame: "pd.DataFrame", metric: str) -> list[str]:
    """The cells that the comparison does not see: those left may be the better ones."""
    failed = int((frame["status"] != "done").sum())
    without = int((frame[metric].isna() & (frame["status"] == "done")).sum())
    told = [f"{failed} failed cell{'s' * (failed != 1)} not counted"] * bool(failed)
    return told + [f"{without} cell{'s' * (without != 1)} without {metric} not counted"] * bool(without)


def _going_with(frame: "pd.DataFrame", axis: str, metric: str) -> list[str]:
    """What else differs wherever the axis does, so that it may be what makes the difference."""
    done = _counted(frame, metric)
    same = {axis, "task", "seed", *(("model", KIND) if axis in ("model", KIND) else (KIND,)), *_others(done, axis)}
    varying = [c for c in label_columns(done) if c not in same and len(set(values_of(done, c))) > 1]
    return [f"{', '.join(varying)} {'goes' if len(varying) == 1 else 'go'} with {axis}"] * bool(varying)


def _nothing_shared(frame: "pd.DataFrame", axis: str, metric: str, against: str, name: str) -> AttnbenchError:
    varying = [c for c in _others(_counted(frame, metric), axis) if len(set(values_of(frame, c))) > 1]
    hint = "they have no task and seed in common" + " with the same settings" * bool(varying)
    if varying:
        hint += f": beside {axis} the cells vary in {', '.join(varying)}; --where COLUMN=VALUE narrows them down"
    return fail(f"nothing shares a setting and a seed with {against}", name or "--against", hint)


def _direction(frame: "pd.DataFrame", axis: str, metric: str) -> int:
    labels = [column for column in label_columns(frame) if column != "seed"]
    if axis not in labels:
        raise fail(f"there is no axis {axis!r}", "--axis", did_you_mean(axis, labels))
    if metric not in frame.columns or metric.split("@")[0] not in STYLES:
        known = [column for column in frame.columns if column.split("@")[0] in STYLES]
        raise fail(f"there is no metric {metric!r}", "--metric", did_you_mean(metric, known))
    better = STYLES[metric.split("@")[0]].better
    if not better:
        raise fail(f"of {metric}, neither more nor less is better", "--metric", "choose one that is, e.g. exact_match")
    return better


def _seeds_by_block(frame: "pd.DataFrame", axis: str, metric: str) -> dict[tuple[Label, Block], dict[Any, float]]:
    """The metric by seed, for each value of the axis in each block, whose first label is the task."""
    done = _counted(frame, metric)
    others = _others(done, axis)
    found: dict[tuple[Label, Block], dict[Any, float]] = {}
    tasks = values_of(done, "task") if axis != "task" else [EVERYTHING] * len(done)
    blocks = zip(tasks, *(values_of(done, column) for column in others), strict=True)
    for value, block, seed, number in zip(
        values_of(done, axis), blocks, values_of(done, "seed"), values_of(done, metric), strict=True
    ):
        found.setdefault((value, tuple(block)), {})[seed] = float(number)
    return found


def _counted(frame: "pd.DataFrame", metric: str) -> "pd.DataFrame":
    return frame[(frame["status"] == "done") & frame[metric].notna()]


def _others(done: "pd.DataFrame", axis: str) -> list[str]:
    """The label columns that part the cells, beside axis, task and seed.

    model.kind says what model says; an axis that only one of two values has does not part them.
    """
    return [c for c in label_columns(done) if c not in (axis, "seed", "task") and not _follows(done, c, axis)]


def _follows(frame: "pd.DataFrame", column: str, axis: str) -> bool:
    """Whether each value of the axis has a single value of the column: then it is part of what is compared."""
    pairs = set(zip(values_of(frame, axis), values_of(frame, column), strict=True))
    return len(pairs) == len({value for value, _ in pairs})


def _against(
    values: Sequence[Label], against: str | None, seeds: dict[tuple[Label, Block], dict[Any, float]], better: int
) -> Label:
    by_text = {text(value): value for value in values}
    if against is not None:
        if against not in by_text:
            raise fail(f"no finished cell has {against!r}", "--against", did_you_mean(against, by_text))
        return by_text[against]

    def mean(value: Label) -> float:
        own = [sum(runs.values()) / len(runs) for (other, _), runs in seeds.items() if other == value]
        return better * sum(own) / len(own)

    blocks = {value: {block for other, block in seeds if other == value} for value in values}
    most = max(map(len, blocks.values()))
    return max((value for value in values if len(blocks[value]) == most), key=mean)


def _lines_of(
    seeds: dict[tuple[Label, Block], dict[Any, float]], values: Sequence[Label], against: Label, task: str, better: int
) -> list[Line]:
    """The lines of one task, or of all, their p corrected together."""
    blocks = [block for value, block in seeds if value == against and task in (EVERYTHING, text(block[0]))]
    ranks = _ranks(seeds, values, blocks, better)
    found = []
    for value in (value for value in values if value != against):
        pairs = [_shared(seeds.get((value, block), {}), seeds.get((against, block), {})) for block in blocks]
        if pairs := [pair for pair in pairs if pair[0]]:
            a, b = [x for x, _ in pairs], [y for _, y in pairs]
            probability = probability_of_improvement(*((a, b) if better > 0 else (b, a)))
            found.append((value, paired_over_tasks(a, b), probability, len(pairs)))
    fair = corrected([comparison for _, comparison, _, _ in found])
    least = fewest_pairs(ALPHA / max(1, len(found)))
    return [
        Line(
            value,
            task,
            one,
            chance,
            ranks.get(value),
            verdict(one, better=better),
            _needed(chance.value, math.ceil(least / count)),
        )
        for (value, _, chance, count), one in zip(found, fair, strict=True)
    ]


def _needed(probability: float, least: int) -> int | None:
    """Noether's number, but not below what the signed-rank test takes, which knows nothing of fewer."""
    needed = seeds_needed(probability)
    return None if needed is None else max(needed, least)


def _shared(one: dict[Any, float], other: dict[Any, float]) -> tuple[list[float], list[float]]:
    both = [seed for seed in one if seed in other]
    return [one[seed] for seed in both], [other[seed] for seed in both]


def _ranks(
    seeds: dict[tuple[Label, Block], dict[Any, float]], values: Iterable[Label], blocks: Sequence[Block], better: int
) -> dict[Label, float]:
    """The mean ranks of the values that have every block, over the seeds that all of them share."""
    whole = [value for value in values if all((value, block) in seeds for block in blocks)]
    rows = []
    for block in blocks:
        runs = [seeds[value, block] for value in whole]
        rows += [[run[seed] for run in runs] for seed in (runs[0] if runs else {}) if all(seed in run for run in runs)]
    return dict(zip(whole, mean_ranks(rows, better), strict=True)) if rows else {}


def side_by_side(frames: "Sequence[tuple[str, pd.DataFrame]]") -> "pd.DataFrame":
    """The rows of several runs with a column `run` among their labels; axes that only some have are empty elsewhere."""
    import pandas as pd

    named = [frame.assign(run=name) for name, frame in frames]
    joined = pd.concat(named, ignore_index=True)
    labels = list(dict.fromkeys(c for _, frame in frames for c in label_columns(frame)))
    rest = [c for c in joined.columns if c not in ("cell", "status", "run", *labels)]
    return joined[["cell", "status", "run", *labels, *rest]]
