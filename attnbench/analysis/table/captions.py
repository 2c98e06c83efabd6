"""The title of a comparison table and the sentences below it: how to read a cell, and what the table leaves out."""

from collections.abc import Sequence

from attnbench.analysis.paired import ALPHA, smallest_p
from attnbench.analysis.stats import Statistic, proportion_interval
from attnbench.analysis.table.cell import FEWEST, TableCell, TooFew, comparisons
from attnbench.analysis.table.comparison import Comparison
from attnbench.analysis.table.cost import cost_caption
from attnbench.analysis.verdict import Verdict
from attnbench.messages import NO_VALUE

NAMES: dict[Statistic, str] = {"mean": "Mean", "iqm": "Interquartile mean", "median": "Median"}
# Printed after a value that is not the best. A value may be better than the best where it lacks a seed, or where the
# statistic is not the mean.
MARKS = {Verdict.EQUIVALENT: "=", Verdict.NO_DIFFERENCE: "≈", Verdict.BETTER: "≈", Verdict.INCONCLUSIVE: "?"}
BEYOND = "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}"


def title(comparison: Comparison) -> str:
    """The run, the metric, which direction is better, and the axes."""
    direction = comparison.about.direction
    better = f" ({direction} is better)" if direction else ""
    name = f"{comparison.name}: " if comparison.name else ""
    return f"{name}{comparison.metric}{better} by {comparison.index[0]} and {comparison.columns}"


def caption(comparison: Comparison, best: str = "bold") -> list[str]:
    """The sentences below a table, then its notes. `best` says how the best cells are marked."""
    cells = list(comparison.cells.values())
    lines = [_numbers(comparison, cells)]
    if any(0 < cell.n < cell.of for cell in cells):
        lines.append("n=a/b: only a of b seeds have a value; in comparisons the others count as the worst result.")
    if any(cell.n == cell.of != comparison.n for cell in cells):
        lines.append("n=a: over a seeds.")
    if failed := [cell for cell in cells if cell.mean is None and cell.failed]:
        lines.append(f"failed {failed[0].failed}/{failed[0].of}: {failed[0].failed} of {failed[0].of} seeds failed.")
    what = "" if comparison.about.accuracy else " an exact match of"
    if any(cell.two_groups for cell in cells):
        lines.append(f"a/b learned: a of b seeds reached{what} .5; the mean of two such groups has no interval.")
    if comparison.about.accuracy and (n := _all_learned(comparison, cells)):
        share = f"{100 * proportion_interval(n, n)[0]:.0f} to 100 % of all seeds (exact 95 % interval)"
        lines.append(f"Intervals are for the seeds that learn (reach .5). Where all {n} did, that is {share}.")
    if comparison.trained:
        ranges = " or ".join(f"{low}–{high}" for low, high in comparison.trained)
        longer = f"; {BEYOND}: longer" if any(cell.beyond for cell in cells) else ""
        lines.append(f"Trained on lengths {ranges}{longer}.")
    gaps = len(cells) < len(comparison.rows) * len(comparison.heads) or any(not (c.n or c.failed) for c in cells)
    lines.append(" ".join(filter(None, [_marks(comparison, cells, best), f"{NO_VALUE}: no result." * gaps])))
    if comparison.too_few:
        lines.append(_too_few(comparison.too_few, _unit(comparison)))
    return [line for line in [*lines, *cost_caption(comparison), *comparison.notes] if line]


def _all_learned(comparison: Comparison, cells: Sequence[TableCell]) -> int:
    """The number of seeds of the cells with an interval in which all seeds learned; 0 if there are none.

    From n seeds that all learned it does not follow that all do: the interval cannot show the failures that may be
    among the rest.
    """
    fewest = FEWEST[comparison.statistic]
    return min((c.n for c in cells if c.low is not None and c.learned == c.learned_of >= fewest), default=0)


def mark(comparison: Comparison, cell: TableCell) -> str:
    """The sign after the value of a cell that is not the best; none where the caption says the same of all cells."""
    return "" if comparison.too_few or cell.verdict is None else MARKS.get(cell.verdict, "")


def _numbers(comparison: Comparison, cells: Sequence[TableCell]) -> str:
    """What the first number of a cell is, and what the range after it is."""
    n, fewest = comparison.n, FEWEST[comparison.statistic]
    line = f"{NAMES[comparison.statistic]} over n = {n} {_unit(comparison)}{'s' * (n > 1)}"
    if comparison.about.per_pack:
        return f"{line}; the seeds of a pack share one measurement."
    seeds = [cell.n for cell in cells if cell.low is not None and comparison.about.interval_decimals is not None]
    if not seeds:
        return f"{line}."
    if max(seeds) < fewest:
        return f"{line}, then the range of the seeds (a 95 % interval needs {fewest} seeds)."
    few = f"; below {fewest} seeds, their range" if min(seeds) < fewest else ""
    return f"{line}, then its 95 % interval (percentile bootstrap, expanded for few seeds{few})."


def _unit(comparison: Comparison) -> str:
    """What is counted: packs where all seeds of a pack have one measurement."""
    return "pack" if comparison.about.per_pack else "seed"


def _marks(comparison: Comparison, cells: Sequence[TableCell], best: str) -> str:
    """How the best cells are marked, and what the signs after the others mean."""
    if not any(cell.best for cell in cells):
        return ""
    family = " and ".join(["its column", *comparison.separate])
    line = f"{best[0].upper()}{best[1:]}: best of {family}"
    present = {mark(comparison, cell) for cell in cells}
    equivalent = f"equivalent within ±{comparison.about.margin or 0:g}"
    meanings = (("=", equivalent), ("≈", "not found worse"), ("?", "inconclusive: too few seeds"))
    signs = [f"{sign} {meaning}" for sign, meaning in meanings if sign in present]
    worse = any(cell.verdict == Verdict.WORSE for cell in cells)
    if not (signs or worse):
        return f"{line}."
    others = " the others are worse" * worse + ", except" * (worse and bool(signs))
    test = f"exact sign-flip test over shared seeds, Holm over all pairs, p ≤ {f'{ALPHA:g}'[1:]}"
    return f"{line};{others}{' ' * bool(signs)}{', '.join(signs)} ({test})."


def _too_few(too_few: TooFew, unit: str) -> str:
    """Why no row can be distinguished from the best, and how many seeds or packs could."""
    seeds, rows = too_few.seeds, too_few.rows
    p = smallest_p(seeds)
    reason = f"p is {_short(p)} at best"
    if p <= ALPHA:
        reason += f", {_short(p * comparisons(rows))} among all pairs of {rows} rows by Holm"
    counted = f"{seeds} {unit}{'s' * (seeds > 1)}"
    return f"Inconclusive: {counted} cannot distinguish any row from the best ({reason}); {too_few.needed} or more can."


def _short(p: float) -> str:
    return f"{min(1.0, p):.2g}".removeprefix("0")
