"""Simulates `attnbench verify`: how often a grid file whose claims are at their limits has any false verdict.

python benchmarks/claims_simulation.py [--files N] [--only TEXT]     prints the tables of docs/claims.md

Every part is exactly at its limit, so that "supported" and "contradicted" are both false: a difference of just `by` or
`within`, a mean at its bound, a share of just `in_share`, equal variances. The seeds are drawn as trainings give them:
with ordinary variation, at the ceiling, or in two groups of which one did not learn. The rules are those of the
command.
"""

import argparse
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from attnbench.analysis.claims import rules
from attnbench.analysis.claims.verdict import Verdict
from attnbench.analysis.paired import ALPHA, holm

SEEDS = 12
PARTS = (1, 5, 15)
FILES = 1000  # by which a share of 5 % is known to ±1.4 % (95 %)
Random = np.random.Generator
# A part: the p of its test, and its verdict by intervals, which is computed only where p allows one.
Part = tuple[float, Callable[[], Verdict]]
Draw = Callable[[Random], Part]


def normal(random: Random, mean: float = 0.5, spread: float = 0.1) -> np.ndarray:
    """Seeds with ordinary variation."""
    return random.normal(mean, spread, SEEDS)


def ceiling(random: Random) -> np.ndarray:
    """Near 1 and skewed, as accuracies of solved tasks; the mean is 20/21."""
    return random.beta(20, 1, SEEDS)


def groups(random: Random, failing: float) -> np.ndarray:
    """Seeds near 1 that learned, and near 0 that did not; the mean is .975 − .95·failing."""
    learned = random.random(SEEDS) >= failing
    return np.where(learned, random.uniform(0.95, 1, SEEDS), random.uniform(0, 0.05, SEEDS))


def better(a: np.ndarray, b: np.ndarray, by: float = 0.0) -> Part:
    return rules.p_of_mean(a - b, by), lambda: rules.better(a - b, a, b, by, ALPHA).verdict


