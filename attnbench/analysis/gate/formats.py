"""The formats of `attnbench check`: table, GitHub commands and Markdown show what changed; CSV, JSON, JUnit all rows.

Names and error messages are written by users and by other programs, so every format escapes them.
"""

import json
import re
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from attnbench.analysis.csv_text import csv_text
from attnbench.analysis.gate.baseline import name_of
from attnbench.analysis.gate.check import Check, Finding
from attnbench.analysis.gate.judge import GateVerdict
from attnbench.cell import KINDS
from attnbench.errors import Exit
from attnbench.escapes import markdown, one_line
from attnbench.messages import NO_VALUE
from attnbench.metrics import metric_of

if TYPE_CHECKING:
    from rich.console import Console

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
# XML 1.0 has no way to write these, not even as references.
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def summary(check: Check) -> str:
    """One line: the run, the baseline, whether the check passed, and the number of findings of each verdict."""
    counts = Counter(finding.verdict for finding in check.findings)
    result = {Exit.OK: "passed", Exit.REGRESSION: "failed"}.get(check.exit, "failed: nothing could be compared")
    verdicts = ", ".join(f"{counts[verdict]} {verdict}" for verdict in GateVerdict if counts[verdict])
    return f"{check.name} against {check.baseline}: {result} ({verdicts})"


def changed(check: Check) -> list[Finding]:
    """All findings except the unchanged ones."""
    return [finding for finding in check.findings if finding.verdict is not GateVerdict.UNCHANGED]


def print_check(check: Check, console: "Console") -> None:
    """Prints a table of what changed, and the summary.

    A terminal's width is respected. Elsewhere the table is as wide as its content, since a log is searched line by line
    and a wrapped name is not found.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, header_style="cyan", pad_edge=False)
    for head in ("verdict", "configuration"):
        table.add_column(head, overflow="fold", no_wrap=head == "verdict")
    table.add_column("metric", overflow="fold")
    table.add_column("baseline → run\nchange", no_wrap=True)
    names = _names(check)
    for finding in changed(check):
        colour = "red" if finding.fails else COLOURS[finding.verdict]
        description = Text(names(finding))
        if finding.message:
            description.append(f"\n{one_line(finding.message)}", style="dim")
        numbers = Text()
        if finding.judgement:
            before, now, change = _numbers(finding)
            numbers = Text.assemble(f"{before} → {now}\n", (change.partition("\n")[2] or change, "dim"))
        table.add_row(Text(finding.verdict, style=colour), description, Text(finding.metric), numbers)
    original = console.width
    console.width = 10_000  # rich measures at most the width of the console
    needed = console.measure(table).maximum if table.rows else 0
    console.width = original if console.is_terminal else max(original, needed, len(summary(check)))
    if table.rows:
        console.print(table)
    console.print(Text(summary(check), style="bold red" if check.exit else "bold green"))
    console.width = original


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


def _numbers(finding: Finding) -> list[str]:
    """The mean of the baseline, the mean of the run, and the change with its interval on a second line."""
    if finding.judgement is None:
        return ["", "", ""]
    decimals = metric_of(finding.metric).decimals
    before, now = (f"{mean:.{decimals}f}" if mean is not None else NO_VALUE for mean in finding.means)
    judgement = finding.judgement
    change = _signed(judgement.difference, decimals)
    if judgement.low is not None and judgement.high is not None:
        # The interval is that of the statistic, which need not be the difference of the means.
        ends = f"{_signed(judgement.low, decimals)} to {_signed(judgement.high, decimals)}"
        change += f"\n{ends} ({judgement.statistic})"
    elif judgement.statistic is not None:
        change += f"\n({judgement.statistic})"
    return [before, now, change]


def _signed(value: float, decimals: int) -> str:
    return f"{value:+.{decimals}f}".replace("-", "−")


def sentence(finding: Finding) -> str:
    """One sentence per finding: "exact_match changed from 0.998 to 0.512 (−0.486, interval −0.52 to −0.45 (mean))"."""
    message = finding.message
    if finding.judgement is None:
        metric = f"{finding.metric}: " if finding.metric and message else ""
        return one_line(f"{metric}{message}" if message else "not in the baseline")
    before, now, change = _numbers(finding)
    text = f"{finding.metric} changed from {before} to {now} ({change.replace(chr(10), ', interval ')})"
    return f"{text}: {message}" if message else text


def to_github(check: Check) -> str:
    """One workflow command per change, which GitHub shows at the line of the baseline; then the summary."""
    lines = []
    for finding in changed(check):
        level = "error" if finding.fails else _LEVELS.get(finding.verdict, "error")
        place = f"file={_property(check.baseline)},line={finding.line}," if finding.line else ""
        title = _property(f"{finding.verdict}: {one_line(name_of(finding.labels))}")
        lines.append(f"::{level} {place}title={title}::{_data(sentence(finding))}")
    return "\n".join([*lines, one_line(summary(check))]) + "\n"


def _data(text: str) -> str:
    """The escapes of a workflow command's message, as in GitHub's actions/toolkit, packages/core/src/command.ts."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """The escapes of a workflow command's property, which ends at a colon or a comma."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def to_markdown(check: Check) -> str:
    """The summary, and a GitHub table of what changed."""

    def line(items: list[str]) -> str:
        return f"| {' | '.join(items)} |"

    rows = []
    for finding in changed(check):
        numbers = [number.replace("\n", "<br>") for number in _numbers(finding)]
        names = [finding.verdict, name_of(finding.labels), finding.metric]
        rows.append(line([*map(markdown, names), *numbers, markdown(finding.message)]))
    head = ["verdict", "configuration", "metric", "baseline", "run", "change", ""]
    table = [line(head), line(["---", "---", "---", "---:", "---:", "---:", "---"]), *rows]
    return "\n".join([f"**{markdown(summary(check))}**", *(["", *table] if rows else [])]) + "\n"


