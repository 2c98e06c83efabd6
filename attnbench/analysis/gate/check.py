"""The gate: compares a run with a baseline row by row, and decides the exit status of `attnbench check`.

Exit statuses of a check that fails:

3   a regression; a failed cell; a configuration of the baseline that is not in the run or not finished; a metric that
    the run no longer has; or a configuration with changed settings ("not comparable"). Such a configuration was not
    compared with anything, so the baseline must be updated in the same change.
4   nothing was compared, and no cell failed: the wrong baseline, or settings that changed in every configuration.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from attnbench.analysis.gate.baseline import BaselineRow, Configuration, join_seeds, same_labels
from attnbench.analysis.gate.judge import ALLOWANCES, GateVerdict, Judgement, judge
from attnbench.analysis.settings import differences
from attnbench.errors import Exit
from attnbench.metrics import metric_of

# The probability that a check of unchanged code reports a regression, over all rows together. It is half of what is
# promised (one check in fifty), because values near 1 are less normal than Student's t assumes.
FALSE_ALARMS = 0.01
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
        baseline, run: the values by seed.
        line: the line in the baseline's file; 0 for a configuration that is not in it.
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

    @property
    def means(self) -> tuple[float | None, float | None]:
        """The mean of the baseline and of the run; None without values."""
        before, now = (fmean(values.values()) if values else None for values in (self.baseline, self.run))
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
        return Exit.REGRESSION if verdicts & {*FAILING} else Exit.OK


def check(
    name: str,
    file: str,
    rows: Sequence[BaselineRow],
    run: Sequence[Configuration],
    tolerances: Mapping[str, float] | None = None,
    false_alarms: float = FALSE_ALARMS,
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
        elif one.unfinished:
            findings.append(_unfinished(one.labels, one, group[0].line))
        elif not one.failed:
            pairs += [(row, one) for row in group]
    lines = {row.configuration: row.line for row in reversed(rows)}
    findings += [_failed(one, lines.get(one.key, 0)) for one in run if one.failed]
    findings += _compared(pairs, tolerances or {}, false_alarms)
    findings += [Finding(GateVerdict.NEW, one.labels) for one in run if id(one) not in in_baseline and not one.failed]
    return Check(name, file, sorted(findings, key=_badness))


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
    message = f"seeds {join_seeds(one.unfinished)} are not finished"
    return Finding(GateVerdict.MISSING, labels, message=message, line=line)


def _failed(one: Configuration, line: int) -> Finding:
    """The errors of a configuration's cells; seeds with the same error share one message."""
    errors = {error: [seed for seed, other in one.failed.items() if other == error] for error in one.failed.values()}
    message = "; ".join(f"seed {join_seeds(seeds)}: {error}" for error, seeds in errors.items())
    return Finding(GateVerdict.FAILED, one.labels, message=message, line=line)


def _compared(
    pairs: Sequence[tuple[BaselineRow, Configuration]], tolerances: Mapping[str, float], false_alarms: float
) -> list[Finding]:
    findings = []
    for row, one in pairs:
        allowance = ALLOWANCES[metric := row.metric.partition("@")[0]]
        tolerance = tolerances.get(row.metric, tolerances.get(metric, allowance.tolerance))
        run = one.values(row.metric)
        # The remaining seeds are not compared: those without a value may be the bad ones.
        if len(run) < len(one.metrics):
            message = f"seeds {join_seeds(seed for seed in one.metrics if seed not in run)} have no {row.metric}"
            findings.append(
                Finding(GateVerdict.MISSING, one.labels, row.metric, message, baseline=row.values, line=row.line)
            )
            continue
        better = metric_of(row.metric).better
        judgement = judge(row.values, run, better, tolerance, false_alarms / len(pairs), allowance.spread)
        findings.append(
            Finding(
                judgement.verdict,
                one.labels,
                row.metric,
                _advice(judgement.verdict),
                judgement,
                tolerance,
                row.values,
                run,
                row.line,
            )
        )
    return findings


def _advice(verdict: GateVerdict) -> str:
    """What a user can do about a verdict; "" where the numbers are enough."""
    if verdict is GateVerdict.UNCLEAR:
        return "worse, but within the variation of the seeds; more seeds would decide"
    if verdict is GateVerdict.TOO_FEW:
        return "one seed on each side is not enough to decide"
    if verdict is GateVerdict.IMPROVEMENT:
        return "to accept it: attnbench baseline --update"
    return ""


def _badness(finding: Finding) -> tuple[int, float]:
    """A sort key that puts the worst first: by verdict, then by the difference in units of the tolerance."""
    order = list(GateVerdict).index(finding.verdict)
    if finding.judgement is None:
        return order, 0.0
    better = metric_of(finding.metric).better
    return order, better * finding.judgement.difference / max(finding.tolerance, 1e-9)
