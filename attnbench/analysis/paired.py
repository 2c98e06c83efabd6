"""Paired comparison of two configurations over shared seeds: tests, interval, and correction for several."""

import math
from bisect import bisect_left
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TypeVar

import numpy as np

from attnbench.analysis.stats import Array, Estimate, Values, estimate

Key = TypeVar("Key", bound=Hashable)

ALPHA = 0.05
POWER = 0.8
# Sums of signs that are equal up to rounding count as equal; relative to the largest possible sum.
ROUNDING = 1e-9
MAX_EXACT = 30  # pairs; 2^n sums in two halves of 2^(n/2) take 2 ms here and 300 ms with 40; beyond, signs are sampled
SAMPLES = 99_999


@dataclass(frozen=True)
class Paired:
    """The comparison of a with b over n pairs.

    Attributes:
        difference: the mean of a − b.
        low, high: the ends of its 95 % interval; None where the pairs do not determine one.
        p: of the exact two-sided sign-flip test of the mean difference.
        smallest_p: the smallest p that the test can reach with this number of differing pairs.
        p_equivalent: of the two one-sided tests that the difference lies within ±margin; 1 without a margin.
        n: the number of pairs.
    """

    difference: float
    low: float | None
    high: float | None
    p: float
    smallest_p: float
    p_equivalent: float
    n: int


def paired(differences: Values, margin: float | None = None, interval: bool = True) -> Paired:
    """Compares a with b by their differences on the same seeds.

    The test flips the signs of the differences: where a and b are exchangeable, each of the 2^n sign patterns is
    equally likely, and p is the share of patterns with a mean at least as far from 0 as the observed one. It tests the
    mean, which is also what is printed, and it is exact for every n up to MAX_EXACT, with ties and zeros. Pairs without
    a difference do not change p, and are not counted for the smallest p.

    The two one-sided tests do the same with the differences shifted by ±margin.

    Args:
        differences: a − b of each pair, at least one.
        margin: differences of the mean smaller than this do not matter; None for no test of equivalence.
        interval: whether to compute the 95 % interval of `stats.estimate`.

    Raises:
        ValueError: without a pair.

    Source: Fisher 1935, The Design of Experiments, §21 (sign flips); Schuirmann 1987 (two one-sided tests)
    """
    values = np.asarray(differences, dtype=float)
    if not len(values):
        raise ValueError("a comparison needs at least one pair")
    found = estimate(values) if interval else Estimate(float(np.mean(values)), None, None, len(values))
    above, below = sign_flip_tails(values)
    equivalent = 1.0
    if margin is not None:
        # Both must hold: the mean is above −margin, and it is below +margin.
        equivalent = max(sign_flip_tails(shifted(values, margin))[0], sign_flip_tails(shifted(values, -margin))[1])
    differing = int(np.count_nonzero(_rounded(values)))
    p = min(1.0, 2 * min(above, below))
    return Paired(found.value, found.low, found.high, p, smallest_p(differing), equivalent, len(values))


def shifted(differences: Array, by: float) -> Array:
    """The differences plus a number; what is 0 up to rounding is 0, also if all are.

    A difference of exactly the margin, such as .82 − .80 and .02, lies neither above nor below it.
    """
    values = differences + by
    return np.where(np.abs(values) <= ROUNDING * np.maximum(np.abs(differences), abs(by)), 0.0, values)


def sign_flip_tails(differences: Values) -> tuple[float, float]:
    """P(S ≥ s) and P(S ≤ s) for the sum S of the differences with random signs, and the observed sum s."""
    values = _rounded(np.asarray(differences, dtype=float))
    values = values[values != 0]
    if not len(values):
        return 1.0, 1.0
    observed, sizes = values.sum(), np.abs(values)
    tolerance = ROUNDING * sizes.sum()
    if len(values) > MAX_EXACT:
        return _sampled_tails(sizes, observed, tolerance)
    # All sums of one half are compared with all sums of the other: 2^(n/2) searches instead of 2^n sums. Searching for
    # sorted ones takes half the time.
    middle = len(sizes) // 2
    first, second = np.sort(_all_sums(sizes[:middle])), np.sort(_all_sums(sizes[middle:]))
    at_least = len(second) - np.searchsorted(second, observed - tolerance - first, "left")
    at_most = np.searchsorted(second, observed + tolerance - first, "right")
    patterns = 2.0 ** len(sizes)
    return float(at_least.sum() / patterns), float(at_most.sum() / patterns)


def smallest_p(pairs: int) -> float:
    """The smallest two-sided p of a sign-flip test with this number of differing pairs: all of one sign."""
    return min(1.0, 2.0 ** (1 - pairs))


def fewest_pairs(alpha: float = ALPHA) -> int:
    """The number of pairs from which a two-sided sign-flip test can reach alpha: 6 for 0.05."""
    return math.ceil(1 - math.log2(alpha))


def corrected(comparisons: Sequence[Paired]) -> list[Paired]:
    """The comparisons with p and p_equivalent corrected by `holm`, each as a family of its own.

    The smallest p becomes the smallest corrected p that the comparison could reach, with the other p as they are. With
    6 pairs (.03125) and 7 comparisons it may be above alpha, and then no verdict is given.
    """
    given = [comparison.p for comparison in comparisons]
    adjusted, equivalent = holm(given), holm([comparison.p_equivalent for comparison in comparisons])
    reachable = holm_of_one(given, [comparison.smallest_p for comparison in comparisons])
    return [
        replace(comparison, p=p, smallest_p=least, p_equivalent=same)
        for comparison, p, least, same in zip(comparisons, adjusted, reachable, equivalent, strict=True)
    ]


