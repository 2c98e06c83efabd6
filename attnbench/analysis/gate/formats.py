"""What a check says, in the formats of `attnbench check`: people read what changed, machines get every row."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from attnbench.analysis.gate.baseline import name_of
from attnbench.analysis.gate.check import FAILING, Check, Finding
from attnbench.analysis.gate.judge import GateVerdict
from attnbench.cell import KINDS
from attnbench.errors import Exit
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
_LEVELS = {
    GateVerdict.UNCLEAR: "warning",
    GateVerdict.TOO_FEW: "warning",
    GateVerdict.IMPROVEMENT: "notice",
    GateVerdict.NEW: "notice",
}
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~#&$])")


def summary(check: Check) -> str:
    """One line: what was held against what, how it ended, and how many of each state."""
    counts = Counter(finding.verdict for finding in check.findings)
    ending = {Exit.OK: "passed", Exit.REGRESSION: "failed"}.get(check.exit, "failed: nothing could be compared")
    told = ", ".join(f"{counts[state]} {state}" for state in GateVerdict if counts[state])
    return f"{check.name} against {check.baseline}: {ending} ({told})"


def changed(check: Check) -> list[Finding]:
    """All but the rows that are as they were."""
    return [finding for finding in check.findings if finding.verdict is not GateVerdict.UNCHANGED]


def print_check(check: Check, console: "Console") -> None:
    """Prints the table of what changed; off a terminal as wide as it needs to be."""
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
        colour = "red" if finding.verdict in FAILING else COLOURS[finding.verdict]
        what = Text(names(finding))
        if finding.message:
            what.append(f"\n{printable(finding.message)}", style="dim")
        numbers = Text()
        if finding.judgement:
            before, now, change = _numbers(finding)
            numbers = Text.assemble(f"{before} → {now}\n", (change.partition("\n")[2] or change, "dim"))
        table.add_row(Text(finding.verdict, style=colour), what, Text(finding.metric), numbers)
    given = console.width
    console.width = 10_000
    needed = console.measure(table).maximum if table.rows else 0
    console.width = given if console.is_terminal else max(given, needed, len(summary(check)))
    if table.rows:
        console.print(table)
    console.print(Text(summary(check), style="bold red" if check.exit else "bold green"))
    console.width = given


def _names(check: Check) -> Callable[[Finding], str]:
    """Names configurations by the labels that vary; by all of them where none does."""
    values: dict[str, set[str]] = {}
    for finding in check.findings:
        for column, value in finding.labels.items():
            values.setdefault(column, set()).add(value)
    alike = {column for column, found in values.items() if len(found) == 1 and column not in ("score", "task")}

    def name(finding: Finding) -> str:
        return printable(name_of({c: NO_VALUE if c in alike else v for c, v in finding.labels.items()}))

    return name


def _numbers(finding: Finding) -> list[str]:
    """The two means and the change with its interval, as a table shows them."""
    if finding.judgement is None:
        return ["", "", ""]
    decimals = metric_of(finding.metric).decimals
    before, now = (f"{mean:.{decimals}f}" if mean is not None else NO_VALUE for mean in finding.means)
    judgement = finding.judgement
    change = _signed(judgement.difference, decimals)
    if judgement.low is not None and judgement.high is not None:
        change += f"\n{_signed(judgement.low, decimals)} to {_signed(judgement.high, decimals)}"
    return [before, now, change]


def _signed(value: float, decimals: int) -> str:
    return f"{value:+.{decimals}f}".replace("-", "−")


def printable(text: str) -> str:
    """The text in one line, and without what a terminal or a log would obey."""
    return "".join(sign if sign.isprintable() else " " if sign.isspace() else "\ufffd" for sign in text)


def sentence(finding: Finding) -> str:
    """A finding in words: "exact_match fell from 0.998 to 0.512 (−0.486; −0.52 to −0.45)"."""
    if finding.judgement is None:
        words = finding.message
        return printable(f"{finding.metric}: {words}" if finding.metric and words else words or "not in the baseline")
    before, now, change = _numbers(finding)
    words = f"{finding.metric} went from {before} to {now} ({change.replace(chr(10), ', interval ')})"
    return f"{words}: {finding.message}" if finding.message else words


def to_github(check: Check) -> str:
    """A workflow command per finding, at its line of the baseline, and the summary."""
    lines = []
    for finding in changed(check):
        level = _LEVELS.get(finding.verdict, "error")
        place = f"file={_property(check.baseline)},line={finding.line}," if finding.line else ""
        title = _property(f"{finding.verdict}: {printable(name_of(finding.labels))}")
        lines.append(f"::{level} {place}title={title}::{_data(sentence(finding))}")
    return "\n".join([*lines, printable(summary(check))]) + "\n"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def to_markdown(check: Check) -> str:
    """The summary, and a GitHub table of what changed."""

    def line(items: list[str]) -> str:
        return f"| {' | '.join(items)} |"

    rows = []
    for finding in changed(check):
        numbers = [number.replace("\n", "<br>") for number in _numbers(finding)]
        names = [finding.verdict, name_of(finding.labels), finding.metric]
        rows.append(line([*map(_escaped, names), *numbers, _escaped(finding.message)]))
    head = ["verdict", "configuration", "metric", "baseline", "run", "change", ""]
    table = [line(head), line(["---", "---", "---", "---:", "---:", "---:", "---"]), *rows]
    return "\n".join([f"**{_escaped(summary(check))}**", *(["", *table] if rows else [])]) + "\n"


def _escaped(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", printable(text))


def to_csv(check: Check) -> str:
    """A line per finding, the unchanged ones as well."""
    records = _records(check)
    out = io.StringIO()
    columns = list(dict.fromkeys(name for record in records for name in record))
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return out.getvalue()


def to_json(check: Check) -> str:
    """A list with one object per finding, of the same names as the CSV's columns."""
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
    """JUnit's XML, a test per finding: an error for failed cells, a failure for what else fails, skipped if new."""
    findings = check.findings
    errors = sum(finding.verdict is GateVerdict.FAILED for finding in findings)
    counts = {
        "tests": str(len(findings)),
        "failures": str(sum(finding.verdict in FAILING for finding in findings) - errors),
        "errors": str(errors),
        "skipped": str(sum(finding.verdict in (GateVerdict.NEW, GateVerdict.TOO_FEW) for finding in findings)),
    }
    suites = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(suites, "testsuite", {"name": _xml(f"attnbench check {check.name}"), **counts})
    for finding in findings:
        name = f"{name_of(finding.labels)}: {finding.metric}" if finding.metric else name_of(finding.labels)
        case = ElementTree.SubElement(suite, "testcase", {"classname": _xml(check.name), "name": _xml(name)})
        words = _xml(sentence(finding))
        if finding.verdict in FAILING:
            tag = "error" if finding.verdict is GateVerdict.FAILED else "failure"
            result = ElementTree.SubElement(case, tag, {"type": finding.verdict, "message": words})
            result.text = _xml(finding.message) or words
        elif finding.verdict in (GateVerdict.NEW, GateVerdict.TOO_FEW):
            ElementTree.SubElement(case, "skipped", {"message": words})
        else:
            ElementTree.SubElement(case, "system-out").text = f"{finding.verdict}: {words}"
    ElementTree.indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(suites, encoding="unicode")}\n'


def _xml(text: str) -> str:
    """The text with a sign in place of those that XML cannot hold."""
    return _NOT_IN_XML.sub("\ufffd", text)
