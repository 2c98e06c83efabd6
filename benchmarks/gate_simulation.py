"""Simulates the gate: how often checks of unchanged code fail, and how often a worse run is noticed.

python benchmarks/gate_simulation.py [--checks N]     writes the section "Simulated" of results/gate.md

The rows are those of results/baselines/ci.csv with normal seeds, by the mean and the standard deviation of each row,
cut off at the ends of the metric's range and counted in test sentences. To these come rows of steps_to_95 for the
configurations that reach .95. A seed that fails to learn has a bad value in all rows of its configuration. The seeds
of the run are those of the baseline, but their values are drawn independently: code that changes a rounding error does
this. Every check judges all rows; a fault concerns one configuration, and it is noticed when a row of it fails.
"""

import argparse
import math
import random
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from attnbench.analysis.gate import baseline_file
from attnbench.analysis.gate.baseline import NEVER, BaselineRow, Configuration, has_result
from attnbench.analysis.gate.check import check

ROOT = Path(__file__).parents[1]
BASELINE = ROOT / "results" / "baselines" / "ci.csv"
PAGE = ROOT / "results" / "gate.md"
TITLE = "## Simulated"
COUNTS = ((2, 2), (3, 3), (5, 5), (10, 5), (8, 8))  # seeds of the baseline and of the run
SENTENCES = 300
STEPS, VALID_EVERY, STEPS_SPREAD = 500, 50, 0.15  # the seeds' standard deviation of the logarithm of steps_to_95
LEAST_SPREAD = 0.003  # of rows whose five seeds happen to be equal
FAILED = {"exact_match": 0.05, "aer": 0.8, "alignment_mass": 0.2, "steps_to_95": NEVER}


@dataclass(frozen=True)
class Fault:
    """What is wrong with a configuration of the run.

    Attributes:
        fall: of the accuracy of all seeds.
        collapse: the probability that a seed fails to learn.
        lost: the share of the seeds that fail to learn.
        slower: the factor of the steps.
    """

    fall: float = 0.0
    collapse: float = 0.0
    lost: float = 0.0
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
            self.rows.setdefault(row.configuration, {})[row.metric] = (
                float(np.mean(values)),
                max(float(np.std(values, ddof=1)), LEAST_SPREAD),
            )
        for metrics in self.rows.values():
            if metrics["exact_match"][0] >= 0.97:
                metrics["steps_to_95"] = draw.uniform(120, 320), STEPS_SPREAD

    @property
    def size(self) -> int:
        """The number of rows."""
        return sum(map(len, self.rows.values()))

    def seeds(self, count: int, failing: dict[str, float], faults: dict[str, Fault]) -> list[Configuration]:
        """A run of this many seeds; `failing` is the probability that a seed fails, by configuration."""
        run = []
        for key, metrics in self.rows.items():
            fault = faults.get(key, NONE)
            lost = round(fault.lost * count)
            fails = [
                self.draw.random() < failing.get(key, 0.0) or self.draw.random() < fault.collapse or seed < lost
                for seed in range(count)
            ]
            values = {seed: self._values(metrics, fault, fails[seed]) for seed in range(count)}
            settings = self.source[key].settings | {"train.valid_every": str(VALID_EVERY)}
            run.append(Configuration(key, self.source[key].labels, settings, values, {}, (), ""))
        return run

    def _values(self, metrics: dict[str, tuple[float, float]], fault: Fault, fails: bool) -> dict[str, float | None]:
        """The metrics of one seed."""
        values: dict[str, float | None] = {}
        for metric, (mean, spread) in metrics.items():
            if metric == "steps_to_95":
                step = fault.slower * mean * math.exp(self.draw.gauss(0, spread))
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


def alarms(pool: Pool, counts: tuple[int, int], failing: dict[str, float], checks: int) -> float:
    """The share of checks of unchanged code that fail, with so many seeds of the baseline and of the run."""
    failed = 0
    for _ in range(checks):
        rows = baseline_of(pool.seeds(counts[0], failing, {}))
        failed += bool(check("", "", rows, pool.seeds(counts[1], failing, {}), improvement_fails=True).exit)
    return failed / checks


def noticed(pool: Pool, counts: tuple[int, int], fault: Fault, places: int, checks: int) -> float:
    """The share of faults that are noticed, each in this number of configurations drawn, by a row of them."""
    keys = [key for key in pool.rows if "steps_to_95" in pool.rows[key]] if fault.slower > 1 else list(pool.rows)
    found = 0
    for _ in range(checks):
        chosen = pool.draw.sample(keys, places)
        run = pool.seeds(counts[1], {}, dict.fromkeys(chosen, fault))
        result = check("", "", baseline_of(pool.seeds(counts[0], {}, {})), run)
        labels = [pool.source[key].labels for key in chosen]
        found += any(finding.fails for finding in result.findings if finding.labels in labels)
    return found / checks


