"""What a cell of a table says of its seeds: a statistic, its interval, who learned, and how it compares to the best."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np

from attnbench.analysis.paired import ALPHA, Verdict, corrected, fewest_pairs, paired, verdict
from attnbench.analysis.stats import Estimate, Statistic, estimate, learned

Seeds = dict[Hashable, float]  # the value of each seed that has one
Tie = Literal["best", "tie", "worse", "better", "untold"]
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Style:
    """How a metric is shown: decimals of the mean and of the interval's ends, and which way is better (0: neither)."""

    decimals: int
    interval_decimals: int | None
    better: int


_UP, _DOWN = 1, -1
STYLES = {
    "exact_match": Style(3, 2, _UP),
    "token_accuracy": Style(3, 2, _UP),
    "loss": Style(3, 3, _DOWN),
    "bleu": Style(1, 1, _UP),
    "aer": Style(3, 2, _DOWN),
    "alignment_mass": Style(3, 2, _UP),
    "alignment_entropy": Style(3, 2, 0),
    "steps_to_95": Style(0, 0, _DOWN),
    "parameters": Style(0, None, 0),
    "seconds": Style(1, 1, _DOWN),
    "tokens_per_second": Style(0, 0, _UP),
    "exact_match_unseen": Style(3, 2, _UP),
}
LEARNABLE = {"exact_match", "exact_match_unseen", "token_accuracy"}  # those with a threshold that a seed learns at
# The number of seeds from which the interval of `stats.estimate` can be narrower than their range.
FEWEST: dict[Statistic, int] = {"mean": 5, "iqm": 6, "median": 8}
_OF_VERDICT: dict[Verdict, Tie] = {
    "better": "better",
    "worse": "worse",
    "cannot tell: too few seeds": "untold",
    "no difference found": "tie",
}


@dataclass(frozen=True)
class Summary:
    """One cell of a table: a statistic over n of `of` seeds, the ends of its interval, how many seeds failed.

    Without a value (n = 0) the numbers are None.

    Attributes:
        mean: the mean, or the statistic that was asked for instead.
        low, high: the ends of its interval; None where n is below 2.
        n, of, failed: seeds with a value, all that are finished, those that failed.
        learned: how many of the n reached one half; None where the metric does not tell that.
        best: whether it is shown as the best of its column: never where all look the same.
        tie: how it compares to the best of its column; "best" is what looks the same and was not found worse, "tie"
            where no difference was found, "untold" where too few seeds could tell; None where nothing was compared.
        beyond: whether the length that it is about is longer than any trained on.
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int
    of: int
    failed: int
    learned: int | None = None
    best: bool = False
    tie: Tie | None = None
    beyond: bool = False


@dataclass(frozen=True)
class TooFew:
    """That no row of a table can be told from the best of its column: so many seeds, among so many rows."""

    seeds: int
    rows: int

    @property
    def needed(self) -> int:
        """The seeds with which any row can be told from the best, however the others compare."""
        return fewest_pairs(ALPHA / (self.rows - 1))


def show_mean(value: float, style: Style) -> str:
    """The mean with the metric's decimals."""
    return f"{value:,.{style.decimals}f}"


def summary(seeds: Seeds, of: int, failed: int, metric: str, statistic: Statistic) -> Summary:
    """One cell, from the values of its seeds."""
    values = list(seeds.values())
    if not values:
        return Summary(None, None, None, 0, of, failed)
    found = _estimate(values, statistic)
    reached = learned(values) if metric.split("@")[0] in LEARNABLE else None
    return Summary(found.mean, found.low, found.high, found.n, of, failed, reached)


def _estimate(values: Sequence[float], statistic: Statistic) -> Estimate:
    """`stats.estimate`, which need not resample where the interval of a mean is the range, nor load scipy for it."""
    low, high = min(values), max(values)
    if statistic != "mean" or len(values) == 1 or not (low == high or len(values) < FEWEST["mean"]):
        return estimate(values, statistic)
    mean = low if low == high else float(np.mean(np.sort(values)))
    return Estimate(mean, low, high, len(values))


def compared_to_best(
    cells: Mapping[Key, Summary], seeds: Mapping[Key, Seeds], style: Style
) -> tuple[dict[Key, Summary], TooFew | None]:
    """The cells of a column, with the best marked, and how each of the others compares to it.

    A value over only some of the seeds does not compete for the best: the missing ones are those that failed or never
    got there. It is compared all the same, over the seeds that both have.

    Args:
        cells: of one column, about one task: what may be held against each other.
        seeds: the values of each cell.
        style: of the metric.

    Returns:
        The cells, and that their seeds are too few, where none can be told from the best whatever the values.
    """
    rivals = {key: cell.mean for key, cell in cells.items() if cell.mean is not None and cell.n == cell.of}
    if not style.better or len(rivals) < 2:
        return dict(cells), None
    top = max(rivals, key=lambda key: style.better * rivals[key])
    ties = _ties(seeds, top, style.better)
    shown = {key: show_mean(cell.mean, style) for key, cell in cells.items() if cell.mean is not None}
    alike = {key for key in rivals if shown[key] == shown[top] and ties.get(key) != "worse"}
    mark = len(alike) < len(shown)
    marked = {
        key: replace(cell, best=mark and key in alike, tie="best" if key in alike else ties.get(key))
        for key, cell in cells.items()
    }
    most = max((len(seeds[key].keys() & seeds[top].keys()) for key in ties), default=0)
    too_few = TooFew(most, len(ties) + 1)
    return marked, too_few if ties and most < too_few.needed and set(ties.values()) == {"untold"} else None


def _ties(seeds: Mapping[Key, Seeds], top: Key, better: int) -> dict[Key, Tie]:
    """How every other cell compares to one, as `attnbench compare` has it: paired by seed, corrected for their number.

    Cells that share no seed with it are left out.
    """
    shared = {key: [seed for seed in own if seed in seeds[top]] for key, own in seeds.items() if key != top}
    shared = {key: both for key, both in shared.items() if both}
    if all(len(both) < fewest_pairs() for both in shared.values()):
        return dict.fromkeys(shared, "untold")  # whatever the values, and without scipy
    pairs = ([[seeds[one][seed] for seed in both] for one in (key, top)] for key, both in shared.items())
    found = corrected([paired(own, best) for own, best in pairs])
    return {key: _OF_VERDICT[verdict(one, better=better)] for key, one in zip(shared, found, strict=True)}