def to_csv(check: Check) -> str:
    """One line per finding, including the unchanged ones."""
    return csv_text(_records(check))


def to_json(check: Check) -> str:
    """A list with one object per finding; its keys are the columns of the CSV."""
    return json.dumps(_records(check), indent=1, ensure_ascii=False) + "\n"


def _records(check: Check) -> list[dict[str, Any]]:
    axes = sorted({name for finding in check.findings for name in finding.labels} - set(KINDS))
    records = []
    for finding in check.findings:
        judgement, (before, now) = finding.judgement, finding.means
        labels = {name: finding.labels.get(name, NO_VALUE) for name in (*KINDS, *axes)}
        numbers = {
            "baseline": before,
            "run": now,
            "difference": judgement.difference if judgement else None,
            "low": judgement.low if judgement else None,
            "high": judgement.high if judgement else None,
            "statistic": str(judgement.statistic) if judgement and judgement.statistic else None,
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


def to_junit(check: Check) -> str:
    """JUnit XML with one test case per finding.

    Failed cells are errors, other verdicts that fail the check are failures, and new configurations and rows with too
    few seeds are skipped.
    """
    findings = check.findings
    errors = sum(finding.verdict is GateVerdict.FAILED for finding in findings)
    counts = {
        "tests": str(len(findings)),
        "failures": str(sum(finding.fails for finding in findings) - errors),
        "errors": str(errors),
        "skipped": str(sum(finding.verdict in (GateVerdict.NEW, GateVerdict.TOO_FEW) for finding in findings)),
    }
    suites = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(suites, "testsuite", {"name": _xml(f"attnbench check {check.name}"), **counts})
    for finding in findings:
        name = f"{name_of(finding.labels)}: {finding.metric}" if finding.metric else name_of(finding.labels)
        case = ElementTree.SubElement(suite, "testcase", {"classname": _xml(check.name), "name": _xml(name)})
        message = _xml(sentence(finding))
        if finding.fails:
            tag = "error" if finding.verdict is GateVerdict.FAILED else "failure"
            result = ElementTree.SubElement(case, tag, {"type": finding.verdict, "message": message})
            result.text = _xml(finding.message) or message
        elif finding.verdict in (GateVerdict.NEW, GateVerdict.TOO_FEW):
            ElementTree.SubElement(case, "skipped", {"message": message})
        else:
            ElementTree.SubElement(case, "system-out").text = f"{finding.verdict}: {message}"
    ElementTree.indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(suites, encoding="unicode")}\n'


def _xml(text: str) -> str:
    """The text with a � for each character that XML does not allow."""
    return _NOT_IN_XML.sub("\ufffd", text)
