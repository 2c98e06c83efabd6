"""The comparison of every value of an axis with one of them: is additive better than dot, on which task?"""

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
from attnbench.errors import AttnbenchError, did_you_mean, fail
from attnbench.metrics import is_metric, metric_of

if TYPE_CHECKING:
    import pandas as pd

ALL_TASKS = "all"  # the task of a line over all tasks
Block = tuple[Label, ...]  # all labels except the axis and the seed; the task comes first


@dataclass(frozen=True)
class ContrastLine:
    """One value of the axis compared with the reference, on one task or over all tasks.

    Attributes:
        value: of the axis.
        task: its name, or ALL_TASKS.
        paired: the difference from the reference and its test, with p corrected for all lines of the same task.
        probability: that a seed of this value is better than a seed of the reference.
        rank: the mean rank among the values of the axis that have every block of the reference; None where this value
            lacks one.
        verdict: better, worse, no difference found, or inconclusive.
        needed: the number of seeds that would detect a difference of the observed size, but at least the number that
            the test needs to reach ALPHA; None where there is no difference.
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
    """Every value of an axis compared with the reference `against`; `notes` say what was not compared."""

    name: str
    metric: str
    axis: str
    against: Label
    lines: list[ContrastLine]
    notes: tuple[str, ...]


def contrast(
    frame: "pd.DataFrame",
    axis: str,
    against: str | None = None,
    metric: str = "exact_match",
    name: str = "",
    notes: Iterable[str] = (),
) -> Contrast:
    """Compares every value of an axis with one of them, over the seeds and settings that both have.

    Args:
        frame: rows of table.csv; failed cells are not used.
        axis: a label column.
        against: the reference value; default: the value with the best mean over all settings.
        metric: a name of METRICS, or `<metric>@<length>`, with a better direction.
        name: of the run, for the title.
        notes: further sentences about the cells.

    Raises:
        AttnbenchError: for an unknown axis, value or metric, or when no two values share a setting and a seed.
    """
    better = _direction(frame, axis, metric)
    if _measured(frame, metric).empty:
        raise fail(f"no cell is done and has {metric}", name, "attnbench run trains the missing cells")
    seeds = _seeds_by_block(frame, axis, metric)
    values = list(dict.fromkeys(value for value, _ in seeds))
    if len(values) < 2:
        raise fail(f"{axis} has fewer than two values with finished cells", name or "--axis", "choose another axis")
    reference = _reference(values, against, seeds, better)
    tasks = list(dict.fromkeys(text(block[0]) for _, block in seeds))
    lines = [
        line
        for task in ([*tasks, ALL_TASKS] if len(tasks) > 1 else tasks)
        for line in _lines_of(seeds, values, reference, task, better)
    ]
    if not lines:
        raise _nothing_shared(frame, axis, metric, text(reference), name)
    compared = {line.value for line in lines}
    left_out = [text(value) for value in values if value != reference and value not in compared]
    unshared = [f"{', '.join(left_out)}: no setting and seed shared with {text(reference)}"] if left_out else []
    all_notes = [*unshared, *_not_used(frame, metric), *_confounded(frame, axis, metric), *notes]
    return Contrast(name, metric, axis, reference, lines, tuple(all_notes))


def _not_used(frame: "pd.DataFrame", metric: str) -> list[str]:
    """Notes about cells that are not compared; the remaining cells may be the better ones."""
    failed = int((frame["status"] != "done").sum())
    without = int((frame[metric].isna() & (frame["status"] == "done")).sum())
    notes = [f"{failed} failed cell{'s' * (failed != 1)} not used"] * bool(failed)
    return notes + [f"{without} cell{'s' * (without != 1)} without {metric} not used"] * bool(without)


def _confounded(frame: "pd.DataFrame", axis: str, metric: str) -> list[str]:
    """A note about other axes that vary together with this one, and so may cause the difference."""
    done = _measured(frame, metric)
    same = {axis, "task", "seed", *(("model", KIND) if axis in ("model", KIND) else (KIND,)), *_others(done, axis)}
    varying = [c for c in label_columns(done) if c not in same and len(set(values_of(done, c))) > 1]
    return [f"{', '.join(varying)} {'varies' if len(varying) == 1 else 'vary'} with {axis}"] * bool(varying)


def _nothing_shared(frame: "pd.DataFrame", axis: str, metric: str, against: str, name: str) -> AttnbenchError:
    varying = [c for c in _others(_measured(frame, metric), axis) if len(set(values_of(frame, c))) > 1]
    hint = "they have no task and seed in common" + " with the same settings" * bool(varying)
    if varying:
        hint += f": the cells also vary in {', '.join(varying)}; select some of them with --where COLUMN=VALUE"
    return fail(f"no value shares a setting and a seed with {against}", name or "--against", hint)


def _direction(frame: "pd.DataFrame", axis: str, metric: str) -> int:
    labels = [column for column in label_columns(frame) if column != "seed"]
    if axis not in labels:
        raise fail(f"there is no axis {axis!r}", "--axis", did_you_mean(axis, labels))
    if metric not in frame.columns or not is_metric(metric):
        known = [column for column in frame.columns if is_metric(column)]
        raise fail(f"there is no metric {metric!r}", "--metric", did_you_mean(metric, known))
    better = metric_of(metric).better
    if not better:
        raise fail(f"{metric} has no better direction", "--metric", "choose a metric that has one, e.g. exact_match")
    return better


def _seeds_by_block(frame: "pd.DataFrame", axis: str, metric: str) -> dict[tuple[Label, Block], dict[Any, float]]:
    """The metric by seed, for each value of the axis in each block."""
    done = _measured(frame, metric)
    others = _others(done, axis)
    found: dict[tuple[Label, Block], dict[Any, float]] = {}
    tasks = values_of(done, "task") if axis != "task" else [ALL_TASKS] * len(done)
    blocks = zip(tasks, *(values_of(done, column) for column in others), strict=True)
    for value, block, seed, number in zip(
        values_of(done, axis), blocks, values_of(done, "seed"), values_of(done, metric), strict=True
    ):
        found.setdefault((value, tuple(block)), {})[seed] = float(number)
    return found


def _measured(frame: "pd.DataFrame", metric: str) -> "pd.DataFrame":
    return frame[(frame["status"] == "done") & frame[metric].notna()]


def _others(done: "pd.DataFrame", axis: str) -> list[str]:
    """The label columns, other than axis, task and seed, that define a block.

    Columns that are determined by the axis do not: they are part of what is compared.
    """
    return [c for c in label_columns(done) if c not in (axis, "seed", "task") and not _follows(done, c, axis)]


def _follows(frame: "pd.DataFrame", column: str, axis: str) -> bool:
    """Whether each value of the axis has a single value of the column."""
    pairs = set(zip(values_of(frame, axis), values_of(frame, column), strict=True))
    return len(pairs) == len({value for value, _ in pairs})


def _reference(
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
) -> list[ContrastLine]:
    """The lines of one task or of all tasks, with p corrected over them."""
    blocks = [block for value, block in seeds if value == against and task in (ALL_TASKS, text(block[0]))]
    ranks = _ranks(seeds, values, blocks, better)
    found = []
    for value in (value for value in values if value != against):
        pairs = [_shared(seeds.get((value, block), {}), seeds.get((against, block), {})) for block in blocks]
        if pairs := [pair for pair in pairs if pair[0]]:
            a, b = [x for x, _ in pairs], [y for _, y in pairs]
            probability = probability_of_improvement(*((a, b) if better > 0 else (b, a)))
            found.append((value, paired_over_tasks(a, b), probability, len(pairs)))
    adjusted = corrected([comparison for _, comparison, _, _ in found])
    least = fewest_pairs(ALPHA / max(1, len(found)))
    return [
        ContrastLine(
            value,
            task,
            one,
            chance,
            ranks.get(value),
            verdict(one, better=better),
            _needed(chance.value, math.ceil(least / count)),
        )
        for (value, _, chance, count), one in zip(found, adjusted, strict=True)
    ]


def _needed(probability: float, least: int) -> int | None:
    """Noether's number, but at least the number with which the signed-rank test can reach ALPHA."""
    needed = seeds_needed(probability)
    return None if needed is None else max(needed, least)


