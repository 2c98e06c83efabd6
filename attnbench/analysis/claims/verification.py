"""Verifies the claims of one grid file: a verdict on each part, on each claim, and the exit status."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from attnbench.analysis.claims import rules
from attnbench.analysis.claims.results import Results, Seeds, check_finished, seeds_of
from attnbench.analysis.claims.rules import MOSTLY, Result
from attnbench.analysis.claims.verdict import Verdict
from attnbench.analysis.paired import ALPHA, ROUNDING, holm
from attnbench.errors import Exit, fail
from attnbench.grid.claims import AT_LEAST, AT_MOST, BETTER, EQUIVALENT, VARIES_MORE, Claim, Part
from attnbench.metrics import LOWER, metric_of

MEASURES = {BETTER: "difference", EQUIVALENT: "difference", VARIES_MORE: "log_variance_ratio"}


@dataclass(frozen=True)
class PartVerdict:
    """One part with its numbers.

    Attributes:
        part: with its rule.
        measure: what `result.value` is: a difference (positive where the first is better), a mean, a share, or the
            logarithm of a ratio of variances.
        result: before correction.
        means: the means of the configurations, over the seeds that were compared.
        p: of the exact test, corrected (Holm) for all parts of the grid file.
        verdict: after correction.
        remarks: why it is undecided, and which seeds failed.
    """

    part: Part
    measure: str
    result: Result
    means: tuple[float, ...]
    p: float
    verdict: Verdict
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class ClaimVerdict:
    """A claim with the verdicts on its parts: supported if all are, contradicted if one is, else undecided."""

    claim: Claim
    parts: tuple[PartVerdict, ...]

    @property
    def verdict(self) -> Verdict:
        """The verdict on the claim."""
        found = {one.verdict for one in self.parts}
        if Verdict.CONTRADICTED in found:
            return Verdict.CONTRADICTED
        return Verdict.UNDECIDED if Verdict.UNDECIDED in found else Verdict.SUPPORTED


@dataclass(frozen=True)
class Verification:
    """The verdicts on all claims of a grid file, and what has to be said with them."""

    name: str
    claims: tuple[ClaimVerdict, ...]
    notes: tuple[str, ...] = ()

    @property
    def parts(self) -> list[PartVerdict]:
        """The parts of all claims, which are corrected together."""
        return [part for claim in self.claims for part in claim.parts]


def verify(results: Results) -> Verification:
    """Verifies all claims.

    Raises:
        AttnbenchError: if a cell that they are about is missing, or has no value of a metric.
    """
    check_finished(results)
    parts = [part for claim in results.claims for part in claim.parts]
    level = rules.first_level(len(parts))
    found = [_judged(results, part, level) for part in parts]
    corrected = holm([one.result.p for one in found])
    verdicts = iter(_after_correction(one, p, len(parts)) for one, p in zip(found, corrected, strict=True))
    claims = [ClaimVerdict(claim, tuple(next(verdicts) for _ in claim.parts)) for claim in results.claims]
    return Verification(results.name, tuple(claims), results.notes)


def exit_status(verifications: Sequence[Verification], strict: bool) -> Exit:
    """3 if a claim is contradicted, 4 if one is undecided and `strict`, else 0."""
    found = {claim.verdict for one in verifications for claim in one.claims}
    if Verdict.CONTRADICTED in found:
        return Exit.REGRESSION
    return Exit.NOTHING_COMPARABLE if strict and Verdict.UNDECIDED in found else Exit.OK


def _judged(results: Results, part: Part, level: float) -> PartVerdict:
    """The numbers of a part, with the verdict by its intervals."""
    found = [seeds_of(results, part, setting) for setting in part.configurations]
    seeds = [seed for seed in found[0].values if all(seed in other.values for other in found)]
    if not seeds:
        what = f"the configurations of a part have no seed in common for {part.metric}"
        raise fail(what, results.where, "their seeds failed: attnbench run --retry-failed trains them again")
    values = [[one.values[seed] for seed in seeds] for one in found]
    means = tuple(sum(column) / len(column) for column in values)
    result, measure = _result(part, values, level)
    return PartVerdict(part, measure, result, means, result.p, result.verdict, tuple(_failures(part, found)))


def _result(part: Part, values: list[list[float]], level: float) -> tuple[Result, str]:
    first = values[0]
    if part.in_share is not None:
        least = 1 if part.kind == AT_LEAST else -1
        # Shares of sentences such as .9 are seldom exact in binary.
        fulfilled = sum(least * (value - part.limit) >= -ROUNDING for value in first)
        return rules.share(fulfilled, len(first), part.in_share, level), "share"
    if part.kind in (AT_LEAST, AT_MOST):
        rule = rules.above if part.kind == AT_LEAST else rules.below
        return rule(first, part.limit, level), "mean"
    if part.kind == VARIES_MORE:
        return rules.varies_more(first, values[1], level), MEASURES[part.kind]
    direction = -1.0 if metric_of(part.metric).better == LOWER else 1.0
    # Of an interaction: the difference in `where` minus that in `more_than_in`.
    a, b, *elsewhere = [[direction * value for value in column] for column in values]
    differences = [x - y for x, y in zip(a, b, strict=True)]
    if part.kind == EQUIVALENT:
        return rules.equivalent(differences, part.limit, level), MEASURES[part.kind]
    if elsewhere:
        differences = [d - (x - y) for d, x, y in zip(differences, *elsewhere, strict=True)]
        return rules.above(differences, part.limit, level), MEASURES[part.kind]
    return rules.better(differences, a, b, part.limit, level), MEASURES[part.kind]


def _failures(part: Part, found: Sequence[Seeds]) -> list[str]:
    failed = sum(one.failed for one in found)
    if not failed:
        return []
    about = metric_of(part.metric)
    verb = (
        ("counts as the worst result", "count as the worst result") if about.better else ("is left out", "are left out")
    )
    return [f"1 failed seed {verb[0]}" if failed == 1 else f"{failed} failed seeds {verb[1]}"]


def _after_correction(found: PartVerdict, p: float, parts: int) -> PartVerdict:
    """The verdict where the corrected p allows one, and the reason where there is none."""
    result = found.result
    if p <= ALPHA and result.verdict is not Verdict.UNDECIDED:
        return replace(found, p=p, verdict=result.verdict)
    return replace(found, p=p, verdict=Verdict.UNDECIDED, remarks=(*_reason(result, parts), *found.remarks))


def _reason(result: Result, parts: int) -> list[str]:
    of = f" {parts} parts" if parts > 1 else " it"
    if result.n < result.fewest:
        return [f"too few seeds: {result.fewest} or more can decide{of}"]
    if result.probability is not None and result.p <= ALPHA and result.verdict is Verdict.UNDECIDED:
        probability = result.probability
        if probability.value < MOSTLY:
            return [f"P(better) is below {MOSTLY:g}"]
        if probability.low is None or probability.low <= 0.5:
            return ["the interval of P(better) includes 0.5"]
    if result.verdict is not Verdict.UNDECIDED and parts > 1:
        return [f"p is above {ALPHA:g} after correction for {parts} parts"]
    if result.verdict is not Verdict.UNDECIDED:
        return [f"p is above {ALPHA:g}"]
    return []
