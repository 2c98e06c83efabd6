"""What chance does to the results of a check: the typical spread of a metric, and seeds that fail to learn."""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from statistics import fmean

from attnbench.analysis.gate.allowances import ALLOWANCES
from attnbench.analysis.gate.baseline import BaselineRow
from attnbench.analysis.gate.judge import ENOUGH, NOISE, learned, stdev
from attnbench.metrics import metric_of

# The probability that a check of unchanged code fails by the floor. Its noise is nearly the same in all metrics of a
# configuration.
FLOOR_ALARMS = 0.01
# The probability that more seeds than are spared fail to learn by chance, over all configurations together.
FAILED_BY_CHANCE = 0.007
# A seed fails to learn with a probability estimated from the baseline's seeds and this many more, of which half a seed
# failed: about 3 % without any data.
PRIOR_FAILURES, PRIOR_SEEDS = 0.5, 17


class Chances:
    """The variation that the baseline shows over all its rows: too few seeds of one row show it."""

    def __init__(self, rows: Sequence[BaselineRow]) -> None:
        self.values: dict[str, list[dict[int, float]]] = {}
        for row in rows:
            finite = {seed: value for seed, value in row.values.items() if math.isfinite(value)}
            self.values.setdefault(row.metric, []).append(finite)
        self.typical = cache(self._typical)
        # Where no seed learned, the task is hard or the training short: that is not a seed that fails by chance.
        self.failures = {
            row.configuration: (len(row.values) - count, len(row.values))
            for row in rows
            if row.metric == "exact_match" and (count := learned(list(row.values.values())))
        }
        self.failed = sum(failed for failed, _ in self.failures.values())
        self.seeds = sum(seeds for _, seeds in self.failures.values())
        self.level = FAILED_BY_CHANCE / max(len(self.failures or {row.configuration for row in rows}), 1)

    def _typical(self, metric: str, seeds: int) -> float:
        return typical_spread(metric, self.values[metric], seeds)

    def spared(self, row: BaselineRow, run: int) -> int:
        """The number of a run's worst seeds that may have failed to learn by chance."""
        own = self.failures.get(row.configuration, (0, 0))
        missing = sum(not math.isfinite(value) for value in row.values.values())
        own = max(own, (missing, len(row.values)))
        return spared_seeds(self.failed, self.seeds, own, run, self.level)


def noise_of_floor(rows: int) -> float:
    """The probability of a false alarm by the floor in each of this number of rows."""
    return min(NOISE, FLOOR_ALARMS / rows)


def typical_spread(metric: str, rows: Sequence[Mapping[int, float]], seeds: int) -> float:
    """The typical seed standard deviation of a metric's rows, in the unit of its allowance; 0 without one.

    It is the median; with few seeds the 85th percentile, because the row itself then hardly shows how much it varies.
    """
    relative = ALLOWANCES[metric_of(metric).name].relative
    spreads = [stdev(list(row.values())) / (fmean(row.values()) if relative else 1) for row in rows if len(row) > 1]
    share = 0.5 if seeds >= ENOUGH else 0.85
    return sorted(spreads)[int(share * len(spreads))] if spreads else 0.0


def spared_seeds(failures: int, seeds: int, own: tuple[int, int], run: int, level: float) -> int:
    """The number of seeds of a run that may fail to learn by chance; at most all but one.

    It is the smallest number that is exceeded with a probability of at most `level`, where each seed fails with the
    probability estimated from the baseline: from all its seeds, or from those of the configuration if more of them
    failed.

    Args:
        failures: number of the baseline's seeds that did not learn, over all configurations.
        seeds: number of the baseline's seeds, over all configurations.
        own: likewise of this configuration.
        run: number of the run's seeds.
        level: of the check, shared over its configurations.
    """
    p = (failures + PRIOR_FAILURES) / (seeds + PRIOR_SEEDS)
    if own[0]:
        p = max(p, (own[0] + 0.5) / (own[1] + 1))
    tail = 1.0
    for count in range(run - 1):
        tail -= math.comb(run, count) * p**count * (1 - p) ** (run - count)
        if tail <= level:
            return count
    return max(run - 1, 0)