def _shared(one: dict[Any, float], other: dict[Any, float]) -> tuple[list[float], list[float]]:
    both = [seed for seed in one if seed in other]
    return [one[seed] for seed in both], [other[seed] for seed in both]


def _ranks(
    seeds: dict[tuple[Label, Block], dict[Any, float]], values: Iterable[Label], blocks: Sequence[Block], better: int
) -> dict[Label, float]:
    """The mean ranks of the values that have every block, over their shared seeds."""
    whole = [value for value in values if all((value, block) in seeds for block in blocks)]
    rows = []
    for block in blocks:
        runs = [seeds[value, block] for value in whole]
        rows += [[run[seed] for run in runs] for seed in (runs[0] if runs else {}) if all(seed in run for run in runs)]
    return dict(zip(whole, mean_ranks(rows, better), strict=True)) if rows else {}


def side_by_side(frames: "Sequence[tuple[str, pd.DataFrame]]") -> "pd.DataFrame":
    """The rows of several runs with a label column `run`; an axis that a run does not have is empty there."""
    import pandas as pd

    named = [frame.assign(run=name) for name, frame in frames]
    joined = pd.concat(named, ignore_index=True)
    labels = list(dict.fromkeys(c for _, frame in frames for c in label_columns(frame)))
    rest = [c for c in joined.columns if c not in ("cell", "status", "run", *labels)]
    return joined[["cell", "status", "run", *labels, *rest]]
