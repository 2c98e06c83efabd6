"""One cell of a comparison table: a statistic over the seeds, its interval, and how it compares with the best."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from attnbench.analysis.paired import ALPHA, Verdict, corrected, fewest_pairs, paired, verdict
from attnbench.analysis.stats import Estimate, Statistic, estimate, learned
from attnbench.metrics import Metric, metric_of

Seeds = dict[Hashable, float]  # seed -> value, for the seeds that have a value
Key = TypeVar("Key", bound=Hashable)

# The number of seeds from which the interval of `stats.estimate` can be narrower than their range.
FEWEST: dict[Statistic, int] = {"mean": 5, "iqm": 6, "median": 8}


@dataclass(frozen=True)
class TableCell:
    """One cell of a table. Without a value (n = 0) the numbers are None.

    Attributes:
        mean: the mean, or the requested statistic.
        low, high: the ends of its interval; None where n is below 2.
        n, of, failed: the number of seeds with a value, of finished seeds, and of failed seeds.
        learned: the number of the n seeds that learned their task; None where the metric has no such threshold.
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


@dataclass(frozen=True)
class TooFew:
    """No row of a table can be distinguished from the best of its column, given this number of seeds and rows."""

    seeds: int
    rows: int

    @property
    def needed(self) -> int:
        """The number of seeds with which any row can be distinguished from the best, whatever the other rows are."""
        return fewest_pairs(ALPHA / (self.rows - 1))


def summarise(seeds: Seeds, of: int, failed: int, metric: str, statistic: Statistic) -> TableCell:
    """One cell, from the values of its seeds."""
    values = list(seeds.values())
    if not values:
        return TableCell(None, None, None, 0, of, failed)
    found = _estimate(values, statistic)
    threshold = metric_of(metric).learned_at
    reached = None if threshold is None else learned(values, threshold)
    return TableCell(found.value, found.low, found.high, found.n, of, failed, reached)


def _estimate(values: Sequence[float], statistic: Statistic) -> Estimate:
    """`stats.estimate`, without resampling (and without loading scipy) where the interval of a mean is the range."""
    low, high = min(values), max(values)
    if statistic != "mean" or len(values) == 1 or not (low == high or len(values) < FEWEST["mean"]):
        return estimate(values, statistic)
    mean = low if low == high else float(np.mean(np.sort(values)))
    return Estimate(mean, low, high, len(values))


def compared_to_best(
    cells: Mapping[Key, TableCell], seeds: Mapping[Key, Seeds], metric: Metric
) -> tuple[dict[Key, TableCell], TooFew | None]:
    """The cells of a column with the best marked, and with the comparison of every other cell with the best.

    A cell with a value for only some of its seeds cannot be the best: the missing seeds failed or did not get there. It
    is still compared, over the seeds that both cells have.

    Args:
        cells: of one column and one task, so that they can be compared.
        seeds: the values of each cell.
        metric: that is compared.

    Returns:
        The cells; and TooFew where no cell can be distinguished from the best, whatever the values.
    """
    candidates = {key: cell.mean for key, cell in cells.items() if cell.mean is not None and cell.n == cell.of}
    if not metric.better or len(candidates) < 2:
        return dict(cells), None
    best = max(candidates, key=lambda key: metric.better * candidates[key])
    verdicts = _verdicts(seeds, best, metric.better)
    shown = {key: metric.show(cell.mean) for key, cell in cells.items() if cell.mean is not None}
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


def _verdicts(seeds: Mapping[Key, Seeds], best: Key, better: int) -> dict[Key, Verdict]:
    """The verdict of every other cell against the best, paired by seed and corrected for the number of cells.

    Cells that share no seed with the best are left out.
    """
    shared = {key: [seed for seed in own if seed in seeds[best]] for key, own in seeds.items() if key != best}
    shared = {key: both for key, both in shared.items() if both}
    # No values can lead to a verdict then, and scipy need not be loaded.
    if all(len(both) < fewest_pairs() for both in shared.values()):
        return dict.fromkeys(shared, Verdict.INCONCLUSIVE)
    pairs = ([[seeds[one][seed] for seed in both] for one in (key, best)] for key, both in shared.items())
    found = corrected([paired(own, other) for own, other in pairs])
    return {key: verdict(one, better=better) for key, one in zip(shared, found, strict=True)}
