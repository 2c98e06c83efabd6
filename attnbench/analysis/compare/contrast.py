"""The comparison of every value of an axis with one of them: is additive better than dot, on which task?"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from attnbench.analysis.compare.pairing import ALL_TASKS, Block, Results, measured, others, results
from attnbench.analysis.labels import (
    KIND,
    Label,
    label_columns,
    label_hint,
    labels_written,
    nothing_done,
    text,
    values_of,
)
from attnbench.analysis.learned import resolution_of
from attnbench.analysis.paired import (
    ALPHA,
    Paired,
    compared_with,
    mean_ranks,
    probability_of_improvement,
    seeds_needed,
)
from attnbench.analysis.stats import Estimate
from attnbench.analysis.table.cell import comparisons
from attnbench.analysis.table.lengths import metric_hint
from attnbench.analysis.verdict import Verdict, verdict
from attnbench.errors import AttnbenchError, did_you_mean, fail
from attnbench.metrics import Metric, is_metric, metric_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ContrastLine:
    """One value of the axis compared with the reference, on one task or over all tasks.

    Attributes:
        value: of the axis.
        task: its name, or ALL_TASKS.
        paired: the difference from the reference over the shared seeds, and its tests, with p corrected for the
            comparisons of the same task. Each seed counts once, with its mean difference over all settings.
        probability: that a seed of this value is better than a seed of the reference.
        rank: the mean rank among the values of the axis that have every block of the reference; None where this value
            lacks one.
        verdict: better, worse, equivalent, no difference found, or inconclusive.
        needed: the number of seeds with which the test would find a difference of the observed size and variation with
            a probability of .8; None where there is no difference.
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
    """Every value of an axis compared with a reference.

    Attributes:
        name: of the run.
        metric: a name of METRICS, or `<metric>@<length>`.
        axis: the column whose values are compared.
        against: the reference.
        chosen: whether the reference was chosen for its values, and not named by the user.
        margin: smaller differences are equivalent; None where equivalence was not tested.
        resolution: smaller differences are neither better nor worse.
        lines: the comparisons, by task.
        notes: what was not compared, and other sentences for below the table.
        settings: how the settings of two compared runs differ, a sentence each.
    """

    name: str
    metric: str
    axis: str
    against: Label
    chosen: bool
    margin: float | None
    resolution: float
    lines: list[ContrastLine]
    notes: tuple[str, ...]
    settings: tuple[str, ...] = ()


def contrast(
    frame: "pd.DataFrame",
    axis: str,
    against: str | None = None,
    metric: str = "exact_match",
    name: str = "",
    notes: Iterable[str] = (),
    margin: float | None = None,
) -> Contrast:
    """Compares every value of an axis with one of them, over the seeds and settings that both have.

    Args:
        frame: rows of table.csv.
        axis: a label column.
        against: the reference value; default: the value with the best mean over all settings.
        metric: a name of METRICS, or `<metric>@<length>`, with a better direction.
        name: of the run, for the title.
        notes: further sentences about the cells.
        margin: differences smaller than this are equivalent; default: the metric's.

    Raises:
        AttnbenchError: for an unknown axis, value or metric, or when no two values share a setting and a seed.
    """
    about = _checked_metric(frame, axis, metric, name)
    found = results(frame, axis, metric)
    values = list(dict.fromkeys(value for value, _ in found))
    if len(values) < 2:
        raise _single_value(frame, axis, name)
    reference = _reference(values, against, found, about.better)
    comparing = _Comparing(found, values, reference, against is None, about, margin, resolution_of(frame, metric))
    lines = comparing.all_lines()
    if not lines:
        raise _nothing_shared(frame, axis, metric, text(reference), name)
    return Contrast(
        name=name,
        metric=metric,
        axis=axis,
        against=reference,
        chosen=comparing.chosen,
        margin=comparing.margin,
        resolution=comparing.resolution,
        lines=lines,
        notes=(
            *_unshared(values, lines, reference),
            *_missing(frame, about, metric),
            *_confounded(frame, axis, metric),
            *notes,
        ),
    )


def _single_value(frame: "pd.DataFrame", axis: str, name: str) -> AttnbenchError:
    """The error where the axis has a single value with results; it names the axes that have several."""
    several = [c for c in label_columns(frame) if c != "seed" and len(set(values_of(frame, c))) > 1]
    hint = f"choose another axis: {', '.join(several)}" if several else "the finished cells differ in nothing but seeds"
    return fail(f"{axis} has fewer than two values with finished cells", name or "--axis", hint)


def _unshared(values: Sequence[Label], lines: Sequence[ContrastLine], reference: Label) -> list[str]:
    """The note on the values that could not be compared."""
    compared = {reference, *(line.value for line in lines)}
    named = ", ".join(text(value) for value in values if value not in compared)
    return [f"{named}: no setting and seed shared with {text(reference)}"] if named else []


