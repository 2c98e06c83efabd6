"""The title of a comparison table, and the sentences below it: how to read a cell, and what it does not show."""

from collections.abc import Sequence

from attnbench.analysis.labels import NOTHING
from attnbench.analysis.paired import ALPHA, smallest_p
from attnbench.analysis.stats import Statistic
from attnbench.analysis.table.comparison import Comparison
from attnbench.analysis.table.summary import FEWEST, Summary, Tie, TooFew

NAMES: dict[Statistic, str] = {"mean": "Mean", "iqm": "Interquartile mean", "median": "Median"}
# Behind a value that is not the best; better may be what lacks a seed, or what another statistic has lower.
MARKS: dict[Tie, str] = {"tie": "≈", "better": "≈", "untold": "?"}
BEYOND = "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}"


def title(comparison: Comparison) -> str:
    """The run, the metric, which way is better, and the axes."""
    better = {1: " (higher is better)", -1: " (lower is better)", 0: ""}[comparison.style.better]
    name = f"{comparison.name}: " if comparison.name else ""
    return f"{name}{comparison.metric}{better} by {comparison.index[0]} and {comparison.columns}"


def caption(comparison: Comparison, best: str = "bold") -> list[str]:
    """The sentences below a table, then the notes. `best` is how the best are marked."""
    cells = list(comparison.cells.values())
    lines = [_numbers(comparison, cells)]
    if any(0 < cell.n < cell.of for cell in cells):
        lines.append("n=a/b: only a of b seeds have a value; such a cell does not compete for the best.")
    if any(cell.n == cell.of != comparison.n for cell in cells):
        lines.append("n=a: over a seeds.")
    if any(learned_in_part(cell) for cell in cells):
        lines.append("a/b learned: so many seeds reached .5, where neither all nor none did.")
    if comparison.trained:
        ranges = " or ".join(f"{low}–{high}" for low, high in comparison.trained)
        longer = f"; {BEYOND}: longer" if any(cell.beyond for cell in cells) else ""
        lines.append(f"Trained on lengths {ranges}{longer}.")
    gaps = len(cells) < len(comparison.rows) * len(comparison.heads) or any(not (c.n or c.failed) for c in cells)
    lines.append(" ".join(filter(None, [_marks(comparison, cells, best), f"{NOTHING}: nothing there." * gaps])))
    if comparison.too_few:
        lines.append(_too_few(comparison.too_few))
    return [line for line in [*lines, *comparison.notes] if line]


def learned_in_part(cell: Summary) -> bool:
    """Whether some seeds learned and some did not: where all did or none, the mean says it."""
    return cell.learned is not None and 0 < cell.learned < cell.n


def mark(comparison: Comparison, cell: Summary) -> str:
    """What stands behind the value of a cell that is not the best; nothing where the caption says it of all."""
    return "" if comparison.too_few or cell.tie is None else MARKS.get(cell.tie, "")


def _numbers(comparison: Comparison, cells: Sequence[Summary]) -> str:
    """What the first number of a cell is, and what the two after it."""
    n, fewest = comparison.n, FEWEST[comparison.statistic]
    line = f"{NAMES[comparison.statistic]} over n = {n} seed{'s' * (n > 1)}"
    seeds = [cell.n for cell in cells if cell.low is not None and comparison.style.interval_decimals is not None]
    if not seeds:
        return f"{line}."
    if max(seeds) < fewest:
        return f"{line}, then the range of the seeds (a 95 % interval takes {fewest})."
    few = f"; below {fewest} seeds, their range" if min(seeds) < fewest else ""
    return f"{line}, then its 95 % interval (percentile bootstrap, expanded for few seeds{few})."


def _marks(comparison: Comparison, cells: Sequence[Summary], best: str) -> str:
    """What is shown of the best, and of those beside it."""
    if not any(cell.best for cell in cells):
        return ""
    alone = " and ".join(["its column", *comparison.apart])
    line = f"{best[0].upper()}{best[1:]}: best of {alone}"
    marks = {mark(comparison, cell) for cell in cells}
    said = [
        f"{sign} {says}" for sign, says in (("≈", "not found worse"), ("?", "too few seeds to tell")) if sign in marks
    ]
    worse = any(cell.tie == "worse" for cell in cells)
    if not (said or worse):
        return f"{line}."
    others = " the others are worse" * worse + ", but for" * (worse and bool(said))
    exact = f"exact Wilcoxon over shared seeds, Holm, p ≤ {f'{ALPHA:g}'[1:]}"
    return f"{line};{others}{' ' * bool(said)}{', '.join(said)} ({exact})."


def _too_few(too_few: TooFew) -> str:
    """Why no row is told from the best, and what would do."""
    seeds, rows = too_few.seeds, too_few.rows
    p = smallest_p(seeds)
    told = f"p is {_short(p)} at best"
    if p <= ALPHA:
        told += f", {_short(p * (rows - 1))} among {rows} rows (Holm)"
    return f"{seeds} seed{'s' * (seeds > 1)} cannot tell any row from the best: {told}; {too_few.needed} can."


def _short(p: float) -> str:
    return f"{min(1.0, p):.2g}".removeprefix("0")
