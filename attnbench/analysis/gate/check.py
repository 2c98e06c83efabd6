"""The gate: holds a run against a baseline, row by row, and says what got worse.

What fails a check, by its exit code:

3   a regression; a failed cell; a configuration of the baseline that the run has not, or has not finished; a metric
    that it has no longer; or a configuration whose settings changed ("not comparable"): nobody held it against
    anything, so the baseline is to be updated in the same change.
4   nothing was compared at all, and no cell failed: the wrong baseline, or settings that changed everywhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from attnbench.analysis.gate.baseline import BaselineRow, Configuration, join, same_labels
from attnbench.analysis.gate.judge import ALLOWANCES, GateVerdict, Judgement, judge
from attnbench.errors import Exit
from attnbench.metrics import metric_of

# The chance that a check of unchanged code fails, over all its rows together: half of what is promised (one check in
# fifty), since values near 1 are not as normal as Student's t believes.
FALSE_ALARMS = 0.01
FAILING = (GateVerdict.REGRESSION, GateVerdict.FAILED, GateVerdict.MISSING, GateVerdict.NOT_COMPARABLE)
COMPARED = (GateVerdict.REGRESSION, GateVerdict.UNCLEAR, GateVerdict.IMPROVEMENT, GateVerdict.UNCHANGED)
_MOST_NAMED = 4  # settings


@dataclass(frozen=True)
class Finding:
    """What the check says about one row, or about a configuration as a whole (its metric is "" then).

    Attributes:
        verdict: of the row or the configuration.
        labels: of the configuration.
        metric: that was compared.
        message: what else there is to say.
        judgement: where values were compared.
        tolerance: that it was judged by.
        baseline, run: the values by seed.
        line: of the baseline's file; 0 for what is not in it.
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
        """Of the baseline and of the run."""
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
        """The status that the command ends with."""
        verdicts = {finding.verdict for finding in self.findings}
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

    The false alarms are shared by all rows that are compared (Bonferroni), so that one regression is enough to fail a
    large grid as well.

    Args:
        name, file: of the run and of the baseline, for the titles.
        rows: the baseline.
        run: what the run has.
        tolerances: by metric, with or without its test length, instead of the default.
        false_alarms: the chance that unchanged code is said to be worse.
    """
    by_key = {one.key: one for one in run if one.key}
    groups: dict[str, list[BaselineRow]] = {}
    for row in rows:
        groups.setdefault(row.configuration, []).append(row)
    findings: list[Finding] = []
    pairs: list[tuple[BaselineRow, Configuration]] = []
    known = {id(one) for key, one in by_key.items() if key in groups}
    for key, group in groups.items():
        if (one := by_key.get(key)) is None:
            finding, instead = _absent(group[0], [other for other in run if other.key not in groups])
            findings.append(finding)
            known.add(id(instead))
        elif one.waiting:
            what = f"seeds {join(one.waiting)} are not finished"
            findings.append(Finding(GateVerdict.MISSING, one.labels, message=what, line=group[0].line))
        elif not one.failed:
            pairs += [(row, one) for row in group]
    lines = {row.configuration: row.line for row in reversed(rows)}
    findings += [_failed(one, lines.get(one.key, 0)) for one in run if one.failed]
    findings += _compared(pairs, tolerances or {}, false_alarms)
    findings += [Finding(GateVerdict.NEW, one.labels) for one in run if id(one) not in known and not one.failed]
    return Check(name, file, sorted(findings, key=_badness))


def _absent(row: BaselineRow, others: Sequence[Configuration]) -> tuple[Finding, Configuration | None]:
    """A configuration that the run has not by these settings: changed, not finished, or missing; and what it has."""
    same = [other for other in others if same_labels(row.labels, other.labels)]
    if changed := [(differences(row.settings, other.settings), other) for other in same if other.key]:
        nearest, instead = min(changed, key=lambda pair: len(pair[0]))
        more = f"; and {len(nearest) - _MOST_NAMED} more" if len(nearest) > _MOST_NAMED else ""
        what = f"{'; '.join(nearest[:_MOST_NAMED])}{more}"
        return Finding(GateVerdict.NOT_COMPARABLE, row.labels, message=what, line=row.line), instead
    if same:
        what = f"seeds {join(same[0].waiting)} are not finished"
        return Finding(GateVerdict.MISSING, row.labels, message=what, line=row.line), same[0]
    return Finding(GateVerdict.MISSING, row.labels, message="the run has no such configuration", line=row.line), None


def differences(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """The settings that are not the same, each as "train.steps: 800 → 20"."""
    names = [name for name in (*old, *(n for n in new if n not in old)) if old.get(name) != new.get(name)]
    return [f"{name}: {old.get(name, 'nothing')} → {new.get(name, 'nothing')}" for name in names]


def _failed(one: Configuration, line: int) -> Finding:
    errors = {error: [seed for seed, other in one.failed.items() if other == error] for error in one.failed.values()}
    what = "; ".join(f"seed {join(seeds)}: {error}" for error, seeds in errors.items())
    return Finding(GateVerdict.FAILED, one.labels, message=what, line=line)


def _compared(
    pairs: Sequence[tuple[BaselineRow, Configuration]], tolerances: Mapping[str, float], false_alarms: float
) -> list[Finding]:
    findings = []
    for row, one in pairs:
        allowed = ALLOWANCES[kind := row.metric.partition("@")[0]]
        tolerance = tolerances.get(row.metric, tolerances.get(kind, allowed.tolerance))
        run = one.values(row.metric)
        if len(run) < len(one.metrics):
            what = f"seeds {join(seed for seed in one.metrics if seed not in run)} have no {row.metric}"
            findings.append(
                Finding(GateVerdict.MISSING, one.labels, row.metric, what, baseline=row.values, line=row.line)
            )
            continue
        better = metric_of(row.metric).better
        judgement = judge(row.values, run, better, tolerance, false_alarms / len(pairs), allowed.spread)
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
    """What a user should know about a verdict in addition to its numbers."""
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
