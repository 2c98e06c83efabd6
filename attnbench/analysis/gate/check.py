"""The gate: compares a run with a baseline row by row, and decides the exit status of `attnbench check`.

Exit statuses of a check that fails:

3   a regression; an unclear row below the floor; on request, an improvement; a failed cell; a configuration of the
    baseline that is not in the run, not finished or stale; a metric that the run no longer has; or a configuration with
    changed settings ("not comparable"). Such a configuration was not compared with anything, so the baseline must be
    updated in the same change.
4   nothing was compared, and no cell failed: the wrong baseline, or settings that changed in every configuration.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, median

from attnbench.analysis.gate.baseline import BaselineRow, Configuration, join_seeds, same_labels
from attnbench.analysis.gate.chances import Chances, noise_of_floor
from attnbench.analysis.gate.judge import (
    FEW,
    GateVerdict,
    Judgement,
    Statistic,
    judge_row,
    learned,
)
from attnbench.analysis.settings import differences
from attnbench.errors import Exit
from attnbench.metrics import metric_of

# The probability that a check of unchanged code reports a regression, over all rows together. It is half of what is
# promised (one check in a hundred): the floor has false alarms too, and values near 1 are less normal than Student's t
# assumes.
FALSE_ALARMS = 0.005
FAILING = (GateVerdict.REGRESSION, GateVerdict.FAILED, GateVerdict.MISSING, GateVerdict.NOT_COMPARABLE)
COMPARED = (GateVerdict.REGRESSION, GateVerdict.UNCLEAR, GateVerdict.IMPROVEMENT, GateVerdict.UNCHANGED)
_MOST_NAMED = 4  # settings that a message lists


@dataclass(frozen=True)
class Finding:
    """The result of the check for one row, or for a whole configuration (its metric is "" then).

    Attributes:
        verdict: the verdict on the row or the configuration.
        labels: the configuration's labels.
        metric: the compared metric.
        message: the reason or advice, in addition to the numbers.
        judgement: None where no values were compared.
        tolerance: the tolerance that was applied.
        baseline, run: the values by seed; a seed that never got there has a value worse than any.
        line: the line in the baseline's file; 0 for a configuration that is not in it.
        fails: whether it fails the check.
    """

    verdict: GateVerdict
    labels: dict[str, str]
    metric: str = ""
    message: str = ""
    judgement: Judgement | None = None
    tolerance: float = 0.0
    baseline: dict[int, float] = field(default_factory=dict)
    run: dict[int, float] = field(default_factory=dict)
    line: int = 0
    fails: bool = False

    @property
    def means(self) -> tuple[float | None, float | None]:
        """The mean of the baseline and of the run; None without values."""
        before, now = (fmean(values.values()) if values else None for values in (self.baseline, self.run))
        return before, now

    @property
    def compared(self) -> tuple[float | None, float | None]:
        """The values of the statistic that decided, in the baseline and in the run; else the means.

        `median` compares the run's median with the baseline's mean; `paired difference` and `reproduced seeds` the
        means over the shared seeds; `learned` the shares of the seeds that learned.
        """
        before, now = self.means
        statistic = self.judgement.statistic if self.judgement else None
        if statistic is Statistic.MEDIAN:
            return before, median(self.run.values())
        if statistic in (Statistic.PAIRED, Statistic.REPRODUCED):
            seeds = self.baseline.keys() & self.run.keys()
            return fmean(self.baseline[seed] for seed in seeds), fmean(self.run[seed] for seed in seeds)
        if statistic is Statistic.LEARNED:
            old, new = (learned(list(side.values())) / len(side) for side in (self.baseline, self.run))
            return old, new
        return before, now


@dataclass(frozen=True)
class Check:
    """All findings, the worst first."""

    name: str
    baseline: str
    findings: list[Finding]

    @property
    def exit(self) -> Exit:
        """The exit status of the command."""
        verdicts = {finding.verdict for finding in self.findings}
        # A failed cell is a reason to fail with 3, even where nothing was compared.
        if not verdicts & {*COMPARED, GateVerdict.FAILED}:
            return Exit.NOTHING_COMPARABLE
        return Exit.REGRESSION if any(finding.fails for finding in self.findings) else Exit.OK


def check(
    name: str,
    file: str,
    rows: Sequence[BaselineRow],
    run: Sequence[Configuration],
    tolerances: Mapping[str, float] | None = None,
    false_alarms: float = FALSE_ALARMS,
    unclear_fails: bool = True,
    improvement_fails: bool = False,
    update: str = "attnbench baseline --update",
) -> Check:
    """Compares every row of a baseline with the run's configuration of the same settings.

    The false alarm rate is divided equally among the compared rows (Bonferroni), so that a single regression may fail
    the check, however large the grid.

    Args:
        name, file: the names of the run and of the baseline's file, for the summary.
        rows: the baseline.
        run: the configurations of the run.
        tolerances: by metric, with or without a test length; default: those of ALLOWANCES.
        false_alarms: the probability that the check reports a regression of unchanged code.
        unclear_fails: whether an unclear row below the floor fails the check.
        improvement_fails: whether an improvement does. Targets that leak into the input improve an accuracy as well.
        update: the command that accepts an improvement, for the messages.
    """
    by_key = {one.key: one for one in run if one.key}
    groups: dict[str, list[BaselineRow]] = {}
    for row in rows:
        groups.setdefault(row.configuration, []).append(row)
    findings: list[Finding] = []
    pairs: list[tuple[BaselineRow, Configuration]] = []
    # By identity: a configuration without a finished cell has no key.
    in_baseline = {id(one) for key, one in by_key.items() if key in groups}
    for key, group in groups.items():
        if (one := by_key.get(key)) is None:
            finding, successor = _without_same_settings(group[0], [other for other in run if other.key not in groups])
            findings.append(finding)
            in_baseline.add(id(successor))
        elif one.unfinished or one.stale:
            findings.append(_unfinished(one.labels, one, group[0].line))
        elif not one.failed:
            pairs += [(row, one) for row in group]
    lines = {row.configuration: row.line for row in reversed(rows)}
    findings += [_failed(one, lines.get(one.key, 0)) for one in run if one.failed]
    findings += _compared(pairs, tolerances or {}, false_alarms, update)
    findings += [Finding(GateVerdict.NEW, one.labels) for one in run if id(one) not in in_baseline and not one.failed]
    findings = [replace(one, fails=_fails(one, unclear_fails, improvement_fails)) for one in findings]
    return Check(name, file, sorted(findings, key=_badness))


def _fails(finding: Finding, unclear_fails: bool, improvement_fails: bool) -> bool:
    if finding.judgement is not None and finding.judgement.below_floor:
        return unclear_fails
    if finding.verdict is GateVerdict.IMPROVEMENT:
        return improvement_fails
    return finding.verdict in FAILING


def _without_same_settings(row: BaselineRow, others: Sequence[Configuration]) -> tuple[Finding, Configuration | None]:
    """The finding for a row with settings that no finished configuration of the run has.

    Args:
        row: a row of the baseline.
        others: the configurations of the run that are not in the baseline by their settings.

    Returns:
        NOT_COMPARABLE or MISSING; and the configuration of the run with the same labels, None where there is none.
    """
    same = [other for other in others if same_labels(row.labels, other.labels)]
    if changed := [(differences(row.settings, other.settings), other) for other in same if other.key]:
        # Several may agree where an axis was added to the grid: the one with the fewest changes explains most.
        nearest, successor = min(changed, key=lambda pair: len(pair[0]))
        more = f"; and {len(nearest) - _MOST_NAMED} more" if len(nearest) > _MOST_NAMED else ""
        message = f"{'; '.join(nearest[:_MOST_NAMED])}{more}"
        return Finding(GateVerdict.NOT_COMPARABLE, row.labels, message=message, line=row.line), successor
    if same:
        return _unfinished(row.labels, same[0], row.line), same[0]
    return Finding(GateVerdict.MISSING, row.labels, message="the run has no such configuration", line=row.line), None


def _unfinished(labels: dict[str, str], one: Configuration, line: int) -> Finding:
    parts = [f"seeds {join_seeds(one.unfinished)} are not finished"] if one.unfinished else []
    for reason in dict.fromkeys(one.stale.values()):
        seeds = join_seeds(seed for seed, other in one.stale.items() if other == reason)
        parts.append(f"seeds {seeds} are stale, {reason}; attnbench run without --keep-stale trains them again")
    return Finding(GateVerdict.MISSING, labels, message="; ".join(parts), line=line)


def _failed(one: Configuration, line: int) -> Finding:
    """The errors of a configuration's cells; seeds with the same error share one message."""
    errors = {error: [seed for seed, other in one.failed.items() if other == error] for error in one.failed.values()}
    message = "; ".join(f"seed {join_seeds(seeds)}: {error}" for error, seeds in errors.items())
    return Finding(GateVerdict.FAILED, one.labels, message=message, line=line)


