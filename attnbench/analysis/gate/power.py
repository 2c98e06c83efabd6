"""What a check against a baseline will be able to see: the smallest change for the worse that it usually notices."""

import math
import random
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

from attnbench.analysis.gate.allowances import ALLOWANCES
from attnbench.analysis.gate.baseline import BaselineRow
from attnbench.analysis.gate.chances import Chances, noise_of_floor
from attnbench.analysis.gate.check import FALSE_ALARMS, resolution_of
from attnbench.analysis.gate.judge import ENOUGH, GateVerdict, judge_row
from attnbench.metrics import METRICS, metric_of

POWER = 0.9
DRAWS = 100  # the power is then known to 3 points, which moves the fall by less than its two digits show
HALVINGS = 8


def what_is_seen(rows: Sequence[BaselineRow]) -> tuple[str, list[str]]:
    """By how much each metric must get worse, with the baseline's seeds and with more of them.

    Returns:
        The amounts as text; and the metrics of which no possible fall is noticed with the baseline's seeds.
    """
    seeds = min(len(row.values) for row in rows)
    if seeds < 2:
        return f"with 1 seed nothing is seen; with {ENOUGH} seeds, {_falls_text(_falls(rows, ENOUGH))}", []
    more = ENOUGH if seeds < ENOUGH else 2 * seeds
    found = _falls(rows, seeds)
    amounts = f"with {seeds} seeds, {_falls_text(found)}; with {more} seeds, {_falls_text(_falls(rows, more))}"
    return amounts, [metric for metric, fall in found.items() if fall is None]


def _falls(rows: Sequence[BaselineRow], seeds: int) -> dict[str, float | None]:
    """The smallest falls that are noticed, by metric in the order of METRICS."""
    order = list(METRICS)
    metrics = sorted({row.metric for row in rows}, key=lambda metric: (order.index(metric_of(metric).name), metric))
    return {metric: smallest_fall(metric, rows, seeds) for metric in metrics}


def _falls_text(falls: Mapping[str, float | None]) -> str:
    """The falls as text: "exact_match by 0.04, steps_to_95 by 40%"."""
    parts = []
    for metric, fall in falls.items():
        relative = ALLOWANCES[metric_of(metric).name].relative
        size = "" if fall is None else f" by {fall:.0%}" if relative else f" by {fall:.2g}"
        parts.append(f"{metric}{size}" if size else f"{metric} never")
    return ", ".join(parts)


def smallest_fall(metric: str, rows: Sequence[BaselineRow], seeds: int) -> float | None:
    """The smallest shift of all seeds for the worse that a check notices with a probability of POWER.

    It is that of a typical row of the metric, the one with the median standard deviation, in the unit of the metric's
    allowance; None where no possible shift is noticed.

    Args:
        metric: of some of the rows.
        rows: the whole baseline, which shares the false alarm rate.
        seeds: number of seeds of the baseline and of the run.
    """
    of_metric = [(row, [v for v in row.values.values() if math.isfinite(v)]) for row in rows if row.metric == metric]
    by_spread = sorted(of_metric, key=lambda pair: stdev(pair[1]) if len(pair[1]) > 1 else 0.0)
    row, values = by_spread[len(by_spread) // 2]
    allowance, mean = ALLOWANCES[metric.partition("@")[0]], fmean(values)
    scaled = allowance.scaled(mean, resolution_of(row))
    spread = max(stdev(values) if len(values) > 1 else 0.0, scaled.spread)
    chances = Chances(rows)
    facts = metric_of(metric)
    worst = mean if facts.better > 0 else (facts.high or 4 * max(mean, scaled.floor)) - mean

    def power(fall: float) -> float:
        """The share of made-up runs, whose mean is worse by `fall`, in which the gate fails."""
        draw = random.Random(0)
        found = 0
        for _ in range(DRAWS):
            before, now = ({seed: draw.gauss(mean, spread) for seed in range(seeds)} for _ in range(2))
            now = {seed: value - facts.better * fall for seed, value in now.items()}
            judgement, _ = judge_row(
                metric,
                before,
                now,
                FALSE_ALARMS / len(rows),
                typical=chances.typical(metric, seeds),
                spared=chances.spared(row, seeds),
                resolution=resolution_of(row),
                noise=noise_of_floor(len(rows)),
            )
            found += judgement.verdict is GateVerdict.REGRESSION or judgement.below_floor
        return found / DRAWS

    if power(worst) < POWER:
        return None
    low, high = 0.0, worst
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle) >= POWER else (middle, high)
    return high / mean if allowance.relative else high
