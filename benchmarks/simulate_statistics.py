"""Simulates the statistics of `table` and `compare`, by the code that they run: false verdicts, coverage and power.

python benchmarks/simulate_statistics.py [--runs N] [PART ...]     writes docs/statistics.md

Parts: selection, tasks, means, coverage, probability, equivalence, power. Two cores and N = 2,000 take about 20
minutes.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path

import numpy as np

from attnbench.analysis.improvement import probability_of_improvement
from attnbench.analysis.learned import LEARNED_AT
from attnbench.analysis.paired import (
    ALPHA,
    compared_with,
    fewest_pairs,
    paired,
    seeds_needed,
)
from attnbench.analysis.stats import estimate, proportion_interval
from attnbench.analysis.table.cell import SeedResults, comparisons, summarise
from attnbench.analysis.verdict import Verdict, verdict
from attnbench.metrics import METRICS

PAGE = Path(__file__).parents[1] / "docs" / "statistics.md"
KEPT = "\n## As many seeds as it takes\n"  # the section of decide_simulation.py, written by hand
EXACT_MATCH = METRICS["exact_match"]
MARGIN, RESOLUTION = 0.02, 0.004
Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def normal(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return random.normal(0.8, 0.03, shape)


def skewed(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return random.beta(8, 2, shape)


def bimodal(share: float, random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Seeds that learn near .95, and a share of seeds that do not."""
    learned = random.normal(0.95, 0.02, shape).clip(0, 1)
    return np.where(random.uniform(size=shape) < share, random.uniform(0, 0.2, shape), learned)


