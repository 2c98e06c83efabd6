"""The comparison of every value of an axis with one of them: is additive better than dot, on which task?"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

from attnbench.analysis.compare.checks import checked_metric, named, nothing_shared, single_value
from attnbench.analysis.compare.notes import confounded, missing, two_groups, uneven_parameters, unshared
from attnbench.analysis.compare.pairing import ALL_TASKS, Block, Results, results
from attnbench.analysis.improvement import probability_of_improvement
from attnbench.analysis.labels import Label, text
from attnbench.analysis.learned import resolution_of
from attnbench.analysis.paired import (
    ALPHA,
    Paired,
    compared_with,
    fewest_pairs,
    mean_ranks,
    seeds_needed,
)
from attnbench.analysis.stats import Estimate
from attnbench.analysis.table.cell import comparisons
from attnbench.analysis.verdict import Verdict, verdict, within_margin
from attnbench.metrics import Metric

if TYPE_CHECKING:
    import pandas as pd


Seeds = Mapping[Any, float]


@dataclass(frozen=True)
class ContrastLine:
    """One value of the axis compared with the reference, on one task or over all tasks.

    Attributes:
        value: of the axis.
        task: its name, or ALL_TASKS.
        mean: the mean over the shared seeds and settings.
        paired: the difference from the reference over the shared seeds, and its tests, with p corrected for the
            comparisons of the same task. Each seed counts once, with its mean difference over all settings.
        probability: that a seed of this value is better than a seed of the reference.
        rank: the mean rank among the values of the axis that have every block of the reference; None where this value
            lacks one.
        verdict: better, worse, equivalent, no difference found, or inconclusive.
        within_margin: whether a value that is better or worse is so by less than the margin.
        needed: the total number of seeds with which the test would find a difference of the observed size and variation
            with a probability of .8; None where there is no difference.
        fewest: the number of seeds from which a verdict is possible at all.
    """

    value: Label
    task: str
    mean: float
    paired: Paired
    probability: Estimate
    rank: float | None
    verdict: Verdict
    within_margin: bool
    needed: int | None
    fewest: int


@dataclass(frozen=True)
class Reference:
    """What the other values are compared with on one task: its mean over all its seeds, and its mean rank."""

    task: str
    mean: float
    rank: float | None


@dataclass(frozen=True)
class Contrast:
    """Every value of an axis compared with a reference.

    Attributes:
        name: of the run.
        metric: a name of METRICS, or `<metric>@<length>`.
        axis: the column whose values are compared.
        against: the reference.
        chosen: whether the reference was chosen for its values, and not named by the user.
        best: whether the reference is the best value, chosen or not.
        margin: smaller differences are equivalent; None where equivalence was not tested.
        resolution: smaller differences are neither better nor worse.
        lines: the comparisons, by task.
        references: the results of the reference, by task.
        notes: what was not compared, and other sentences for below the table.
        settings: how the settings and the code of two compared runs differ, a sentence each.
    """

    name: str
    metric: str
    axis: str
    against: Label
    chosen: bool
    best: bool
    margin: float | None
    resolution: float
    lines: list[ContrastLine]
    references: list[Reference]
    notes: tuple[str, ...]
    settings: tuple[str, ...] = ()

    def reference(self, task: str) -> Reference:
        """The results of the reference on a task."""
        return next(one for one in self.references if one.task == task)


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
        margin: differences shown to be smaller than this are equivalent; default: the metric's.

    Raises:
        AttnbenchError: for an unknown axis, value or metric, or when no two values share a setting and a seed.
    """
    about = checked_metric(frame, axis, metric, name)
    found = results(frame, axis, metric)
    values = list(dict.fromkeys(value for value, _ in found))
    if len(values) < 2:
        raise single_value(frame, axis, name)
    best = _best(values, found, about.better)
    reference = best if against is None else named(values, against)
    comparing = _Comparing(found, values, reference, against is None, about, margin, resolution_of(frame, metric))
    lines = comparing.all_lines()
    if not lines:
        raise nothing_shared(frame, axis, metric, text(reference), name)
    return Contrast(
        name=name,
        metric=metric,
        axis=axis,
        against=reference,
        chosen=comparing.chosen,
        best=reference == best,
        margin=comparing.margin,
        resolution=comparing.resolution,
        lines=lines,
        references=[comparing.reference_on(task) for task in dict.fromkeys(line.task for line in lines)],
        notes=(
            *unshared(axis, values, [line.value for line in lines], reference),
            *missing(frame, about, metric),
            *confounded(frame, axis, metric),
            *two_groups(frame, axis, metric),
            *uneven_parameters(frame, axis, metric, reference),
            *notes,
        ),
    )


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
        blocks = self._blocks(task)
        differences = self._differences(blocks)
        present = [value for value in self.values if any((value, block) in self.results for block in blocks)]
        found = compared_with(self.reference, present, differences, self.margin, self.chosen)
        if not found:
            return []
        level = ALPHA / (comparisons(len(found) + 1) if self.chosen else len(found))
        ranks = _ranks(self.results, self.values, blocks, self.metric.better)
        return [self._line(value, task, one, blocks, ranks.get(value), level) for value, one in found.items()]

    def _line(
        self, value: Label, task: str, one: Paired, blocks: Sequence[Block], rank: float | None, level: float
    ) -> ContrastLine:
        found = verdict(one, better=self.metric.better, resolution=self.resolution)
        probability = self._probability(value, blocks)
        needed = seeds_needed(self._differences(blocks)(value, self.reference), level)
        if self.metric.per_pack and found is Verdict.INCONCLUSIVE:
            # A few packs are no sample of seeds: their interval and their number needed would look like evidence.
            one, probability = replace(one, low=None, high=None), replace(probability, low=None, high=None)
            needed = None
        return ContrastLine(
            value=value,
            task=task,
            mean=self._mean(value, self.reference, blocks),
            paired=one,
            probability=probability,
            rank=rank,
            verdict=found,
            within_margin=within_margin(found, one),
            needed=needed,
            fewest=fewest_pairs(level),
        )

    def reference_on(self, task: str) -> Reference:
        """The results of the reference on one task or on all tasks."""
        blocks = self._blocks(task)
        ranks = _ranks(self.results, self.values, blocks, self.metric.better)
        mean = fmean(fmean(self.results[self.reference, block].values()) for block in blocks)
        return Reference(task, mean, ranks.get(self.reference))

    def _blocks(self, task: str) -> list[Block]:
        """The settings of a task that the reference has."""
        return [b for value, b in self.results if value == self.reference and task in (ALL_TASKS, text(b[0]))]

    def _shared(self, a: Label, b: Label, blocks: Sequence[Block]) -> list[tuple[Seeds, Seeds]]:
        """The results of two values in the settings that both have, without the seeds that one of them lacks."""
        both = [block for block in blocks if (a, block) in self.results and (b, block) in self.results]
        pairs = [(self.results[a, block], self.results[b, block]) for block in both]
        seeds = [seed for seed in (pairs[0][0] if pairs else ()) if all(seed in x and seed in y for x, y in pairs)]
        return [({seed: x[seed] for seed in seeds}, {seed: y[seed] for seed in seeds}) for x, y in pairs if seeds]

    def _mean(self, value: Label, reference: Label, blocks: Sequence[Block]) -> float:
        return fmean(fmean(own.values()) for own, _ in self._shared(value, reference, blocks))

    def _differences(self, blocks: Sequence[Block]) -> Callable[[Label, Label], list[float]]:
        """The function that gives the differences of two values, one per seed.

        A seed has the same data and initial weights in all settings, so its differences there are no independent
        observations: their mean is one. Only seeds count that both values have in all settings that they share.
        """

        def differences(a: Label, b: Label) -> list[float]:
            pairs = self._shared(a, b, blocks)
            seeds = pairs[0][0] if pairs else ()
            return [fmean(x[seed] - y[seed] for x, y in pairs) for seed in seeds]

        return differences

    def _probability(self, value: Label, blocks: Sequence[Block]) -> Estimate:
        """P(better) of a value against the reference, averaged over the settings that both have."""
        shared = [block for block in blocks if (value, block) in self.results]
        a = [list(self.results[value, block].values()) for block in shared]
        b = [list(self.results[self.reference, block].values()) for block in shared]
        return probability_of_improvement(*((a, b) if self.metric.better > 0 else (b, a)))


def _best(values: Sequence[Label], seeds: Results, better: int) -> Label:
    """The value with the best mean over its settings, among those with the most settings."""

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
