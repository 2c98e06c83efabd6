"""Simulates `decide` by the code that it runs: false verdicts, power, and how many seeds it takes.

python benchmarks/decide_simulation.py [--grids N] [--text] [PART ...]     writes results/decide.md

Parts: different, equivalent, unlike, power, sameness, spending, passing, interval. One core and N = 10,000 take about
25 minutes. What is simulated is `sequential.settle` with the looks of `boundaries.looks`; `decide` adds the intervals.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path

import decide_page
import numpy as np
from decide_draws import AT_THE_MARGIN, DRAWS, FAIL_MORE_OFTEN, FAILED, LEARNED, Draw, equal_means
from simulate_statistics import bimodal, percent

from attnbench.analysis.decide.boundaries import Spending, looks, nominal_levels, spent
from attnbench.analysis.decide.joint import rejects
from attnbench.analysis.decide.sequential import DIFFERENT, Answer, Settled, settle
from attnbench.analysis.paired import ALPHA, shifted
from attnbench.analysis.stats import estimate, proportion_interval

PAGE = Path(__file__).parents[1] / "results" / "decide.md"
AT_LEAST, AT_MOST = 8, 30
NONE = 1e-9  # a margin so small that no pair is settled as equivalent, unless all its seeds are equal
EFFECTS = (0.5, 0.8, 1.2, 2.0, 3.0)  # in standard deviations of the paired differences
PAIRS = (1, 5, 15)
FEWER = 5  # what needs no more takes a fifth of the grids


def settled(
    values: np.ndarray, margin: float, spending: Spending = spent, resolution: float = 0.0
) -> dict[tuple[int, int], Settled]:
    """All pairs of values (k,n), as `decide` settles them."""
    pairs = list(combinations(range(len(values)), 2))
    differences = {(a, b): values[a] - values[b] for a, b in pairs}
    return settle(differences, looks(len(pairs), AT_LEAST, AT_MOST), margin, resolution=resolution, spending=spending)


def share(found: Iterator[bool] | Sequence[bool]) -> str:
    """In percent, with the upper end of its exact 95 % interval."""
    held = list(found)
    return f"{percent(np.mean(held))} | {percent(proportion_interval(sum(held), len(held))[1])}"


def different(grids: int) -> list[str]:
    lines = ["| distribution | values | any false verdict | upper bound |", "|---|---:|---:|---:|"]
    for name, draw in DRAWS.items():
        for k in (2, 6):
            random = np.random.default_rng([1, k])
            found = (settled(draw(random, (k, AT_MOST)), NONE).values() for _ in range(grids))
            lines.append(
                f"| {name} | {k} | {share([any(one.answer in DIFFERENT for one in all_) for all_ in found])} |"
            )
    return lines


def false_equivalences(one: Draw, other: Draw, margin: float, k: int, grids: int, alone: bool) -> Iterator[bool]:
    """Whether any pair at the margin is called equivalent; half of the k values are like one, half like the other."""
    random, half = np.random.default_rng([2, k]), k // 2
    for _ in range(grids):
        values = np.concatenate([one(random, (half, AT_MOST)), other(random, (half, AT_MOST))])
        # No difference is as large as an infinite resolution.
        found = settled(values, margin, resolution=math.inf if alone else 0.0)
        yield any(found[a, b].answer is Answer.EQUIVALENT for a in range(half) for b in range(half, k))


def equivalent(grids: int) -> list[str]:
    lines = [
        "| distribution | margin | values | equivalence alone | upper bound | with differences | upper bound |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, one, other, margin in AT_THE_MARGIN:
        for k in (2, 6):
            alone = share(false_equivalences(one, other, margin, k, grids, alone=True))
            whole = share(false_equivalences(one, other, margin, k, max(1, grids // FEWER), alone=False))
            lines.append(f"| {name} | {margin:.2f} | {k} | {alone} | {whole} |")
    return lines


def unlike(grids: int) -> list[str]:
    lines = ["| fail | margin | values | any false equivalent | upper bound |", "|---|---:|---:|---:|---:|"]
    for rate, more in FAIL_MORE_OFTEN:
        margin = (more - rate) * (LEARNED - FAILED)
        for k in (2, 6):
            shares = share(
                false_equivalences(partial(bimodal, rate), partial(bimodal, more), margin, k, grids, alone=False)
            )
            lines.append(f"| {100 * rate:.0f} % and {100 * more:.0f} % | {margin:.3f} | {k} | {shares} |")
    random = np.random.default_rng(3)
    wrong = [settled(equal_means(random, AT_MOST), NONE)[0, 1].answer in DIFFERENT for _ in range(grids)]
    lines += ["", "| equal means | values | a false better or worse | upper bound |", "|---|---:|---:|---:|"]
    return [*lines, f"| .803 always; .984, or .08 in 20 % of seeds | 2 | {share(wrong)} |"]


def race(effect: float, m: int, grids: int, spending: Spending = spent) -> tuple[float, float, float]:
    """The power, the mean number of seeds, and the power of 30 fixed seeds, of the one of m pairs that differs."""
    random, when = np.random.default_rng([4, m]), looks(m, AT_LEAST, AT_MOST)
    found, seeds, fixed = 0, 0, 0
    for _ in range(grids):
        differences = random.normal(size=(m, AT_MOST))
        differences[0] += effect
        first = settle(dict(enumerate(differences)), when, NONE, spending=spending)[0]
        found += first.answer is Answer.BETTER
        seeds += first.seeds
        fixed += rejects(differences[0], (AT_MOST,), (ALPHA / m,), 2)
    return found / grids, seeds / grids, fixed / grids


def power(grids: int) -> list[str]:
    lines = [
        "| pairs | difference | power | with 30 fixed seeds | lost | seeds on average | share of 30 |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for m in PAIRS:
        for effect in EFFECTS:
            found, seeds, fixed = race(effect, m, grids)
            lost = f"{percent(found)} | {percent(fixed)} | {percent(fixed - found)}"
            lines.append(f"| {m} | {effect} | {lost} | {seeds:.1f} | {percent(seeds / AT_MOST)} |")
    return lines


def sameness(grids: int) -> list[str]:
    """Without a difference, and with a margin in standard deviations: how often equivalent, and with how many seeds."""
    lines = [
        "| pairs | margin | equivalent | with 30 fixed seeds | seeds on average |",
        "|---:|---:|---:|---:|---:|",
    ]
    for m in PAIRS:
        when = looks(m, AT_LEAST, AT_MOST)
        for margin in EFFECTS:
            random = np.random.default_rng([5, m])
            found, seeds, fixed = 0, 0, 0
            for _ in range(grids):
                differences = random.normal(size=(m, AT_MOST))
                differences[1:] += margin  # the others are not equivalent
                first = settle(dict(enumerate(differences)), when, margin)[0]
                found += first.answer is Answer.EQUIVALENT
                seeds += first.seeds
                sides = shifted(differences[0], margin), -shifted(differences[0], -margin)
                fixed += all(rejects(side, (AT_MOST,), (ALPHA / m,), 1) for side in sides)
            shares = f"{percent(found / grids)} | {percent(fixed / grids)}"
            lines.append(f"| {m} | {margin} | {shares} | {seeds / grids:.1f} |")
    return lines


def union(differences: np.ndarray, when: tuple[int, ...], alpha: float) -> int | None:
    """The seeds at which p is at most what is spent at a look, whatever the looks before rejected; None if never."""
    for seeds, due in zip(when, spent(when, alpha), strict=True):
        if rejects(differences[:seeds], (seeds,), (due,), 2):
            return seeds
    return None


def gaussian(differences: np.ndarray, when: tuple[int, ...], alpha: float) -> int | None:
    """The same with the levels that are exact for normal values of known variance."""
    for seeds, level in zip(when, nominal_levels(when, alpha, 2), strict=True):
        if rejects(differences[:seeds], (seeds,), (level,), 2):
            return seeds
    return None


def spending(grids: int) -> list[str]:
    lines = [
        "| pairs | difference | exact for all looks | normal levels | spent probabilities as levels |",
        "|---:|---:|---:|---:|---:|",
    ]
    for m in (1, 15):
        when = looks(m, AT_LEAST, AT_MOST)
        for effect in EFFECTS[:3]:
            random, found = np.random.default_rng([4, m]), np.zeros((3, 2))
            for _ in range(grids):
                differences = random.normal(effect, 1, AT_MOST)
                for row, test in enumerate((exact, gaussian, union)):
                    seeds = test(differences, when, ALPHA / m)
                    found[row] += seeds is not None, seeds or AT_MOST
            shares = " | ".join(f"{percent(power)} with {seeds:.1f} seeds" for power, seeds in found / grids)
            lines.append(f"| {m} | {effect} | {shares} |")
    when = looks(1, AT_LEAST, AT_MOST)
    for name, draw in DRAWS.items():
        random, wrong = np.random.default_rng(8), np.zeros(3)
        for _ in range(grids):
            values = draw(random, (2, AT_MOST))
            wrong += [test(values[0] - values[1], when, ALPHA) is not None for test in (exact, gaussian, union)]
        lines.append(f"| 1 | none, {name} | " + " | ".join(map(percent, wrong / grids)) + " |")
    return lines


def exact(differences: np.ndarray, when: tuple[int, ...], alpha: float) -> int | None:
    """The same as `decide` tests."""
    found = settle({0: differences}, when, NONE, alpha=alpha)[0]
    return found.seeds if found.answer in DIFFERENT else None


def bonferroni(when: tuple[int, ...], share: float) -> tuple[float, ...]:  # noqa: ARG001
    """What 15 pairs spend that pass nothing on."""
    return spent(when, ALPHA / 15)


def passing(grids: int) -> list[str]:
    lines = ["| a step of | pairs settled | nothing passed on | seeds per value | nothing passed on |"]
    lines.append("|---:|---:|---:|---:|---:|")
    for step in (0.5, 1.0, 2.0):
        ours, seeds = staircase(step, grids, spent)
        theirs, more = staircase(step, grids, bonferroni)
        lines.append(f"| {step} | {percent(ours)} | {percent(theirs)} | {seeds:.1f} | {more:.1f} |")
    return lines


def staircase(step: float, grids: int, spending: Spending) -> tuple[float, float]:
    """The share of pairs settled, and the mean seeds of a value, where each of six is a step above the one before."""
    random = np.random.default_rng(6)
    done, seeds = 0.0, 0.0
    for _ in range(grids):
        values = random.normal(size=(6, AT_MOST)) / np.sqrt(2) + step * np.arange(6)[:, None]
        found = settled(values, NONE, spending)
        done += np.mean([one.answer in DIFFERENT for one in found.values()])
        seeds += np.mean([max(one.seeds for pair, one in found.items() if value in pair) for value in range(6)])
    return done / grids, seeds / grids


def interval(grids: int) -> list[str]:
    lines = ["| difference | settled early | its mean there | interval covers | always 30 seeds |"]
    lines.append("|---:|---:|---:|---:|---:|")
    when = looks(1, AT_LEAST, AT_MOST)
    for effect in (0.0, *EFFECTS):
        random = np.random.default_rng(7)
        early, means, covered, fixed = 0, [], 0, 0
        for _ in range(grids):
            differences = random.normal(effect, 1, AT_MOST)
            seeds = settle({0: differences}, when, NONE)[0].seeds
            early += seeds < AT_MOST
            means += [differences[:seeds].mean()] if seeds < AT_MOST else []
            stopped, whole = estimate(differences[:seeds]), estimate(differences)
            covered += stopped.low <= effect <= stopped.high
            fixed += whole.low <= effect <= whole.high
        shares = f"{percent(covered / grids)} | {percent(fixed / grids)}"
        lines.append(f"| {effect} | {percent(early / grids)} | {np.mean(means):.2f} | {shares} |")
    return lines


# Each part with the share of the grids that it takes.
PARTS: dict[str, tuple[Callable[[int], list[str]], float]] = {
    "different": (different, 1),
    "equivalent": (equivalent, 1),
    "power": (power, 1 / 2),
    "unlike": (unlike, 1 / FEWER),
    "sameness": (sameness, 1 / FEWER),
    "spending": (spending, 1 / 2),
    "passing": (passing, 1 / FEWER),
    "interval": (interval, 1 / FEWER),
}


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART", help="default: all; others are kept")
    parser.add_argument("--grids", type=int, default=10_000)
    parser.add_argument("--text", action="store_true", help="simulate nothing: write the page's text anew")
    options = parser.parse_args(arguments)
    tables = decide_page.tables(PAGE.read_text(encoding="utf-8")) if PAGE.exists() else {}
    for name in () if options.text else options.parts or PARTS:
        began, (simulate, portion) = time.monotonic(), PARTS[name]
        grids = max(1, round(options.grids * portion))
        tables[name] = [f"{grids:,}{decide_page.GRIDS}", "", *simulate(grids)]
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
        PAGE.write_text(decide_page.page(tables), encoding="utf-8")
    PAGE.write_text(decide_page.page(tables), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