def share(case: tuple[str, dict[str, float], Fault, int], counts: tuple[int, int], checks: int) -> float:
    """The share of failing checks of one case, with these numbers of seeds."""
    name, failing, fault, places = case
    pool = Pool(baseline_file.read(BASELINE), random.Random(0))
    pool.draw = random.Random(f"{name} {counts}")
    return noticed(pool, counts, fault, places, checks) if places else alarms(pool, counts, failing, checks)


def cases() -> tuple[list[Any], list[Any]]:
    """The cases of unchanged code, and those of faults: name, failing seeds, fault, number of configurations."""
    keys = list(Pool(baseline_file.read(BASELINE), random.Random(0)).rows)
    one = keys[len(keys) // 2]
    unchanged: list[Any] = [("every seed learns", {}, NONE, 0)]
    for p in (0.03, 0.1):
        unchanged.append((f"{p:.0%} of the seeds fail to learn, in one configuration", {one: p}, NONE, 0))
        unchanged.append((f"{p:.0%} of the seeds fail to learn, in all", dict.fromkeys(keys, p), NONE, 0))
    faults: list[Any] = [(f"all seeds fall by {fall}", {}, Fault(fall=fall), 1) for fall in (0.03, 0.05, 0.1, 0.2)]
    faults += [(f"each seed collapses with probability {p:.0%}", {}, Fault(collapse=p), 1) for p in (0.4, 0.6)]
    faults += [(f"{p:.0%} of the seeds, rounded, collapse", {}, Fault(lost=p), 1) for p in (0.4, 0.6)]
    faults.append(("each seed collapses with probability 40%, in three configurations", {}, Fault(collapse=0.4), 3))
    faults += [("learning is 50% slower", {}, Fault(slower=1.5), 1), ("twice as slow", {}, Fault(slower=2.0), 1)]
    faults.append(("learning is 50% slower, in five configurations", {}, Fault(slower=1.5), 5))
    return unchanged, faults


def section(checks: int) -> str:
    """The section of the page."""
    unchanged, faults = cases()
    lines = [
        TITLE,
        "",
        f"`python benchmarks/gate_simulation.py`: {checks:,} checks of unchanged code per figure, and "
        f"{checks // 4:,} of each of {len(faults)} kinds of faults, with the rows of the baseline above (normal "
        "seeds with the mean and the standard deviation of each row, cut off at 0 and 1) and rows of steps_to_95 for "
        f"the configurations that reach .97 (standard deviation {STEPS_SPREAD:.0%}, a validation every {VALID_EVERY} "
        "steps). The run has the baseline's seeds, but its values are drawn independently, which is the worst case: "
        "code that computes the same numbers gives the same values. Chance: "
        f"±{1.96 * (0.01 * 0.99 / checks) ** 0.5:.1%} around 1%. Improvements fail these checks too.",
        "",
        "Share of checks that fail though nothing changed:",
        "",
    ]
    with ProcessPoolExecutor(2) as pool:
        for table, number in ((unchanged, checks), (faults, checks // 4)):
            head = "unchanged code" if table is unchanged else "fault in one configuration"
            heads = [f"{n} seeds" if n == m else f"{n}, run of {m}" for n, m in COUNTS]
            lines += [f"| {head} | {' | '.join(heads)} |", "|---|" + "---:|" * len(COUNTS)]
            jobs = [[pool.submit(share, case, counts, number) for counts in COUNTS] for case in table]
            for case, row in zip(table, jobs, strict=True):
                digits = ".1%" if table is unchanged else ".0%"
                cells = " | ".join(format(job.result(), digits) for job in row)
                lines.append(f"| {case[0]} | {cells} |")
                print(lines[-1], file=sys.stderr, flush=True)
            lines += ["", "Share of faults that are noticed:", ""] if table is unchanged else []
    return "\n".join(lines) + "\n"


def main() -> None:
    """Simulates, and replaces the section of the page; what follows the tables there is kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checks", type=int, default=1000)
    options = parser.parse_args()
    page = PAGE.read_text()
    before, _, old = page.partition(f"\n{TITLE}\n")
    _, found, after = old.partition("\n\nWhat ")  # the text below the tables is written by hand
    PAGE.write_text(f"{before.rstrip()}\n\n{section(options.checks)}" + (f"\nWhat {after}" if found else ""))


if __name__ == "__main__":
    main()
