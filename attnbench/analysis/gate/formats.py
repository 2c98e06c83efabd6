"""The formats of `attnbench check`: table, GitHub commands and Markdown show what changed; CSV and JSON all rows.

Names and error messages are written by users and by other programs, so every format escapes them.
"""

import json
import textwrap
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attnbench.analysis.csv_text import csv_text
from attnbench.analysis.gate.baseline import name_of
from attnbench.analysis.gate.check import Check, Finding
from attnbench.analysis.gate.judge import GateVerdict, Statistic, learned
from attnbench.analysis.numbers import rounded
from attnbench.analysis.width import is_limited, natural_width, sentence_width, wide_enough
from attnbench.cell import COLUMN_KINDS
from attnbench.errors import Exit
from attnbench.escapes import github_data, github_property, markdown, one_line
from attnbench.messages import NO_VALUE
from attnbench.metrics import metric_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

COLOURS = {
    GateVerdict.UNCLEAR: "yellow",
    GateVerdict.TOO_FEW: "yellow",
    GateVerdict.IMPROVEMENT: "green",
    GateVerdict.NEW: "cyan",
}
# The levels of GitHub's workflow commands; "error" for all other verdicts.
_LEVELS = {
    GateVerdict.UNCLEAR: "warning",
    GateVerdict.TOO_FEW: "warning",
    GateVerdict.IMPROVEMENT: "notice",
    GateVerdict.NEW: "notice",
}
LEAST_ROOM = 40  # columns of a message, however narrow the line is


def summary(check: Check) -> str:
    """One line: the run, the baseline, whether the check passed, and the number of findings of each verdict."""
    counts = Counter(finding.verdict for finding in check.findings)
    result = {Exit.OK: "passed", Exit.REGRESSION: "failed"}.get(check.exit, "failed: nothing could be compared")
    verdicts = ", ".join(_counted(counts[verdict], verdict) for verdict in GateVerdict if counts[verdict])
    return f"{check.name} against {check.baseline}: {result} ({verdicts})"


def _counted(number: int, verdict: GateVerdict) -> str:
    """The number of findings of a verdict: "6 regressions", "3 unchanged"."""
    countable = verdict in (GateVerdict.REGRESSION, GateVerdict.IMPROVEMENT)
    return f"{number} {verdict}{'s' * (countable and number != 1)}"


def changed(check: Check) -> list[Finding]:
    """All findings except the unchanged ones."""
    return [finding for finding in check.findings if finding.verdict is not GateVerdict.UNCHANGED]


def print_check(check: Check, console: "Console") -> None:
    """Prints a table of what changed, and the summary.

    The width of a terminal, or of COLUMNS, is respected. Elsewhere messages are wrapped, and names are whole: a log is
    searched line by line and a wrapped name is not found.
    """
    from rich.text import Text

    table = _table(check, None if is_limited(console) else sentence_width(console))
    if table.rows:
        with wide_enough(console, natural_width(table, console)):
            console.print(table)
    console.print(Text(summary(check), style="bold red" if check.exit else "bold green"), soft_wrap=True)


HEADS = ("verdict", "configuration", "metric", "baseline → run\n[interval]")


def _table(check: Check, width: int | None) -> "Table":
    """What changed; with a width, messages are wrapped to it, and nothing else is."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, header_style="cyan", pad_edge=False)
    for head in HEADS:
        breaks = width is None and head in ("configuration", "metric")
        table.add_column(Text(head), overflow="fold", no_wrap=not breaks)
    names, found = _names(check), changed(check)
    numbers = [_change(finding) for finding in found]
    room = None if width is None else _room(width, found, numbers)
    for finding, (first, second) in zip(found, numbers, strict=True):
        colour = "red" if finding.fails else COLOURS[finding.verdict]
        description = Text(names(finding)).append("".join(f"\n{x}" for x in _wrapped(finding, room)), style="dim")
        # In a narrow terminal the name of the statistic has a line of its own, so that the configuration has more room.
        second = second if width is not None else second.replace(" (", "\n(")
        shown = Text(first).append(f"\n{second}" if second else "", style="dim")
        table.add_row(Text(finding.verdict, style=colour), description, Text(finding.metric), shown)
    return table


def _room(width: int, found: list[Finding], numbers: list[tuple[str, str]]) -> int:
    """The columns that are left for the messages."""
    verdict, _, metric, last = HEADS
    others = [
        [verdict, *(finding.verdict for finding in found)],
        [metric, *(finding.metric for finding in found)],
        [*last.split("\n"), *(line for pair in numbers for line in pair)],
    ]
    borders = 3 * len(HEADS)
    return max(width - borders - sum(max(map(len, column)) for column in others), LEAST_ROOM)


def _wrapped(finding: Finding, room: int | None) -> list[str]:
    """The lines of a finding's message; with a room, none is longer, unless a single word is."""
    lines = [one_line(line) for line in finding.message.splitlines()]
    if room is None:
        return lines
    # A command is copied from the log, so it is not broken.
    broken = [[x] if x.startswith("attnbench ") else textwrap.wrap(x, room, break_long_words=False) for x in lines]
    return [part for parts in broken for part in parts]


