"""Claims, their parts and their numbers in words: the same in every format."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from attnbench.analysis.claims.rules import CONFIDENCE, EQUIVALENCE, MOSTLY
from attnbench.analysis.claims.verdict import Verdict
from attnbench.analysis.claims.verification import PartVerdict, Verification
from attnbench.cell import KINDS
from attnbench.grid.claim_cells import text_of
from attnbench.grid.claims import AT_LEAST, AT_MOST, BETTER, EQUIVALENT, Part, Setting
from attnbench.messages import NO_VALUE
from attnbench.metrics import metric_of

NAMES = {"difference": "difference", "mean": "mean", "share": "share", "log_variance_ratio": "log variance ratio"}


def rule(part: Part) -> str:
    """The rule of a part: "scaled_dot better than dot by 0.05"."""
    first, *others = _sides(part)
    if part.in_share is not None:
        bound = "at least" if part.kind == AT_LEAST else "at most"
        return f"{first} {bound} {part.limit:g} in {100 * part.in_share:g} % of the seeds or more"
    if part.kind in (AT_LEAST, AT_MOST):
        return f"{first} {'at least' if part.kind == AT_LEAST else 'at most'} {part.limit:g}"
    if part.kind == EQUIVALENT:
        return f"{first} equivalent to {others[0]} within {part.limit:g}"
    if part.kind != BETTER:
        return f"{first} varies more than {others[0]}"
    by = f" by {part.limit:g}" if part.limit else ""
    if part.more_than_in is None:
        return f"{first} better than {others[0]}{by}"
    return f"{first} better than {others[0]}, more{by} than with {setting(_changed(part))}"


def setting(axes: Setting) -> str:
    """Axes with their values: "task copy, model.width 128"."""
    return ", ".join(f"{axis} {text_of(value)}" for axis, value in axes.items())


def context(part: Part) -> str:
    """The metric, and what both configurations have."""
    return ", ".join([part.metric, *([setting(part.where)] if part.where else [])])


def _changed(part: Part) -> Setting:
    """What the second setting of an interaction changes in `where`."""
    return {axis: value for axis, value in (part.more_than_in or {}).items() if part.where.get(axis) != value}


def _sides(part: Part) -> list[str]:
    """The configurations by their values, or as in the grid file where they differ in several axes."""
    sides = list(part.sides.values())
    if all(list(side) == list(sides[0]) for side in sides) and len(sides[0]) == 1:
        return [_named(axis, value) for side in sides for axis, value in side.items()]
    return [f"{{{', '.join(f'{axis}: {text_of(value)}' for axis, value in side.items())}}}" for side in sides]


def _named(axis: str, value: Any) -> str:
    """A value that says by itself what it is, such as a score; others after the name of their axis."""
    return text_of(value) if axis in KINDS else f"{axis.rpartition('.')[2]} {text_of(value)}"


def estimate(found: PartVerdict) -> str:
    """The estimate with its interval: "+0.312 [+0.250, +0.371]"."""
    result, sign = found.result, "+" if found.measure in ("difference", "log_variance_ratio") else ""
    decimals = 2 if found.measure == "log_variance_ratio" else _decimals(found)

    def shown(number: float) -> str:
        if math.isinf(number):
            return "+∞" if number > 0 else "−∞"
        return f"{number:{sign},.{decimals}f}"

    if result.low is None or result.high is None:
        return shown(result.value)
    return f"{shown(result.value)} [{shown(result.low)}, {shown(result.high)}]"


def means(found: PartVerdict) -> str:
    """The means of the two configurations: "0.912 against 0.600"."""
    return " against ".join(f"{mean:,.{_decimals(found)}f}" for mean in found.means)


def probability(found: PartVerdict) -> str:
    """P(better) with its interval; "" where the rule does not ask for it."""
    result = found.result.probability
    if result is None:
        return ""
    interval = "" if result.low is None else f" [{result.low:.2f}, {result.high:.2f}]"
    return f"{result.value:.2f}{interval}"


def smallest(found: PartVerdict) -> str:
    """The smallest telling difference."""
    number = found.result.smallest
    decimals = 2 if found.measure == "log_variance_ratio" else _decimals(found)
    return NO_VALUE if number is None else f"{number:,.{decimals}f}"


def p_value(found: PartVerdict) -> str:
    """The corrected p."""
    return f"{found.p:.3f}" if found.p >= 0.001 else "< .001"


def seeds(found: PartVerdict) -> str:
    """The number of pairs or of seeds."""
    unit = "seed" if found.part.than is None else "pair"
    return f"{found.result.n} {unit}{'s' * (found.result.n != 1)}"


def facts(found: PartVerdict) -> list[str]:
    """The numbers of a part, each with its name."""
    better = probability(found)
    return [
        f"{NAMES[found.measure]} {estimate(found)}",
        *([means(found)] if found.measure == "difference" and len(found.means) == 2 else []),
        *([f"P(better) {better}"] if better else []),
        seeds(found),
        f"p {p_value(found)}",
        f"smallest telling {smallest(found)}",
    ]


def _decimals(found: PartVerdict) -> int:
    if found.measure == "share":
        return 2
    decimals = metric_of(found.part.metric).decimals
    return max(decimals, 3 if decimals else 0)


def summary(verifications: Sequence[Verification]) -> str:
    """The number of claims of each verdict: "3 claims: 1 supported, 2 undecided"."""
    verdicts = Counter(claim.verdict for one in verifications for claim in one.claims)
    total = verdicts.total()
    counts = ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in Verdict if verdicts[verdict])
    return f"{total} claim{'s' * (total != 1)}: {counts}"


def caption(verifications: Sequence[Verification]) -> list[str]:
    """How the numbers are read; only what occurs is explained."""
    found = [part for one in verifications for part in one.parts]
    measures, kinds = {one.measure for one in found}, {one.part.kind for one in found}
    lines = []
    if "difference" in measures:
        lines.append("difference: of the means over paired seeds, positive where the first is better.")
    equivalence = f", of equivalence at {EQUIVALENCE:.0%}" if EQUIVALENT in kinds else ""
    lines.append(f"Intervals are at {CONFIDENCE:.0%}{equivalence}, not corrected.")
    if any(one.result.probability is not None for one in found):
        lines.append(f"P(better): that a seed of the first is better; at least {MOSTLY:g}, and its interval above 0.5.")
    tests = ["sign-flip"] * bool(measures & {"difference", "mean"}) + ["binomial"] * ("share" in measures)
    test = f"exact {' or '.join(tests)} test" if tests else ""
    of_variances = "of variances by their interval" if "log_variance_ratio" in measures else ""
    how = "; ".join(part for part in (f"{test} of the rule or of its opposite" if test else "", of_variances) if part)
    several = any(len(one.parts) > 1 for one in verifications)
    corrected = "; corrected (Holm) for all parts of the grid file" if several else ""
    lines.append(f"p: {how}{corrected}; a verdict needs at most 0.05.")
    lines.append("smallest telling: how far from its limit a value must be for a verdict with a probability of 0.8.")
    fewest = min(one.result.n for one in found)
    unseen = 1 - (1 - CONFIDENCE) ** (1 / fewest)
    if measures & {"difference", "mean"}:
        lines.append(f"A failure in fewer than {unseen:.0%} of all seeds may not occur among {fewest}.")
    return [line.replace("%", " %") for line in lines]
