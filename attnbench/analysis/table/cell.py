"""One cell of a comparison table: a statistic over the seeds, its interval, and how it compares with the best."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TypeVar

import numpy as np

from attnbench.analysis.learned import LEARNED_AT, in_two_groups
from attnbench.analysis.paired import ALPHA, compared_with, fewest_pairs
from attnbench.analysis.stats import Estimate, Statistic, estimate
from attnbench.analysis.verdict import Verdict, verdict
from attnbench.metrics import Metric

Seeds = dict[Hashable, float]  # seed -> value


@dataclass
class SeedResults:
    """The results of the seeds of one cell.

    Attributes:
        values: of the seeds that have a value; where seeds of one pack share one measurement, only one of them.
        missing: the seeds that count as the worst in comparisons: those that failed, or did not get there.
        of, failed: the number of finished seeds, and of those that failed.
        accuracy: by which the seeds learned their task or not, 0 for those that failed; empty where this is not known.
    """

    values: Seeds = field(default_factory=dict)
    missing: set[Hashable] = field(default_factory=set)
    of: int = 0
    failed: int = 0
    accuracy: Seeds = field(default_factory=dict)

    def compared(self, worst: float) -> Seeds:
        """The values for comparisons, with `worst` for the missing seeds."""
        return self.values | dict.fromkeys(self.missing, worst)

    def learned(self) -> int | None:
        """The number of seeds that learned their task; None where this is not known."""
        return sum(value >= LEARNED_AT for value in self.accuracy.values()) if self.accuracy else None

    def two_groups(self) -> bool:
        """Whether some seeds learned and some did not, with a wide gap between them."""
        return in_two_groups(list(self.accuracy.values()))


Key = TypeVar("Key", bound=Hashable)

# The number of seeds from which the interval of `stats.estimate` can be narrower than their range.
FEWEST: dict[Statistic, int] = {"mean": 5, "iqm": 6, "median": 8}


@dataclass(frozen=True)
class TableCell:
    """One cell of a table. Without a value (n = 0) the numbers are None.

    Attributes:
        mean: the mean, or the requested statistic.
        low, high: the ends of its interval; None where n is below 2, or the seeds fall into two groups: no interval of
            a few seeds covers the mean of two groups as often as it states.
        n, of, failed: the number of seeds with a value, of finished seeds, and of failed seeds.
        learned, learned_of: of how many seeds it is known whether they learned their task, and how many of them did;
            None and 0 where this is not known. Seeds that failed did not learn.
        two_groups: whether some seeds learned and some did not, with a wide gap between them.
        best: whether it is printed as the best of its column; never where all cells print the same value.
        verdict: how it compares with the best of its column. BEST for every cell that prints the same value as the best
            and was not found worse; None where nothing was compared.
        beyond: whether its test length is longer than the trained lengths.
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int
    of: int
    failed: int
    learned: int | None = None
    best: bool = False
    verdict: Verdict | None = None
    beyond: bool = False
    two_groups: bool = False
    learned_of: int = 0


@dataclass(frozen=True)
class TooFew:
    """No row of a table can be distinguished from the best of its column, given this number of seeds and rows."""

    seeds: int
    rows: int

    @property
    def needed(self) -> int:
        """The number of seeds with which any row can be distinguished from the best, whatever the other rows are."""
        return fewest_pairs(ALPHA / comparisons(self.rows))


def comparisons(rows: int) -> int:
    """The number of pairs among the rows, all of which count when the best row is chosen from them."""
    return rows * (rows - 1) // 2


def summarise(seeds: SeedResults, metric: Metric, statistic: Statistic) -> TableCell:
    """One cell, from the results of its seeds."""
    values = list(seeds.values.values())
    if not values:
        return TableCell(None, None, None, 0, seeds.of, seeds.failed)
    found = _estimate(values, statistic)
    of = len(values) if metric.per_pack else seeds.of
    no_interval = seeds.two_groups() or metric.per_pack
    low, high = (None, None) if no_interval else (found.low, found.high)
    return TableCell(
        found.value,
        low,
        high,
        found.n,
        of,
        seeds.failed,
        seeds.learned(),
        two_groups=seeds.two_groups(),
        learned_of=len(seeds.accuracy),
    )