def _names(check: Check) -> Callable[[Finding], str]:
    """A function that names configurations by score, task and the labels that vary: names must fit a terminal."""
    values: dict[str, set[str]] = {}
    for finding in check.findings:
        for column, value in finding.labels.items():
            values.setdefault(column, set()).add(value)
    constant = {column for column, known in values.items() if len(known) == 1 and column not in ("score", "task")}

    def name(finding: Finding) -> str:
        return one_line(name_of({c: NO_VALUE if c in constant else v for c, v in finding.labels.items()}))

    return name


def _change(finding: Finding) -> tuple[str, str]:
    """The values that were compared, and the interval of their difference: "0.998 → 0.512", "−0.52 to −0.45 (mean)"."""
    before, now, change, interval = _numbers(finding)
    return (f"{before} → {now}", interval or change) if before else ("", "")


def _numbers(finding: Finding) -> list[str]:
    """The baseline's and the run's value of the statistic that decided, their difference, and its interval."""
    judgement = finding.judgement
    if judgement is None:
        return ["", "", "", ""]
    decimals = metric_of(finding.metric).decimals
    statistic = judgement.statistic
    if statistic is Statistic.LEARNED:
        before, now = (f"{learned(list(side.values()))}/{len(side)} seeds" for side in (finding.baseline, finding.run))
        return [before, now, f"({statistic})", ""]
    old, new = finding.compared
    before, now = (f"{value:.{decimals}f}" if value is not None else NO_VALUE for value in (old, new))
    change = NO_VALUE if old is None or new is None else _signed(new - old, decimals)
    if statistic is Statistic.MEDIAN:
        before, now = f"mean {before}", f"median {now}"
    interval = ""
    if judgement.low is not None and judgement.high is not None:
        interval = f"{_signed(judgement.low, decimals)} to {_signed(judgement.high, decimals)} ({statistic})"
    elif statistic is not None:
        change = f"{change} ({statistic})"
    return [before, now, change, interval]


def _signed(value: float, decimals: int) -> str:
    return f"{value:+.{decimals}f}".replace("-", "−")


def sentence(finding: Finding) -> str:
    """One sentence per finding: "exact_match changed from 0.998 to 0.512 (−0.486; −0.52 to −0.45 (mean))"."""
    message = finding.message
    if finding.judgement is None:
        metric = f"{finding.metric}: " if finding.metric and message else ""
        return one_line(f"{metric}{message}" if message else "not in the baseline")
    before, now, change, interval = _numbers(finding)
    difference = ", interval ".join(filter(None, [change, interval]))
    text = f"{finding.metric} changed from {before} to {now} ({difference})"
    return one_line(f"{text}: {message}") if message else text


def to_github(check: Check) -> str:
    """One workflow command per change, which GitHub shows at the line of the baseline; then the summary."""
    lines = []
    for finding in changed(check):
        level = "error" if finding.fails else _LEVELS.get(finding.verdict, "error")
        place = f"file={github_property(check.baseline)},line={finding.line}," if finding.line else ""
        title = github_property(f"{finding.verdict}: {one_line(name_of(finding.labels))}")
        lines.append(f"::{level} {place}title={title}::{github_data(sentence(finding))}")
    return "\n".join([*lines, one_line(summary(check))]) + "\n"


def to_markdown(check: Check) -> str:
    """The summary, and a GitHub table of what changed."""

    def line(items: list[str]) -> str:
        return f"| {' | '.join(items)} |"

    rows = []
    for finding in changed(check):
        before, now, change, interval = _numbers(finding)
        numbers = [before, now, "<br>".join(filter(None, [change, interval]))]
        names = [finding.verdict, name_of(finding.labels), finding.metric]
        rows.append(line([*map(markdown, names), *numbers, markdown(finding.message)]))
    head = ["verdict", "configuration", "metric", "baseline", "run", "change", ""]
    table = [line(head), line(["---", "---", "---", "---:", "---:", "---:", "---"]), *rows]
    return "\n".join([f"**{markdown(summary(check))}**", *(["", *table] if rows else [])]) + "\n"


def to_csv(check: Check) -> str:
    """One line per finding, including the unchanged ones."""
    return csv_text(rounded(_records(check)))


def to_json(check: Check) -> str:
    """A list with one object per finding; its keys are the columns of the CSV."""
    return json.dumps(rounded(_records(check)), indent=1, ensure_ascii=False) + "\n"


def _records(check: Check) -> list[dict[str, Any]]:
    axes = sorted({name for finding in check.findings for name in finding.labels} - set(COLUMN_KINDS))
    records = []
    for finding in check.findings:
        judgement, (before, now) = finding.judgement, finding.means
        labels = {name: finding.labels.get(name, NO_VALUE) for name in (*COLUMN_KINDS, *axes)}
        numbers = {
            "baseline": before,
            "run": now,
            "difference": judgement.difference if judgement else None,
            "low": judgement.low if judgement else None,
            "high": judgement.high if judgement else None,
            "statistic": str(judgement.statistic) if judgement and judgement.statistic else None,
            "statistic_baseline": finding.compared[0],
            "statistic_run": finding.compared[1],
            "tolerance": finding.tolerance if judgement else None,
            "baseline_seeds": len(finding.baseline) or None,
            "run_seeds": len(finding.run) or None,
        }
        records.append(
            {"verdict": str(finding.verdict), **labels, "metric": finding.metric or None}
            | numbers
            | {"message": finding.message or None}
        )
    return records
