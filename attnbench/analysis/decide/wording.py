"""The decisions of a run as sentences and as records."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from attnbench.analysis.decide.decision import PairVerdict, excluded_failure_rate
from attnbench.analysis.decide.sequential import Answer
from attnbench.analysis.decide.settings import Rule, Setting
from attnbench.analysis.labels import listed, row_label, text
from attnbench.grid.labels import Label
from attnbench.metrics import metric_of

Pair = PairVerdict[Label]


def sentences(rule: Rule, found: Iterable[Setting]) -> list[str]:
    """What is decided in each setting, then how it is to be read."""
    found = [setting for setting in found if setting.decision is not None]
    lines = [line for setting in found for line in _of_setting(rule, setting)]
    pairs = [pair for setting in found if setting.decision for pair in setting.decision.pairs.values()]
    if any(pair.verdict in (Answer.BETTER, Answer.WORSE, Answer.EQUIVALENT) for pair in pairs):
        lines.append(
            f"Seeds are added until all pairs of {rule.axis} are settled, at most {rule.at_most}. An error in any "
            "pair of a setting has a probability of at most 5 %. Intervals are those of the last look."
        )
    if same := [pair.seeds for pair in pairs if pair.verdict is Answer.EQUIVALENT]:
        rate = excluded_failure_rate(min(same))
        rare = f"failures in fewer than {rate:.0%} of the seeds are not excluded"
        lines.append(f"Equivalent: within ±{rule.margin:g}; {rare}.")
    return lines


def progress(found: Iterable[Setting]) -> list[str]:
    """For each setting, how many pairs are settled and at how many seeds, and which are open."""
    lines = []
    for setting in found:
        if setting.decision is None or not setting.decision.look:
            continue
        pairs = setting.decision.pairs.values()
        settled = [pair for pair in pairs if pair.verdict not in (Answer.OPEN, Answer.UNDECIDED)]
        left = [f"{text(pair.a)} and {text(pair.b)}" for pair in pairs if pair not in settled]
        at = Counter(pair.seeds for pair in settled)
        how = ", ".join(f"{number} at {seeds} seeds" for seeds, number in sorted(at.items()))
        name = row_label(setting.labels, setting.labels.values(), between=", ")
        line = f"{name}: {len(settled)} of {len(pairs)} pairs settled{f' ({how})' if how else ''}"
        word = "undecided" if setting.decision.finished else "open"
        lines.append(f"{line}; {word}: {', '.join(left)}" if left else line)
    return lines


def records(rule: Rule, found: Iterable[Setting]) -> list[dict[str, Any]]:
    """One record per setting and pair: its labels, a, b, the verdict about a, seeds, difference, interval and p."""
    return [
        {
            **setting.labels,
            "axis": rule.axis,
            "a": pair.a,
            "b": pair.b,
            "verdict": pair.verdict.value,
            "seeds": pair.seeds,
            "difference": pair.comparison and pair.comparison.difference,
            "low": pair.comparison and pair.comparison.low,
            "high": pair.comparison and pair.comparison.high,
            "p": pair.comparison and pair.comparison.p,
            "level": pair.level,
            "smallest": pair.smallest,
        }
        for setting in found
        if setting.decision is not None
        for pair in setting.decision.pairs.values()
    ]


def _of_setting(rule: Rule, setting: Setting) -> list[str]:
    assert setting.decision is not None
    name = row_label(setting.labels, setting.labels.values(), between=", ")
    pairs = list(setting.decision.pairs.values())
    lines = [f"{name}: {better}" for better in _better(rule, pairs)]
    for verdict, words in (
        (Answer.EQUIVALENT, "equivalent"),
        (Answer.UNDECIDED, "undecided"),
        (Answer.OPEN, "not settled yet"),
        (Answer.NOT_COMPARABLE, f"not comparable: a seed has no {rule.metric}"),
    ):
        if of := [_pair(rule, pair) for pair in pairs if pair.verdict is verdict]:
            lines.append(f"{name}: {words}: {'; '.join(of)}")
    return lines


def _better(rule: Rule, pairs: Iterable[Pair]) -> list[str]:
    """A line for each value that is better than others, with the differences and the numbers of seeds."""
    metric = metric_of(rule.metric)
    winners: dict[Label, list[str]] = {}
    for pair in pairs:
        if pair.verdict not in (Answer.BETTER, Answer.WORSE) or pair.comparison is None:
            continue
        winner, loser = (pair.a, pair.b) if pair.verdict is Answer.BETTER else (pair.b, pair.a)
        difference = pair.comparison.difference * (1 if winner == pair.a else -1)
        shown = f"{text(loser)} ({difference:+.{metric.decimals}f}, {pair.seeds} seeds)"
        winners.setdefault(winner, []).append(shown)
    return [f"{text(winner)} is better than {listed(losers)}" for winner, losers in winners.items()]


def _pair(rule: Rule, pair: Pair) -> str:
    names = f"{text(pair.a)} and {text(pair.b)}"
    if pair.verdict is not Answer.UNDECIDED:
        return f"{names} ({pair.seeds} seeds)" if pair.seeds else names
    decimals = metric_of(rule.metric).decimals
    least = f"; could have shown a difference of {pair.smallest:.{decimals}f}" if pair.smallest else ""
    return f"{names} ({pair.seeds} seeds{least})"