def interaction(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> Part:
    values = a - b - (c - d)
    return rules.p_of_mean(values, 0.0), lambda: rules.above(values, 0.0, ALPHA).verdict


def equivalent(a: np.ndarray, b: np.ndarray, within: float) -> Part:
    return rules.p_of_equivalence(a - b, within), lambda: rules.equivalent(a - b, within, ALPHA).verdict


def at_least(values: np.ndarray, limit: float) -> Part:
    return rules.p_of_mean(values, limit), lambda: rules.above(values, limit, ALPHA).verdict


def in_share(random: Random, true: float, share: float) -> Part:
    count = int(random.binomial(SEEDS, true))
    return rules.p_of_share(count, SEEDS, share), lambda: rules.share(count, SEEDS, share, ALPHA).verdict


def varies_more(a: np.ndarray, b: np.ndarray) -> Part:
    found = rules.varies_more(a, b, ALPHA)
    return found.p, lambda: found.verdict


# Parts at their limits, by what they are.
AT_LIMIT: dict[str, Draw] = {
    "better, ordinary seeds": lambda r: better(normal(r), normal(r)),
    "better by .05, ordinary seeds": lambda r: better(normal(r, 0.55), normal(r), 0.05),
    "better, at the ceiling": lambda r: better(ceiling(r), ceiling(r)),
    "better, 20 % fail": lambda r: better(groups(r, 0.2), groups(r, 0.2)),
    "better, 50 % fail": lambda r: better(groups(r, 0.5), groups(r, 0.5)),
    "better by .285, 20 against 50 % fail": lambda r: better(groups(r, 0.2), groups(r, 0.5), 0.285),
    "interaction, ordinary seeds": lambda r: interaction(*(normal(r) for _ in range(4))),
    "interaction, 20 % fail": lambda r: interaction(*(groups(r, 0.2) for _ in range(4))),
    "equivalent within .05, ordinary seeds": lambda r: equivalent(normal(r, 0.55), normal(r), 0.05),
    "equivalent within .285, 20 against 50 % fail": lambda r: equivalent(groups(r, 0.2), groups(r, 0.5), 0.285),
    "at_least, ordinary seeds": lambda r: at_least(normal(r), 0.5),
    "at_least, at the ceiling": lambda r: at_least(ceiling(r), 20 / 21),
    "at_least, 50 % fail": lambda r: at_least(groups(r, 0.5), 0.5),
    "in_share .5": lambda r: in_share(r, 0.5, 0.5),
    "in_share .8": lambda r: in_share(r, 0.8, 0.8),
    "varies_more, ordinary seeds": lambda r: varies_more(normal(r), normal(r)),
    "varies_more, at the ceiling": lambda r: varies_more(ceiling(r), ceiling(r)),
    "varies_more, 20 % fail": lambda r: varies_more(groups(r, 0.2), groups(r, 0.2)),
}
MIXED = "all of these kinds"
# Limits that depend on failures which 12 seeds often do not show.
RARE: dict[str, Draw] = {
    "better by .19, none against 20 % fail": lambda r: better(groups(r, 0), groups(r, 0.2), 0.19),
    "at_least .785, 20 % fail": lambda r: at_least(groups(r, 0.2), 0.785),
    "at_least .9275, 5 % fail": lambda r: at_least(groups(r, 0.05), 0.9275),
}
# Parts that hold: how often they are found to. 1 standard deviation is that of the differences of pairs.
PAIRS = 0.1 * 2**0.5
TRUE: dict[str, Draw] = {
    "better, by 1 standard deviation": lambda r: better(normal(r, 0.5 + PAIRS), normal(r)),
    "better, by 2 standard deviations": lambda r: better(normal(r, 0.5 + 2 * PAIRS), normal(r)),
    "better, none against 80 % fail": lambda r: better(groups(r, 0), groups(r, 0.8)),
    "equivalent within 1 standard deviation, no difference": lambda r: equivalent(normal(r), normal(r), PAIRS),
    "at_least, by 1 standard deviation of the seeds": lambda r: at_least(normal(r, 0.6), 0.5),
    "in_share .5, of 90 % of the seeds": lambda r: in_share(r, 0.9, 0.5),
    "varies_more, 3 times the standard deviation": lambda r: varies_more(normal(r, 0.5, 0.3), normal(r)),
    "varies_more, 50 % fail against none": lambda r: varies_more(groups(r, 0.5), groups(r, 0)),
}


def share_of(draws: Sequence[Draw], parts: int, files: int, hit: Callable[[list[Verdict]], float]) -> float:
    """The mean of `hit` over files of this many parts, which take the draws in turn."""
    random = np.random.default_rng(parts)
    return sum(hit(_verdicts([draws[k % len(draws)](random) for k in range(parts)])) for _ in range(files)) / files


def _verdicts(drawn: list[Part]) -> list[Verdict]:
    corrected = holm([p for p, _ in drawn])
    return [verdict() if p <= ALPHA else Verdict.UNDECIDED for p, (_, verdict) in zip(corrected, drawn, strict=True)]


def any_verdict(verdicts: list[Verdict]) -> float:
    """1 where a file has any verdict."""
    return float(any(one is not Verdict.UNDECIDED for one in verdicts))


def supported(verdicts: list[Verdict]) -> float:
    """The share of its parts that are supported."""
    return verdicts.count(Verdict.SUPPORTED) / len(verdicts)


def row(name: str, files: int) -> str:
    """A row of a table: the share in percent for each number of parts."""
    tables = ((AT_LIMIT, any_verdict), (RARE, any_verdict), (TRUE, supported))
    draws, hit = next(
        (([table[name]], hit) for table, hit in tables if name in table), (list(AT_LIMIT.values()), any_verdict)
    )
    numbers = [100 * share_of(draws, parts, files, hit) for parts in PARTS]
    return f"| {name} | {' | '.join(f'{number:.1f}' for number in numbers)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=FILES, help="grid files per number")
    parser.add_argument("--only", default="", help="rows whose name contains this text")
    given = parser.parse_args()
    with ProcessPoolExecutor(2) as pool:
        for title, names in (
            ("false verdicts", [*AT_LIMIT, MIXED]),
            ("false verdicts that rare failures cause", RARE),
            ("true parts that are supported", TRUE),
        ):
            chosen = [name for name in names if given.only in name]
            print(f"\n| {title}, % | {' | '.join(f'{n} part{chr(115) * (n > 1)}' for n in PARTS)} |")
            print(f"|---|{'---:|' * len(PARTS)}")
            # Most of the time is that of intervals, where most parts have a verdict: fewer files are enough there.
            for line in pool.map(row, chosen, [given.files // (1 if MIXED in names else 4)] * len(chosen)):
                print(line, flush=True)


if __name__ == "__main__":
    main()