class _Comparing:
    """What the lines of all tasks have in common."""

    def __init__(
        self,
        results: Results,
        values: Sequence[Label],
        reference: Label,
        chosen: bool,
        metric: Metric,
        margin: float | None,
        resolution: float,
    ) -> None:
        self.results, self.values, self.reference, self.chosen = results, values, reference, chosen
        self.metric, self.resolution = metric, resolution
        self.margin = metric.margin if margin is None else margin

    def all_lines(self) -> list[ContrastLine]:
        """The lines of each task, and of all tasks together where several have any."""
        tasks = dict.fromkeys(text(block[0]) for _, block in self.results)
        found = [line for task in tasks for line in self.lines(task)]
        return found + (self.lines(ALL_TASKS) if len({line.task for line in found}) > 1 else [])

    def lines(self, task: str) -> list[ContrastLine]:
        """The lines of one task or of all tasks, with p corrected over them."""
        blocks = [b for value, b in self.results if value == self.reference and task in (ALL_TASKS, text(b[0]))]
        differences = self._differences(blocks)
        present = [value for value in self.values if any((value, block) in self.results for block in blocks)]
        found = compared_with(self.reference, present, differences, self.margin, self.chosen)
        if not found:
            return []
        level = ALPHA / (comparisons(len(found) + 1) if self.chosen else len(found))
        ranks = _ranks(self.results, self.values, blocks, self.metric.better)
        return [
            ContrastLine(
                value,
                task,
                one,
                self._probability(value, blocks),
                ranks.get(value),
                verdict(one, better=self.metric.better, resolution=self.resolution),
                seeds_needed(differences(value, self.reference), level),
            )
            for value, one in found.items()
        ]

    def _differences(self, blocks: Sequence[Block]) -> Callable[[Label, Label], list[float]]:
        """The function that gives the differences of two values, one per seed.

        A seed has the same data and initial weights in all settings, so its differences there are no independent
        observations: their mean is one. Only seeds count that both values have in all settings that they share.
        """

        def differences(a: Label, b: Label) -> list[float]:
            shared = [block for block in blocks if (a, block) in self.results and (b, block) in self.results]
            pairs = [(self.results[a, block], self.results[b, block]) for block in shared]
            if not pairs:
                return []
            seeds = [seed for seed in pairs[0][0] if all(seed in x and seed in y for x, y in pairs)]
            return [fmean(x[seed] - y[seed] for x, y in pairs) for seed in seeds]

        return differences

    def _probability(self, value: Label, blocks: Sequence[Block]) -> Estimate:
        """P(better) of a value against the reference, averaged over the settings that both have."""
        shared = [block for block in blocks if (value, block) in self.results]
        a = [list(self.results[value, block].values()) for block in shared]
        b = [list(self.results[self.reference, block].values()) for block in shared]
        return probability_of_improvement(*((a, b) if self.metric.better > 0 else (b, a)))


def _missing(frame: "pd.DataFrame", about: Metric, metric: str) -> list[str]:
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


def _confounded(frame: "pd.DataFrame", axis: str, metric: str) -> list[str]:
    """A note about other axes that vary together with this one, and so may cause the difference."""
    done = measured(frame, metric)
    same = {axis, "task", "seed", *(("model", KIND) if axis in ("model", KIND) else (KIND,)), *others(done, axis)}
    varying = [c for c in label_columns(done) if c not in same and len(set(values_of(done, c))) > 1]
    return [f"{', '.join(varying)} {'varies' if len(varying) == 1 else 'vary'} with {axis}"] * bool(varying)


def _nothing_shared(frame: "pd.DataFrame", axis: str, metric: str, against: str, name: str) -> AttnbenchError:
    varying = [c for c in others(measured(frame, metric), axis) if len(set(values_of(frame, c))) > 1]
    hint = "they have no task and seed in common" + " with the same settings" * bool(varying)
    if varying:
        hint += f": the cells also vary in {', '.join(varying)}; select some of them with --where COLUMN=VALUE"
    return fail(f"no value shares a setting and a seed with {against}", name or "--against", hint)


def _checked_metric(frame: "pd.DataFrame", axis: str, metric: str, name: str) -> Metric:
    """The metric, after checking that axis and metric exist, that it has a better direction, and that cells have it."""
    labels = [column for column in label_columns(frame) if column != "seed"]
    if axis not in labels:
        raise fail(f"there is no axis {axis!r}", "--axis", did_you_mean(axis, labels))
    if metric not in frame.columns or not is_metric(metric):
        known = [column for column in frame.columns if is_metric(column)]
        raise fail(f"there is no metric {metric!r}", "--metric", metric_hint(metric, known))
    about = metric_of(metric)
    if not about.better:
        raise fail(f"{metric} has no better direction", "--metric", "choose a metric that has one, e.g. exact_match")
    if measured(frame, metric).empty:
        raise nothing_done(frame, name, metric)
    return about


def _reference(values: Sequence[Label], against: str | None, seeds: Results, better: int) -> Label:
    if against is not None:
        if not (named := labels_written(against, values)):
            raise fail(f"no finished cell has {against!r}", "--against", label_hint(against, values))
        return named[0]

    def mean(value: Label) -> float:
        own = [sum(runs.values()) / len(runs) for (other, _), runs in seeds.items() if other == value]
        return better * sum(own) / len(own)

    blocks = {value: {block for other, block in seeds if other == value} for value in values}
    most = max(map(len, blocks.values()))
    return max((value for value in values if len(blocks[value]) == most), key=mean)


def _ranks(seeds: Results, values: Iterable[Label], blocks: Sequence[Block], better: int) -> dict[Label, float]:
    """The mean ranks of the values that have every block, over their shared seeds."""
    whole = [value for value in values if all((value, block) in seeds for block in blocks)]
    rows = []
    for block in blocks:
        runs = [seeds[value, block] for value in whole]
        rows += [[run[seed] for run in runs] for seed in (runs[0] if runs else {}) if all(seed in run for run in runs)]
    return dict(zip(whole, mean_ranks(rows, better), strict=True)) if rows else {}