def _estimate(values: Sequence[float], statistic: Statistic) -> Estimate:
    """`stats.estimate`, without resampling (and without loading scipy) where the interval of a mean is the range."""
    low, high = min(values), max(values)
    if statistic != "mean" or len(values) == 1 or not (low == high or len(values) < FEWEST["mean"]):
        return estimate(values, statistic)
    mean = low if low == high else float(np.mean(np.sort(values)))
    return Estimate(mean, low, high, len(values))


def compared_to_best(
    cells: Mapping[Key, TableCell], results: Mapping[Key, SeedResults], metric: Metric, resolution: float
) -> tuple[dict[Key, TableCell], TooFew | None]:
    """The cells of a column with the best marked, and with the comparison of every other cell with the best.

    Seeds without a value failed or did not get there. They count as the worst possible result, in the choice of the
    best as in the comparisons, as `attnbench compare` does.

    Args:
        cells: of one column and one task, so that they can be compared.
        results: the seeds of each cell.
        metric: that is compared.
        resolution: of `paired.verdict`.

    Returns:
        The cells; and TooFew where no cell can be distinguished from the best, whatever the values.
    """
    seeds = {key: found for key in cells if (found := results[key].compared(_worst(results, metric)))}
    candidates = {
        key: cell.mean if cell.n == cell.of else float(np.mean(list(seeds[key].values())))
        for key, cell in cells.items()
        if cell.mean is not None
    }
    if not metric.better or len(candidates) < 2:
        return dict(cells), None
    best = max(candidates, key=lambda key: metric.better * candidates[key])
    verdicts = _verdicts(seeds, best, metric, resolution)
    shown = {key: metric.show(value) for key, value in candidates.items()}
    alike = {key for key in candidates if shown[key] == shown[best] and verdicts.get(key) != Verdict.WORSE}
    mark = len(alike) < len(shown)
    marked = {
        key: replace(cell, best=mark and key in alike, verdict=Verdict.BEST if key in alike else verdicts.get(key))
        for key, cell in cells.items()
    }
    most = max((len(seeds[key].keys() & seeds[best].keys()) for key in verdicts), default=0)
    too_few = TooFew(most, len(verdicts) + 1)
    none_can_tell = set(verdicts.values()) == {Verdict.INCONCLUSIVE} and most < too_few.needed
    return marked, too_few if none_can_tell else None


def _worst(results: Mapping[Key, SeedResults], metric: Metric) -> float:
    return metric.worst(value for seeds in results.values() for value in seeds.values.values())


def _pairs_of_cells(seeds: Mapping[Key, Seeds]) -> int:
    """The number of pairs of cells that share a seed."""
    groups = Counter(frozenset(own) for own in seeds.values() if own)
    within = sum(number * (number - 1) // 2 for number in groups.values())
    return within + sum(n * m for (one, n), (other, m) in combinations(groups.items(), 2) if one & other)


def _verdicts(seeds: Mapping[Key, Seeds], best: Key, metric: Metric, resolution: float) -> dict[Key, Verdict]:
    """The verdict of every other cell against the best, paired by seed and corrected for all pairs of cells.

    Cells that share no seed with the best are left out.
    """
    shared = {key: len(own.keys() & seeds[best].keys()) for key, own in seeds.items() if key != best}
    # No values can lead to better or worse then, and to equivalent only with the seeds that one pair needs: most
    # tables of few seeds need no test.
    if all(pairs < FEWEST["mean"] for pairs in shared.values()):
        return {key: Verdict.INCONCLUSIVE for key, pairs in shared.items() if pairs}
    # Likewise if the correction for the number of comparisons makes even the smallest p too large. A large table has
    # millions of pairs of cells, and would take hours.
    if _pairs_of_cells(seeds) * 2.0 ** -max(map(len, seeds.values())) > ALPHA:
        return {key: Verdict.INCONCLUSIVE for key, pairs in shared.items() if pairs}

    def differences(a: Key, b: Key) -> list[float]:
        return [value - seeds[b][seed] for seed, value in seeds[a].items() if seed in seeds[b]]

    found = compared_with(best, list(seeds), differences, metric.margin, chosen=True)
    return {key: verdict(one, better=metric.better, resolution=resolution) for key, one in found.items()}
