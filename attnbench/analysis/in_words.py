"""The answer of a run in words: which values are better on what, by how much, and which cannot be told apart."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import TYPE_CHECKING

from attnbench.analysis.compare.pairing import Block, Results, measured, others, results
from attnbench.analysis.labels import KIND, Label, listed, row_label, text, values_of
from attnbench.analysis.learned import resolution_of
from attnbench.analysis.paired import ALPHA, corrected, fewest_pairs, paired
from attnbench.analysis.verdict import Verdict, verdict
from attnbench.metrics import metric_of

if TYPE_CHECKING:
    import pandas as pd

ALIGNMENT = "aer"
Pair = tuple[Label, Label]


@dataclass(frozen=True)
class Standing:
    """A value of the axis in one setting: its mean over the seeds, and that of the alignment error, if it has one."""

    value: Label
    mean: float
    alignment_error: float | None


@dataclass(frozen=True)
class Superior:
    """Values that are all better than the same others, by the smallest and the largest of the mean differences."""

    values: tuple[Label, ...]
    than: tuple[Label, ...]
    low: float
    high: float


@dataclass(frozen=True)
class Words:
    """What is known in one setting.

    Attributes:
        name: of the setting, e.g. "copy" or "copy, width 32".
        standings: of all values, the best first.
        superior: who is better than whom.
        equivalent: groups of values of which every two are equivalent.
        undecided: groups of values of which no two can be told apart.
        needed: the number of seeds from which any two could be told apart, if there are fewer; else None.
    """

    name: str
    standings: tuple[Standing, ...]
    superior: tuple[Superior, ...]
    equivalent: tuple[tuple[Label, ...], ...]
    undecided: tuple[tuple[Label, ...], ...]
    needed: int | None


def in_words(frame: "pd.DataFrame", axis: str, metric: str = "exact_match") -> list[Words]:
    """Compares every two values of an axis in each setting of the others, over shared seeds, Holm over all pairs of it.

    Args:
        frame: rows of table.csv.
        axis: a label column.
        metric: a name of METRICS, or `<metric>@<length>`, with a better direction.
    """
    columns = others(measured(frame, metric), axis)
    found = results(frame, axis, metric, columns)
    # By the same columns: fewer vary where a cell has an alignment error than where it has the metric.
    aligned = results(frame, axis, ALIGNMENT, columns) if frame[ALIGNMENT].notna().any() else {}
    names = ["task", *columns]
    shown = {name for name in names if len(set(values_of(frame, name))) > 1} | {"task"}
    shown -= {KIND} if "model" in shown else set()  # the column model has the kind
    resolution = resolution_of(frame, metric)
    answers = []
    for block in dict.fromkeys(block for _, block in found):
        seeds = {value: runs for (value, of), runs in found.items() if of == block}
        if len(seeds) > 1:
            labels = {axis: label for axis, label in zip(names, block, strict=True) if axis in shown}
            name = row_label(labels, labels.values(), between=", ")
            answers.append(_words(name, seeds, _alignment(aligned, block), metric, resolution))
    return answers


def _words(
    name: str,
    seeds: Mapping[Label, Mapping[int, float]],
    alignment: Mapping[Label, float],
    metric: str,
    resolution: float,
) -> Words:
    about = metric_of(metric)
    means = {value: fmean(runs.values()) for value, runs in seeds.items()}
    order = sorted(means, key=lambda value: -about.better * means[value])
    differences = {
        (a, b): [seeds[a][seed] - seeds[b][seed] for seed in seeds[a] if seed in seeds[b]]
        for a, b in combinations(order, 2)
    }
    compared = {pair: paired(values, about.margin, interval=True) for pair, values in differences.items() if values}
    tested = dict(zip(compared, corrected(list(compared.values())), strict=True))
    verdicts = {pair: verdict(one, better=about.better, resolution=resolution) for pair, one in tested.items()}
    fewest = fewest_pairs(ALPHA / max(1, len(tested)))
    few = bool(tested) and max(one.n for one in tested.values()) < fewest
    undecided = [pair for pair, one in verdicts.items() if one in (Verdict.NO_DIFFERENCE, Verdict.INCONCLUSIVE)]
    return Words(
        name=name,
        standings=tuple(Standing(value, means[value], alignment.get(value)) for value in order),
        superior=_superior(order, verdicts, {pair: one.difference for pair, one in tested.items()}),
        equivalent=groups(order, {pair for pair, one in verdicts.items() if one is Verdict.EQUIVALENT}),
        undecided=groups(order, undecided),
        needed=fewest if few else None,
    )


def _superior(
    order: Sequence[Label], verdicts: Mapping[Pair, Verdict], differences: Mapping[Pair, float]
) -> tuple[Superior, ...]:
    """Who is better than whom; values that are better than the same others are one entry."""
    losers: dict[Label, tuple[Label, ...]] = {}
    for value in order:
        worse = [b for (a, b), one in verdicts.items() if a == value and one is Verdict.BETTER]
        worse += [a for (a, b), one in verdicts.items() if b == value and one is Verdict.WORSE]
        if worse:
            losers[value] = tuple(sorted(worse, key=order.index))
    found = []
    for than in dict.fromkeys(losers.values()):
        values = tuple(value for value in losers if losers[value] == than)
        among = {frozenset((winner, loser)) for winner in values for loser in than}
        sizes = [abs(difference) for pair, difference in differences.items() if frozenset(pair) in among]
        found.append(Superior(values, than, min(sizes), max(sizes)))
    return tuple(found)


def groups(order: Sequence[Label], pairs: Collection[Pair]) -> tuple[tuple[Label, ...], ...]:
    """The largest groups of values of which every two are among the pairs, in the given order.

    Source: Bron & Kerbosch 1973, Algorithm 457: Finding All Cliques of an Undirected Graph
    """
    near = {value: {b for pair in pairs if value in pair for b in pair if b != value} for value in order}
    found: list[tuple[Label, ...]] = []

    def extend(group: set[Label], candidates: set[Label], used: set[Label]) -> None:
        if not candidates and not used and len(group) > 1:
            found.append(tuple(sorted(group, key=order.index)))
        for value in sorted(candidates, key=order.index):
            extend(group | {value}, candidates & near[value], used & near[value])
            candidates, used = candidates - {value}, used | {value}

    extend(set(), set(order), set())
    return tuple(found)


def _alignment(aligned: Results, block: Block) -> dict[Label, float]:
    return {value: fmean(runs.values()) for (value, of), runs in aligned.items() if of == block}


def lines(words: Iterable[Words], metric: str) -> list[str]:
    """The sentences about each setting, below a line with its name and the means of all values."""
    about = metric_of(metric)
    written = []
    for one in words:
        means = [f"{text(s.value)} {about.show(s.mean)}{_error(s.alignment_error)}" for s in one.standings]
        written.append(f"{one.name}: {' · '.join(means)}")
        for superior in one.superior:
            verb = "are" if len(superior.values) > 1 else "is"
            by = _range(superior, about.decimals)
            written.append(f"  {listed(superior.values)} {verb} better than {listed(superior.than)}, by {by}")
        written += [f"  equivalent within ±{about.margin:g}: {listed(group)}" for group in one.equivalent]
        if one.needed is not None:
            written.append(f"  too few seeds to tell any of them apart: {one.needed} or more can")
        elif one.undecided:
            written.append(f"  cannot be told apart: {'; '.join(map(listed, one.undecided))}")
    return written


def _error(alignment_error: float | None) -> str:
    return "" if alignment_error is None else f" (alignment error {alignment_error:.2f})"


def _range(superior: Superior, decimals: int) -> str:
    low, high = f"{superior.low:.{decimals}f}", f"{superior.high:.{decimals}f}"
    return low if low == high else f"{low} to {high}"