def _compared(
    pairs: Sequence[tuple[BaselineRow, Configuration]],
    tolerances: Mapping[str, float],
    false_alarms: float,
    update: str,
) -> list[Finding]:
    chances = Chances([row for row, _ in pairs])
    reproduced = {one.key for row, one in pairs if _same_models(row, one)}
    findings = []
    for row, one in pairs:
        run = one.values(row.metric)
        # The remaining seeds are not compared: those without a value may be the bad ones.
        if len(run) < len(one.metrics):
            message = f"seeds {join_seeds(seed for seed in one.metrics if seed not in run)} have no {row.metric}"
            findings.append(
                Finding(GateVerdict.MISSING, one.labels, row.metric, message, baseline=row.values, line=row.line)
            )
            continue
        before, now = _with_values(row, run)
        judgement, tolerance = judge_row(
            row.metric,
            before,
            now,
            false_alarms / len(pairs),
            tolerances.get(row.metric, tolerances.get(row.metric.partition("@")[0])),
            chances.typical(row.metric, min(len(before), len(now))),
            chances.spared(row, len(now)),
            resolution_of(row),
            one.key in reproduced,
            noise_of_floor(len(pairs)),
        )
        findings.append(
            Finding(
                judgement.verdict,
                one.labels,
                row.metric,
                _message(judgement, before, now, row, run, update),
                judgement,
                tolerance,
                before,
                now,
                row.line,
            )
        )
    return findings


