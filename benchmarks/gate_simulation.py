"""Simulates the gate: how often checks of unchanged code fail, and how often a worse run is noticed.

python benchmarks/gate_simulation.py [--checks N]     writes the section "Simulated" of results/gate.md

The rows are those of results/baselines/ci.csv with normal seeds, by the mean and the standard deviation of each row,
cut off at the ends of the metric's range and counted in test sentences. To these come rows of steps_to_95 for the
configurations that reach .95. A seed that fails to learn has a bad value in all rows of its configuration. The seeds
of the run are those of the baseline, but their values are drawn independently: code that changes a rounding error does
this. Every check judges all rows; a fault concerns one configuration, and it is noticed when a row of it fails.
"""

import argparse
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from attnbench.analysis.gate import baseline_file
from attnbench.analysis.gate.baseline import NEVER, BaselineRow, Configuration, has_result
from attnbench.analysis.gate.check import check

ROOT = Path(__file__).parents[1]
BASELINE = ROOT / "results" / "baselines" / "ci.csv"
PAGE = ROOT / "results" / "gate.md"
SENTENCES = 300
STEPS, VALID_EVERY, STEPS_SPREAD = 500, 50, 0.15  # the seeds' standard deviation of the logarithm of steps_to_95
LEAST_SPREAD = 0.003  # of rows whose five seeds happen to be equal
FAILED = {"exact_match": 0.05, "aer": 0.8, "alignment_mass": 0.2, "steps_to_95": NEVER}


@dataclass(frozen=True)
class Fault:
    """What is wrong with the run: a share by which accuracies fall, that of seeds that fail, a factor of steps."""

    fall: float = 0.0
    collapse: float = 0.0
    slower: float = 1.0


NONE = Fault()


class Pool:
    """Configurations to draw seeds of: by metric, the mean and the standard deviation (for steps, the typical step)."""

    def __init__(self, rows: Iterable[BaselineRow], draw: random.Random) -> None:
        self.draw = draw
        self.rows: dict[str, dict[str, tuple[float, float]]] = {}
        self.source: dict[str, BaselineRow] = {}
        for row in rows:
            if row.metric == "steps_to_95":
                continue
            self.source[row.configuration] = row
            values = list(row.values.values())
            self.rows.setdefault(row.configuration, {})[row.metric] = fmean(values), max(stdev(values), LEAST_SPREAD)
        for metrics in self.rows.values():
            if metrics["exact_match"][0] >= 0.97:
                metrics["steps_to_95"] = draw.uniform(120, 320), STEPS_SPREAD

    @property
    def size(self) -> int:
        """The number of rows."""
        return sum(map(len, self.rows.values()))

    def seeds(self, count: int, failing: dict[str, float], faults: dict[str, Fault]) -> list[Configuration]:
        """A run of this many seeds; `failing` is the probability that a seed fails, by configuration."""
        return [
            Configuration(
                key,
                self.source[key].labels,
                self.source[key].settings | {"train.valid_every": str(VALID_EVERY)},
                {
                    seed: self._values(metrics, failing.get(key, 0.0), faults.get(key, NONE)) for seed in range(count)
                },
                {},
                (),
                "",
            )
            for key, metrics in self.rows.items()
        ]

    def _values(
        self, metrics: dict[str, tuple[float, float]], failing: float, fault: Fault
    ) -> dict[str, float | None]:
        fails = self.draw.random() < failing or self.draw.random() < fault.collapse
        values: dict[str, float | None] = {}
        for metric, (mean, spread) in metrics.items():
            if metric == "steps_to_95":
                step = fault.slower * mean * 2.718281828 ** self.draw.gauss(0, spread)
                step = VALID_EVERY * -(-step // VALID_EVERY)
                values[metric] = None if fails or step > STEPS else step
                continue
            value = FAILED[metric] if fails else mean
            value += self.draw.gauss(0, spread)
            if not fails and metric == "exact_match":
                value -= fault.fall
            value = min(max(value, 0.0), 1.0)
            values[metric] = round(value * SENTENCES) / SENTENCES if metric == "exact_match" else value
        return values


def baseline_of(run: Sequence[Configuration]) -> list[BaselineRow]:
    """The rows of a run."""
    return [
        BaselineRow(one.labels, one.key, metric, values, one.settings, "")
        for one in run
        for metric in next(iter(one.metrics.values()))
        if has_result(values := one.values(metric))
    ]


def alarms(pool: Pool, count: int, failing: dict[str, float], checks: int) -> float:
    """The share of checks of unchanged code that fail."""
    return fmean(
        check("", "", baseline_of(pool.seeds(count, failing, {})), pool.seeds(count, failing, {})).exit > 0
        for _ in range(checks)
    )


def noticed(pool: Pool, before: int, now: int, fault: Fault, checks: int) -> float:
    """The share of faults in one configuration that are noticed by a row of it."""
    keys = [key for key in pool.rows if "steps_to_95" in pool.rows[key]] if fault.slower > 1 else list(pool.rows)
    found = 0
    for _ in range(checks):
        key = pool.draw.choice(keys)
        run = pool.seeds(now, {}, {key: fault})
        result = check("", "", baseline_of(pool.seeds(before, {}, {})), run)
        found += any(finding.fails for finding in result.findings if finding.labels == pool.source[key].labels)
    return found / checks


def simulated(rows: Sequence[BaselineRow], checks: int) -> str:
    """The section of the page."""
    pool = Pool(rows, random.Random(0))
    keys = list(pool.rows)
    one = keys[len(keys) // 2 : len(keys) // 2 + 1]
    cases = [("every seed learns", [], 0.0)]
    cases += [(f"{p:.0%} of the seeds fail, {name}", chosen, p) for p in (0.03, 0.1)
              for name, chosen in (("in one configuration", one), ("in all configurations", keys))]  # fmt: skip
    lines = ["| unchanged code | 5 seeds | 2 seeds | 3 seeds | 8 seeds |", "|---|---:|---:|---:|---:|"]
    for name, chosen, p in cases:
        failing = dict.fromkeys(chosen, p)
        lines.append(f"| {name} | " + " | ".join(f"{alarms(pool, n, failing, checks):.1%}" for n in (5, 2, 3, 8)) + " |")
        print(lines[-1], flush=True)
    faults = [(f"all seeds fall by {fall}", Fault(fall=fall)) for fall in (0.03, 0.05, 0.1, 0.2)]
    faults += [(f"{p:.0%} of the seeds collapse", Fault(collapse=p)) for p in (0.4, 0.6, 1.0)]
    faults += [("50% slower learning", Fault(slower=1.5)), ("100% slower learning", Fault(slower=2.0))]
    more = ["| fault in one configuration | 2 seeds | 3 seeds | 5 seeds | 8 seeds |", "|---|---:|---:|---:|---:|"]
    for name, fault in faults:
        more.append(f"| {name} | " + " | ".join(f"{noticed(pool, n, n, fault, checks // 4):.0%}" for n in (2, 3, 5, 8)) + " |")
        print(more[-1], flush=True)
    return "\n".join([*lines, "", *more])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--checks", type=int, default=2000)
    options = parser.parse_args()
    import time
    t = time.time()
    simulated(baseline_file.read(BASELINE), options.checks)
    print(time.time() - t)