def compared_with(
    reference: Key,
    keys: Sequence[Key],
    differences: Callable[[Key, Key], Sequence[float]],
    margin: float | None,
    chosen: bool,
    interval: bool = True,
) -> dict[Key, Paired]:
    """Every other key compared with the reference, corrected for the number of comparisons.

    A reference that was chosen for its values, as the best of a column is, has been compared with all the others
    before, so then the family is all pairs of keys. A correction for the keys minus one would give a false verdict in
    10 to 20 % of tables (6 to 24 keys without any difference).

    Args:
        reference: one of the keys.
        keys: what is compared.
        differences: of two keys on their shared seeds, in the order of the seeds; none where they share no seed.
        margin: of `paired`.
        chosen: whether the reference was chosen for its values.
        interval: of `paired`.

    Returns:
        The comparisons of the keys that share a seed with the reference.
    """
    others = [key for key in keys if key != reference]
    wanted = {key: values for key in others if (values := differences(key, reference))}
    found = {key: paired(values, margin, interval) for key, values in wanted.items()}
    more: list[Paired] = []
    if chosen:
        pairs = ((a, b) for place, a in enumerate(others) for b in others[place + 1 :])
        more = [paired(values, margin, interval=False) for a, b in pairs if (values := differences(a, b))]
    return dict(zip(found, corrected([*found.values(), *more]), strict=False))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values in the given order; rejecting those at most alpha keeps the familywise error at alpha.

    Source: Holm 1979, A Simple Sequentially Rejective Multiple Test Procedure
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, reached = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        reached = max(reached, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = reached
    return adjusted


def holm_of_one(p_values: Sequence[float], others: Sequence[float]) -> list[float]:
    """For each p-value what `holm` makes of the other one in its place, with all the rest as they are."""
    # All at once: a call of `holm` for each takes a time that grows with the square of their number.
    count, ordered = len(p_values), sorted(p_values)
    below = [0.0, *accumulate((min(1.0, (count - rank) * p) for rank, p in enumerate(ordered)), max)]
    return [
        # The larger ones, among which the replaced one is, do not matter.
        max(below[rank := bisect_left(ordered, other)], min(1.0, (count - rank) * other))
        if other <= p
        else holm([*p_values[:place], other, *p_values[place + 1 :]])[place]
        for place, (p, other) in enumerate(zip(p_values, others, strict=True))
    ]


def mean_ranks(table: Sequence[Values] | Array, better: int = 1) -> list[float]:
    """The average rank of each competitor over blocks; 1 is the best, and ties get the mean of their ranks.

    Args:
        table: (blocks, competitors); a block is one setting with one seed, which all competitors have.
        better: 1 where higher values are better, −1 where lower ones are.

    Raises:
        ValueError: when a value is NaN, since such a block has no ranks.

    Source: Demšar 2006, Statistical Comparisons of Classifiers over Multiple Data Sets, §3.2.2
    """
    from scipy.stats import rankdata

    values = np.asarray(table, dtype=float)
    if np.isnan(values).any():
        raise ValueError("a block with a missing value has no ranks")
    return [float(rank) for rank in rankdata(-better * values, axis=1).mean(axis=0)]


def seeds_needed(differences: Values, alpha: float = ALPHA, power: float = POWER) -> int | None:
    """The number of pairs with which the test finds a difference like this one with the given power.

    The sign-flip test has nearly the power of the paired t test, which is computed from the mean and the standard
    deviation of the differences; but it needs `fewest_pairs(alpha)`. From few pairs the standard deviation is itself
    uncertain, and so is the result. None where the mean difference is 0, or there is a single pair.

    Args:
        differences: of the pairs.
        alpha: the level of one test; for m comparisons, .05/m.
        power: the probability of finding the difference.

    Source: Cohen 1988, Statistical Power Analysis, §2; simulated in benchmarks/simulate_statistics.py
    """
    from scipy.stats import nct, t

    values = np.asarray(differences, dtype=float)
    least = fewest_pairs(alpha)
    mean = abs(float(values.mean()))
    deviation = float(values.std(ddof=1)) if len(values) > 1 else math.nan
    if math.isnan(deviation) or mean <= ROUNDING * float(np.abs(values).max(initial=0.0)):
        return None
    if deviation <= ROUNDING * mean:
        return least
    effect, limit = mean / deviation, 1_000_000

    def found(n: int) -> bool:
        critical = t.isf(alpha / 2, n - 1)
        return bool(nct.sf(critical, n - 1, effect * math.sqrt(n)) >= power)

    high = least
    while not found(high):
        if high > limit:
            return None
        high *= 2
    low = max(least, high // 2)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if found(middle) else (middle + 1, high)
    return high


def _rounded(values: Array) -> Array:
    """The values, with those that are 0 up to rounding set to 0."""
    largest = np.abs(values).max(initial=0.0)
    return np.where(np.abs(values) <= ROUNDING * largest, 0.0, values)


def _all_sums(sizes: Array) -> Array:
    """The 2^n sums of n sizes with every pattern of signs."""
    sums = np.zeros(1)
    for size in sizes:
        sums = np.concatenate([sums - size, sums + size])
    return sums


def _sampled_tails(sizes: Array, observed: float, tolerance: float) -> tuple[float, float]:
    """The tails from random signs; the observed pattern counts as one of them, so that p is never 0."""
    random = np.random.default_rng(0)
    at_least = at_most = 0
    for _ in range(9):
        signs = random.integers(0, 2, size=(SAMPLES // 9, len(sizes)), dtype=np.int8)
        sums = (2.0 * signs - 1) @ sizes
        at_least += int((sums >= observed - tolerance).sum())
        at_most += int((sums <= observed + tolerance).sum())
    return (at_least + 1) / (SAMPLES + 1), (at_most + 1) / (SAMPLES + 1)