def _same_models(row: BaselineRow, one: Configuration) -> bool:
    """Whether a metric shows that a run trained the same models as the baseline, from the seeds that both have.

    Its values must be equal to the last digit, and differ between the seeds: all seeds may have an accuracy of 1 by
    other models too.
    """
    run = one.values(row.metric)
    shared = {seed: value for seed, value in row.values.items() if seed in run}
    distinct = len(set(shared.values())) == len(shared) >= FEW
    return distinct and all(run[seed] == value for seed, value in shared.items())


def resolution_of(row: BaselineRow) -> float:
    """The distance of two values of a metric that is measured in steps: it is only seen at validations."""
    try:
        return float(row.settings.get("train.valid_every", 0)) if metric_of(row.metric).missing_is_worst else 0.0
    except ValueError:
        return 0.0


def _with_values(row: BaselineRow, run: Mapping[int, float]) -> tuple[dict[int, float], dict[int, float]]:
    """The values of both sides by seed, with a number for the seeds that never got there.

    It is the step after the last: all that is known is that the seed needs more than `train.steps`. With a larger
    number, a seed that misses the accuracy by one sentence at the end would count like one that learns nothing.
    """
    observed = [value for side in (row.values, run) for value in side.values() if math.isfinite(value)]
    try:
        worst = float(row.settings["train.steps"]) + resolution_of(row)
    except (KeyError, ValueError):
        worst = metric_of(row.metric).worst(observed)
    before, now = (
        {seed: value if math.isfinite(value) else worst for seed, value in side.items()} for side in (row.values, run)
    )
    return before, now


def _message(
    judgement: Judgement,
    before: Mapping[int, float],
    now: Mapping[int, float],
    row: BaselineRow,
    run: Mapping[int, float],
    update: str,
) -> str:
    """The reason where the numbers are not enough, and what a user can do; "" where there is nothing to add."""
    parts = []
    if judgement.verdict is not GateVerdict.UNCHANGED:
        never = [sum(not math.isfinite(value) for value in side.values()) for side in (row.values, run)]
        if any(never):
            worst = max(*before.values(), *now.values())
            parts.append(
                f"{never[1]} of {len(run)} seeds never got there ({never[0]} of {len(row.values)} in the baseline); "
                f"each counts as {worst:g} steps"
            )
    if judgement.statistic is Statistic.LEARNED:
        counts = [f"{learned(list(side.values()))} of {len(side)} seeds" for side in (before, now)]
        parts.append(f"{counts[1]} learned, {counts[0]} in the baseline")
    elif judgement.statistic is Statistic.REPRODUCED and judgement.verdict is not GateVerdict.UNCHANGED:
        parts.append("the seeds reproduce another metric of the baseline exactly, so the change is not chance")
    elif judgement.below_floor:
        parts.append("worse by more than the floor, though within the variation of the seeds; --unclear pass allows it")
    elif judgement.verdict is GateVerdict.UNCLEAR:
        parts.append("worse, but within the variation of the seeds; more seeds would decide")
    elif judgement.verdict is GateVerdict.TOO_FEW:
        parts.append("one seed on each side is not enough to decide")
    if judgement.verdict is GateVerdict.IMPROVEMENT:
        parts.append(f"to accept it:\n{update}")
    return "; ".join(parts)


def _badness(finding: Finding) -> tuple[float, float]:
    """A sort key that puts the worst first: by verdict, then by the difference in units of the tolerance."""
    order: float = list(GateVerdict).index(finding.verdict)
    # An unclear row below the floor and an improvement come right after the regressions where they fail the check.
    if finding.fails and finding.verdict not in FAILING:
        order = 0.5 if finding.verdict is GateVerdict.UNCLEAR else 0.6
    if finding.judgement is None:
        return order, 0.0
    better = metric_of(finding.metric).better
    return order, better * finding.judgement.difference / max(finding.tolerance, 1e-9)