def ceiling(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Test sets of 500 sentences of which nearly all are right: many values are 1, and there are many ties."""
    return random.binomial(500, 0.998, shape) / 500


DRAWS: dict[str, Draw] = {
    "normal": normal,
    "skewed, Beta(8,2)": skewed,
    "bimodal, 10 % fail": partial(bimodal, 0.1),
    "bimodal, 20 % fail": partial(bimodal, 0.2),
    "bimodal, 30 % fail": partial(bimodal, 0.3),
    "ceiling": ceiling,
}


def verdicts(values: np.ndarray, reference: int | None = None, margin: float | None = MARGIN) -> list[Verdict]:
    """The verdicts over values (k,n) of k configurations, against a reference or the best."""
    chosen = reference is None
    best = int(values.mean(1).argmax()) if reference is None else reference

    def differences(a: int, b: int) -> list[float]:
        return list(values[a] - values[b])

    # The bootstrap takes most of the time, and matters only where p is small enough for better or worse.
    found = compared_with(best, range(len(values)), differences, margin, chosen, interval=False)
    if any(one.p <= ALPHA for one in found.values()):
        found = compared_with(best, range(len(values)), differences, margin, chosen)
    return [verdict(one, resolution=RESOLUTION) for one in found.values()]


def decided(found: Iterable[Verdict]) -> bool:
    return any(one in (Verdict.BETTER, Verdict.WORSE) for one in found)


def false_verdict(draw: str, k: int, n: int, seed: int) -> bool:
    """Whether a table of k equal configurations and n seeds has any better or worse, the reference being the best."""
    return decided(verdicts(DRAWS[draw](np.random.default_rng(seed), (k, n))))


def selection(pool: ProcessPoolExecutor, runs: int) -> list[str]:
    lines = [
        "| seeds | values | " + " | ".join(DRAWS) + " |",
        "|---:|---:|" + "---:|" * len(DRAWS),
    ]
    for n in (10, 20):
        for k in (2, 6, 12):
            shares = [share(pool, partial(false_verdict, draw, k, n), runs) for draw in DRAWS]
            lines.append(f"| {n} | {k} | " + " | ".join(map(percent, shares)) + " |")
    return lines


def over_tasks(correlation: float, n: int, seed: int) -> bool:
    """Whether two equal configurations differ over 4 tasks, where the seeds' effects correlate between tasks."""
    random = np.random.default_rng(seed)
    shared, own = random.normal(size=(2, 1, n)), random.normal(size=(2, 4, n))
    values = 0.8 + 0.03 * (math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * own)
    return decided(verdicts(values.mean(1), reference=0))


def tasks(pool: ProcessPoolExecutor, runs: int) -> list[str]:
    lines = [
        "| seeds | correlation 0 | .5 | .9 |",
        "|---:|---:|---:|---:|",
    ]
    for n in (3, 8, 20):
        shares = [share(pool, partial(over_tasks, correlation, n), runs) for correlation in (0.0, 0.5, 0.9)]
        lines.append(f"| {n} | " + " | ".join(map(percent, shares)) + " |")
    return lines


def equal_means(n: int, seed: int) -> bool:
    """Whether a steady value of .803 is called better or worse than one of .985 that fails (.08) in 20 % of seeds."""
    random = np.random.default_rng(seed)
    steady = random.normal(0.803, 0.002, n)
    erratic = np.where(random.uniform(size=n) < 0.2, 0.08, 0.985) + random.normal(0, 0.002, n)
    return decided(verdicts(np.stack([erratic, steady]), reference=0))


def means(pool: ProcessPoolExecutor, runs: int) -> list[str]:
    shares = [share(pool, partial(equal_means, n), runs) for n in (6, 8, 10, 20, 40)]
    none = [0.8**n for n in (6, 8, 10, 20, 40)]
    return [
        "| seeds | 6 | 8 | 10 | 20 | 40 |",
        "|---|---:|---:|---:|---:|---:|",
        "| better or worse | " + " | ".join(map(percent, shares)) + " |",
        "| no seed failed | " + " | ".join(map(percent, none)) + " |",
    ]


def covers(draw: str, n: int, seed: int) -> tuple[bool, bool, bool, bool]:
    """Whether the plain interval covers the mean; whether the table prints one, and it covers; the same for the share.

    The printed interval is that of the seeds that learn, and so is the mean that it must cover.
    """
    values = DRAWS[draw](np.random.default_rng(seed), (n,))
    seeds: dict[Hashable, float] = dict(enumerate(values))
    results = SeedResults(seeds, of=n, accuracy=seeds)
    cell = summarise(results, EXACT_MATCH, "mean")
    plain = estimate(values)
    mean, learning, truth = truths(draw)
    assert plain.low is not None
    assert plain.high is not None
    printed = cell.low is not None and cell.high is not None
    low, high = proportion_interval(int((values >= LEARNED_AT).sum()), n)
    return (
        plain.low <= mean <= plain.high,
        printed,
        bool(printed and cell.low <= learning <= cell.high),  # type: ignore[operator]
        low <= truth <= high,
    )


@cache
def truths(draw: str) -> tuple[float, float, float]:
    """The mean, the mean of the seeds that learn, and the share that learns."""
    values = DRAWS[draw](np.random.default_rng(0), (2_000_000,))
    learn = values >= LEARNED_AT
    return float(values.mean()), float(values[learn].mean()), float(learn.mean())


def coverage(pool: ProcessPoolExecutor, runs: int) -> list[str]:
    lines = [
        "| distribution | seeds | mean of all | printed | printed covers | share that learns |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for draw in DRAWS:
        for n in (5, 8, 10, 20):
            found = np.array(list(pool.map(partial(covers, draw, n), range(runs), chunksize=50)))
            plain, printed, covered, shares = found.mean(0)
            of_printed = percent(covered / printed) if printed else "–"
            lines.append(f"| {draw} | {n} | {percent(plain)} | {percent(printed)} | {of_printed} | {percent(shares)} |")
    return lines


def calls_equivalent(draw: str, shift: float, n: int, seed: int) -> bool:
    """Whether two values of the same distribution, one shifted, are called equivalent."""
    a, b = DRAWS[draw](np.random.default_rng(seed), (2, n))
    found = paired(a - b - shift, MARGIN, interval=False)
    # Without the interval no verdict is better or worse, which take precedence.
    return found.p_equivalent <= ALPHA and verdicts(np.stack([a - shift, b]), 1) == [Verdict.EQUIVALENT]


def equivalence(pool: ProcessPoolExecutor, runs: int) -> list[str]:
    lines = [
        "| distribution | seeds | at the margin | no difference |",
        "|---|---:|---:|---:|",
    ]
    for draw in ("normal", "bimodal, 10 % fail", "ceiling"):
        for n in (10, 20, 30):
            shares = [share(pool, partial(calls_equivalent, draw, shift, n), runs) for shift in (MARGIN, 0.0)]
            lines.append(f"| {draw} | {n} | " + " | ".join(map(percent, shares)) + " |")
    return lines


def finds(effect: float, k: int, n: int, seed: int) -> bool:
    """Whether the first of k values, better than the reference by an effect in standard deviations, is found."""
    random = np.random.default_rng(seed)
    values = random.normal(0, 1 / math.sqrt(2), (k, n))
    values[1:] += effect
    found = compared_with(0, range(k), lambda a, b: list(values[a] - values[b]), None, chosen=False)
    return verdict(found[1]) == Verdict.BETTER


def power(pool: ProcessPoolExecutor, runs: int) -> list[str]:
    lines = [
        "| difference | values | needed | power |",
        "|---:|---:|---:|---:|",
    ]
    for effect in (0.5, 0.8, 1.2, 2.0):
        for k in (2, 6):
            # Ten thousand values with exactly this mean and deviation.
            exact = np.random.default_rng(0).normal(size=10_000)
            exact = (exact - exact.mean()) / exact.std(ddof=1) + effect
            n = seeds_needed(exact, ALPHA / (k - 1))
            assert n is not None
            lines.append(f"| {effect} | {k} | {n} | {percent(share(pool, partial(finds, effect, k, n), runs))} |")
    minimum = ", ".join(f"{k} values {fewest_pairs(ALPHA / comparisons(k))}" for k in (2, 6, 12))
    return [*lines, "", f"Whatever the difference, a verdict against the best needs at least: {minimum} seeds."]


def worse_ceiling(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return random.binomial(500, 0.99, shape) / 500


def higher(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return normal(random, shape) + 0.075


# Two distributions, of which the first is more often better.
PAIRS: dict[str, tuple[Draw, Draw]] = {
    "normal, equal": (normal, normal),
    "normal, 2.5 standard deviations apart": (higher, normal),
    "ceiling, equal": (ceiling, ceiling),
    "ceiling, .998 and .99 right": (ceiling, worse_ceiling),
    "bimodal, 10 % fail in both": (partial(bimodal, 0.1), partial(bimodal, 0.1)),
    "bimodal, 10 % and 30 % fail": (partial(bimodal, 0.1), partial(bimodal, 0.3)),
}


@cache
def true_probability(pair: str) -> float:
    random = np.random.default_rng(0)
    a, b = (draw(random, (2_000_000,)) for draw in PAIRS[pair])
    return float((a > b).mean() + (a == b).mean() / 2)


def probability_covers(pair: str, n: int, seed: int) -> tuple[bool, bool]:
    """Whether the interval of P(better) covers the true value; and whether all pairs of seeds agree."""
    random = np.random.default_rng(seed)
    a, b = (draw(random, (n,)) for draw in PAIRS[pair])
    found = probability_of_improvement([a], [b])
    assert found.low is not None
    assert found.high is not None
    return found.low <= true_probability(pair) <= found.high, found.value in (0.0, 1.0)


def probability(pool: ProcessPoolExecutor, runs: int) -> list[str]:
    lines = [
        "| distributions | P(better) | seeds | covered | all above |",
        "|---|---:|---:|---:|---:|",
    ]
    for pair in PAIRS:
        for n in (5, 10, 20):
            found = np.array(list(pool.map(partial(probability_covers, pair, n), range(runs), chunksize=50)))
            covered, apart = found.mean(0)
            lines.append(f"| {pair} | {true_probability(pair):.2f} | {n} | {percent(covered)} | {percent(apart)} |")
    return lines


def share(pool: ProcessPoolExecutor, function: Callable[[int], bool], runs: int) -> float:
    return float(np.mean(list(pool.map(function, range(runs), chunksize=max(1, runs // 40)))))


def percent(value: float) -> str:
    return f"{100 * value:.1f}"


INTRODUCTION = (
    "What a simulation tests is whether a rule keeps its promise where the truth is known. Two values of an "
    "axis are drawn from known distributions, as seeds would give them, and the rule is applied, many times "
    "over. The rules assume that seeds are independent and that both values have the same seeds; they assume no "
    "distribution.\n"
    "\n"
    "The distributions, of an accuracy:\n"
    "\n"
    "- *normal*: mean .80, standard deviation .03.\n"
    "- *skewed*: Beta(8,2), mean .80, standard deviation .12.\n"
    "- *bimodal, 10 % fail*: with probability .1 a seed fails and has between 0 and .2; the others have mean "
    ".95 and standard deviation .02, at most 1. Likewise 20 % and 30 %.\n"
    "- *ceiling*: 500 test sentences, each right with probability .998, so that many seeds have exactly 1.\n"
)

# What each part tests, with its heading; and what its table shows.
TEXTS = {
    "selection": (
        "The best value as the reference",
        "Tested: that no value is better or worse than the best one, while all values have the same "
        "distribution. Without `--against` the reference is the best value, and p is corrected for all "
        "pairs. Share of {runs:,} tables in which some verdict is better or worse, which is then false.",
        "The share stays at or below 5 % with every distribution, within the accuracy of the simulation. "
        "With many values and few seeds it is lower, since hardly any result can then reach p = .05: 12 values and 10 "
        "seeds allow no verdict. At the ceiling most seeds are equal, and nothing is ever called better.",
    ),
    "tasks": (
        "Over all tasks",
        "Tested: the verdict over all tasks, where each seed counts once, with its mean difference over the "
        "tasks. Two values with the same normal distribution on four tasks; share of {runs:,} runs with a "
        "false verdict, by how much a seed's results correlate between tasks.",
        "The share stays at 5 %, however much a seed's results on several tasks resemble each other. It "
        "would not if each task of a seed were counted. Three seeds give no verdict, on any number of "
        "tasks.",
    ),
    "means": (
        "Equal means, different distributions",
        "Tested: what happens where the means are equal but not the distributions. One value has .803 with "
        "every seed, the other .985 in 80 % of the seeds and .08 in the rest. Share of {runs:,} runs with a "
        "verdict; and the probability that no seed failed.",
        "Here the promise of 5 % does not hold: with six seeds a quarter of the runs give a false verdict, with "
        "20 or more 7 %. With few seeds this happens mostly where no seed failed, and then no test can know of "
        "the failures. Use 20 seeds where a value fails now and then.",
    ),
    "coverage": (
        "Coverage of the 95 % interval",
        "Tested: how often an interval contains what it is about; 95 % is promised. Of {runs:,} runs each: "
        "how often the interval of the mean of all seeds would cover the true mean; how often `table` "
        "prints an interval (where the seeds fall into two groups it prints `4/5 learned` instead); how "
        "often the printed interval covers the mean of the seeds that learn, which is what it is about; and "
        "how often the exact interval of the share that learns (in JSON and CSV) covers that share.",
        "With normal and skewed results the interval is nearly right with 5 seeds (92 %) and right from 8 "
        "on. Where some seeds fail, no interval of few seeds covers the mean of all seeds, and the printed "
        "one is about those that learn. The interval of the share that learns always holds.",
    ),
    "probability": (
        "P(better)",
        "Tested: how often the 95 % interval of P(better) covers the true value, of {runs:,} runs each; and "
        "how often all seeds of one value are above all of the other. There the interval reaches from "
        ".025^(1/n) to 1, or from 0 to 1 − .025^(1/n), with n seeds each: .48 with 5, .69 with 10, .83 with "
        "20.",
        "The interval covers the truth in 94 to 98 % of runs where P(better) is in the middle. Where it is .96, five "
        "seeds of one value are often all above the other, and the bound keeps the promise there; resampling alone "
        "would give 1 to 1. With 20 seeds near 1 it covers somewhat less, 88 to 92 %.",
    ),
    "equivalence": (
        "Equivalent",
        "Tested: the verdict equivalent, margin .02. Share of {runs:,} runs with this verdict where the "
        "true difference is exactly the margin (false), and where there is none (right).",
        "The verdict is false in at most 5 % of cases, within the accuracy of the simulation. Ten seeds "
        "with ordinary variation seldom suffice for it; thirty find it in 62 % of cases. With bimodal "
        "seeds, few seeds may show no failure, and the verdict then holds for the seeds that learn.",
    ),
    "power": (
        "Seeds needed",
        "Tested: the column `needed`, which promises a power of .8. Its number for differences of known "
        "size (in standard deviations of the paired differences), and the share of {runs:,} runs with this "
        "number of seeds that find the difference. All values differ from the reference by as much.",
        "With two values the promise is kept. With six the power is higher than promised, since the number "
        "is that of the first and strictest step of Holm's correction. The number is right only if the "
        "difference is known: that of a few seeds is uncertain.",
    ),
}

PARTS = {
    "selection": selection,
    "tasks": tasks,
    "means": means,
    "coverage": coverage,
    "probability": probability,
    "equivalence": equivalence,
    "power": power,
}


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART")
    parser.add_argument("--runs", type=int, default=2_000)
    parser.add_argument("--print", action="store_true", help="print instead of writing the page")
    options = parser.parse_args(arguments)
    page = [
        "# The statistics, simulated",
        "",
        f"`python benchmarks/simulate_statistics.py --runs {options.runs}` simulates the rules of [`table` and "
        "`compare`](tables.md) by the code that they run. With 2,000 runs a share of 5 % is known to ±1 % (95 %). All "
        "shares are in percent.",
        "",
        *INTRODUCTION.rstrip().split("\n"),
    ]
    with ProcessPoolExecutor() as pool:
        for name in options.parts or PARTS:
            began = time.monotonic()
            title, tested, shown = TEXTS[name]
            page += ["", f"## {title}", "", tested.format(runs=options.runs), "", shown, ""]
            page += PARTS[name](pool, options.runs)
            print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    text = "\n".join(page) + "\n"
    if options.print:
        print(text)
    else:
        _, title, section = PAGE.read_text(encoding="utf-8").partition(KEPT)
        PAGE.write_text(text + title + section, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
