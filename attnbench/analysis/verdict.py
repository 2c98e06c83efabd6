"""The verdict of a statistical comparison: better, worse, equivalent, no difference found, or inconclusive."""

from enum import StrEnum

from attnbench.analysis.paired import ALPHA, ROUNDING, Paired


class Verdict(StrEnum):
    """The outcome of a statistical comparison; the only words for it in tables, CSV, JSON and the report."""

    BEST = "best"  # the reference itself, or what cannot be distinguished from it by its printed value
    BETTER = "better"
    WORSE = "worse"
    EQUIVALENT = "equivalent"  # the difference is smaller than the margin
    NO_DIFFERENCE = "no difference found"
    INCONCLUSIVE = "inconclusive"  # too few seeds: no values could have led to better or worse


def verdict(comparison: Paired, alpha: float = ALPHA, better: int = 1, resolution: float = 0.0) -> Verdict:
    """The verdict about a, from a comparison of a with b.

    BETTER and WORSE need a p of at most alpha, an interval that excludes 0, and a difference of at least the
    resolution. EQUIVALENT needs p_equivalent of at most alpha. A difference may be both: it is there, and it is smaller
    than the margin. Then the verdict is BETTER or WORSE, and `within_margin` is true. Where even pairs that all agree
    could not have led to better or worse, as with 5 pairs, whose p is .0625 at best, the verdict is INCONCLUSIVE.

    Args:
        comparison: of a with b, corrected for the number of comparisons where there are several (`corrected`).
        alpha: the accepted probability of a false verdict.
        better: 1 where higher values are better, −1 where lower ones are.
        resolution: smaller differences are neither better nor worse, e.g. those of a single test sentence.
    """
    excludes_zero = comparison.low is not None and comparison.high is not None and comparison.low * comparison.high > 0
    if comparison.p <= alpha and excludes_zero and abs(comparison.difference) >= resolution * (1 - ROUNDING):
        return Verdict.BETTER if comparison.difference * better > 0 else Verdict.WORSE
    if comparison.p_equivalent <= alpha:
        return Verdict.EQUIVALENT
    return Verdict.INCONCLUSIVE if comparison.smallest_p > alpha else Verdict.NO_DIFFERENCE


def within_margin(found: Verdict, comparison: Paired, alpha: float = ALPHA) -> bool:
    """Whether a value that is better or worse is so by less than the margin, by the test of EQUIVALENT."""
    return found in (Verdict.BETTER, Verdict.WORSE) and comparison.p_equivalent <= alpha
