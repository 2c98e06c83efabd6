"""The decision on the values of an axis at one setting of the others: what is settled, and who needs more seeds."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Generic, TypeVar

import numpy as np

from attnbench.analysis.decide import boundaries
from attnbench.analysis.decide.boundaries import nominal_levels
from attnbench.analysis.decide.sequential import Answer, Settled, open_pairs, settle
from attnbench.analysis.paired import ALPHA, POWER, ROUNDING, Paired, paired, smallest_p
from attnbench.analysis.stats import Array, Values

Value = TypeVar("Value", bound=Hashable)


@dataclass(frozen=True)
class PairVerdict(Generic[Value]):
    """The verdict on a pair of values, about a.

    Attributes:
        a, b: the values.
        verdict: of the first look that settled the pair, else of the last complete one.
        seeds: the number of seeds of that look; 0 before the first one.
        comparison: of a with b on these seeds: mean difference, 95 % interval, p and p_equivalent, all as of a single
            comparison at a number of seeds fixed beforehand: not corrected for the other pairs, nor for stopping early.
            None before the first look, where the pair cannot be compared, and where `decide` was not asked to compare.
        level, level_equivalent: what p and p_equivalent had to be at that look, were the differences normal; the test
            is exact for others too, and its level may be slightly different. 0 before the first look, and where the
            pair cannot be compared.
        smallest: for an undecided pair, the smallest difference that the test would find with a power of .8, by the
            standard deviation of the pair's differences (`smallest_difference`).
    """

    a: Value
    b: Value
    verdict: Answer
    seeds: int
    comparison: Paired | None
    level: float
    level_equivalent: float
    smallest: float | None


@dataclass(frozen=True)
class Decision(Generic[Value]):
    """What is known after the looks that are complete.

    Attributes:
        looks: the numbers of seeds at which pairs are tested.
        pairs: all pairs (a, b) of values in the given order, a before b.
        wanted: of each value, how many seeds it needs in all, from the first on: those of the next look, or, where all
            its pairs are settled, those of the look that settled the last one.
        look: the number of complete looks.
        finished: whether no value needs more seeds than it has.
    """

    looks: tuple[int, ...]
    pairs: dict[tuple[Value, Value], PairVerdict[Value]]
    wanted: dict[Value, int]
    look: int
    finished: bool


def decide(
    values: Mapping[Value, Sequence[float | None]],
    margin: float,
    better: int,
    at_least: int,
    at_most: int,
    resolution: float = 0.0,
    compare: bool = True,
) -> Decision[Value]:
    """Compares all values of an axis with each other at one setting of the other axes; see `sequential.settle`.

    The result is determined by the first seeds of each value, up to the last look that all values with an open pair
    have reached. A verdict stays as it is, whatever seeds are added; a run that was interrupted makes the same looks.

    Args:
        values: of the metric, by value of the axis, in the order of the seeds, which all values share; up to the first
            seed without a result (`in_order`). They may differ in length. A seed that failed has the metric's worst
            value; None or NaN is a seed without a value, whose pairs cannot be compared.
        margin: of the metric, above 0; smaller differences do not matter.
        better: 1 where higher values of the metric are better, −1 where lower ones are.
        at_least, at_most: the numbers of seeds that the user allows.
        resolution: smaller differences of the mean are neither better nor worse, e.g. those of one test sentence.
        compare: whether to compute the comparisons, which are for people: what is decided does not depend on them, and
            from 31 seeds on each takes half a second, as its p is sampled.

    Raises:
        ValueError: for fewer than two values, a margin that is not above 0, an infinite value of the metric, or where
            at_least is above at_most.
    """
    arrays = {value: _finite_or_nan(value, found) for value, found in values.items()}
    keys = list(combinations(arrays, 2))
    if not keys or not margin > 0:
        raise ValueError(f"a decision needs two values or more and a margin above 0, not {len(arrays)} and {margin}")
    looks = boundaries.looks(len(keys), at_least, at_most)
    differences = {(a, b): _differences(arrays[a], arrays[b]) for a, b in keys}
    found = settle(differences, looks, margin, better, resolution=resolution)
    verdicts = {pair: _verdict(pair, found[pair], differences[pair], looks, margin, compare) for pair in keys}
    left = open_pairs(found)
    reached = max(one.seeds for one in found.values())
    look = looks.index(reached) + 1 if reached else 0
    wanted = {
        value: looks[look]
        if any(value in pair for pair in left)
        else max(found[pair].seeds for pair in keys if value in pair)
        for value in arrays
    }
    return Decision(looks, verdicts, wanted, look, not left)


def in_order(results: Mapping[int, float | None], seeds: Sequence[int]) -> list[float | None]:
    """The results of the first seeds, up to the first seed that has none yet."""
    found: list[float | None] = []
    for seed in seeds:
        if seed not in results:
            break
        found.append(results[seed])
    return found


def smallest_difference(differences: Values, level: float, power: float = POWER) -> float | None:
    """The mean difference that one test of this number of pairs finds with the given power, if they vary as these do.

    Of the paired t test, whose power the sign-flip test nearly has. None where no pairs could give a p of this level.

    Args:
        differences: of the pairs.
        level: of the two-sided test.
        power: the probability of finding the difference.

    Source: Cohen 1988, Statistical Power Analysis, §2
    """
    values = np.asarray(differences, dtype=float)
    if len(values) < 2 or smallest_p(len(values)) > level:
        return None
    return float(values.std(ddof=1)) * _smallest_effect(len(values), level, power)


def excluded_failure_rate(seeds: int, alpha: float = ALPHA) -> float:
    """The rate of failing seeds above which this number of seeds shows a failure with the probability 1 − alpha.

    No test can know of a failure that no seed showed. 12 seeds without a failure exclude, with 95 % confidence, that
    more than 22 % of seeds fail, and 30 seeds that more than 9.5 % do; a score that fails in 2 % of seeds shows none in
    12 seeds with a probability of .78. So `equivalent` does not exclude rarer failures.

    Source: Clopper & Pearson 1934, The Use of Confidence or Fiducial Limits (no events of n)
    """
    return float(1 - alpha ** (1 / seeds))


def _finite_or_nan(value: Hashable, found: Sequence[float | None]) -> Array:
    array = np.array([math.nan if one is None else one for one in found], dtype=float)
    if np.isinf(array).any():
        raise ValueError(f"{value}: an infinite value of the metric has no mean; a failed seed needs a finite one")
    return array


def _differences(a: Array, b: Array) -> Array:
    """a − b on the seeds that both have; 0 where they are equal up to rounding."""
    n = min(len(a), len(b))
    values = a[:n] - b[:n]
    return np.where(np.abs(values) <= ROUNDING * np.maximum(np.abs(a[:n]), np.abs(b[:n])), 0.0, values)


def _verdict(
    pair: tuple[Value, Value],
    found: Settled,
    differences: Array,
    looks: tuple[int, ...],
    margin: float,
    compare: bool,
) -> PairVerdict[Value]:
    if not found.seeds or found.answer is Answer.NOT_COMPARABLE:
        return PairVerdict(*pair, found.answer, found.seeds, None, 0.0, 0.0, None)
    first, place = differences[: found.seeds], looks.index(found.seeds)
    level = nominal_levels(looks, found.share, 2)[place]
    level_equivalent = nominal_levels(looks, found.share_equivalent, 1)[place]
    smallest = smallest_difference(first, level) if found.answer is Answer.UNDECIDED else None
    comparison = _compared(first.tobytes(), margin) if compare else None
    return PairVerdict(*pair, found.answer, found.seeds, comparison, level, level_equivalent, smallest)


@lru_cache(maxsize=10_000)
def _compared(differences: bytes, margin: float) -> Paired:
    # Kept, since a decision is made anew whenever a result arrives, and each interval takes ten milliseconds.
    return paired(np.frombuffer(differences), margin)


@lru_cache(maxsize=1_000)
def _smallest_effect(n: int, level: float, power: float) -> float:
    """In standard deviations."""
    from scipy.optimize import brentq
    from scipy.stats import nct, t

    critical = t.isf(level / 2, n - 1)
    return float(brentq(lambda effect: nct.sf(critical, n - 1, effect * math.sqrt(n)) - power, 0.0, 100.0))
