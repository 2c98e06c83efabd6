"""The distributions of seeds that decide_simulation.py draws from."""

from collections.abc import Callable
from functools import partial

import numpy as np
from simulate_statistics import bimodal, normal

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def ceiling(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Test sets of 500 sentences, each right with probability .9995: 78 % of the seeds have exactly 1."""
    return random.binomial(500, 0.9995, shape) / 500


def below_ceiling(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return random.binomial(500, 0.9795, shape) / 500


def ties(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Three values only."""
    return 0.9 + 0.05 * random.integers(0, 3, shape)


DRAWS: dict[str, Draw] = {
    "normal": normal,
    "bimodal, 20 % fail": partial(bimodal, 0.2),
    "bimodal, 50 % fail": partial(bimodal, 0.5),
    "ceiling": ceiling,
    "ties": ties,
}


def plus(shift: float, draw: Draw) -> Draw:
    return lambda random, shape: draw(random, shape) + shift


# Two distributions whose means differ by the margin: name, one, the other, margin.
AT_THE_MARGIN: list[tuple[str, Draw, Draw, float]] = [
    ("normal", normal, plus(0.09, normal), 0.09),
    ("bimodal, 20 % fail", partial(bimodal, 0.2), plus(0.5, partial(bimodal, 0.2)), 0.5),
    ("bimodal, 50 % fail", partial(bimodal, 0.5), plus(0.5, partial(bimodal, 0.5)), 0.5),
    ("bimodal, 20 % fail", partial(bimodal, 0.2), plus(0.02, partial(bimodal, 0.2)), 0.02),
    ("ceiling", ceiling, below_ceiling, 0.02),
    ("ties", ties, plus(0.1, ties), 0.1),
]
FAIL_MORE_OFTEN = ((0.0, 0.02), (0.0, 0.05), (0.0, 0.1), (0.0, 0.2), (0.0, 0.5), (0.2, 0.3))
FAILED, LEARNED = 0.1, 0.95  # the means of `bimodal`; none is above 1, which lowers the second by .0003


def equal_means(random: np.random.Generator, seeds: int) -> np.ndarray:
    """A steady value of .803, and one that fails (.08) in 20 % of seeds, with the same mean (2,n)."""
    erratic = np.where(random.uniform(size=seeds) < 0.2, 0.08, (0.803 - 0.2 * 0.08) / 0.8)
    return np.stack([np.full(seeds, 0.803), erratic]) + random.normal(0, 0.002, (2, seeds))
