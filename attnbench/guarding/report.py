"""The report of a guard, in the formats of `attnbench guard`."""

import json
import math
import textwrap
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from attnbench.analysis.gate import formats as gate
from attnbench.analysis.gate.check import Check as Comparison
from attnbench.errors import Exit
from attnbench.escapes import github_data, github_property, one_line, xml
from attnbench.guarding.probe import Outcome, Result

if TYPE_CHECKING:
    from rich.console import Console

LONGEST_WORD = max(map(len, Outcome))
COLOURS = {Outcome.PASSED: "green", Outcome.FAILED: "red", Outcome.WARNED: "yellow", Outcome.SKIPPED: "dim"}


@dataclass(frozen=True)
class Report:
    """All results for one attention.

    Attributes:
        name: of the attention, as it was given.
        heading: how it was called, on one line.
        results: in the order of the checks.
        comparison: of the trained part with a baseline; None without one.
        strict: whether warnings fail.
        built: the expression that builds it; "" if it is not built.
        causal: whether it is causal.
        not_run: the names of the checks that were not run because of Ctrl-C.
    """

    name: str
    heading: str
    results: list[Result]
    comparison: Comparison | None = None
    strict: bool = False
    built: str = ""
    causal: bool = False
    not_run: tuple[str, ...] = ()

    @property
    def failed(self) -> list[Result]:
        """The results that fail the guard."""
        return [result for result in self.results if fails(result, self.strict)]

    @property
    def exit(self) -> Exit:
        """The exit status of the command."""
        if self.not_run:
            return Exit.INTERRUPTED
        if self.failed:
            return Exit.REGRESSION
        return Exit.OK if self.comparison is None else self.comparison.exit


def fails(result: Result, strict: bool) -> bool:
    """Whether a result fails the guard."""
    return result.outcome is Outcome.FAILED or (strict and result.outcome is Outcome.WARNED)


def summary(report: Report) -> str:
    """One line with the numbers of each outcome."""
    counts = Counter(result.outcome for result in report.results)
    numbers = ", ".join(f"{counts[outcome]} {outcome}" for outcome in Outcome if counts[outcome])
    outcome = "interrupted" if report.not_run else "failed" if report.exit else "passed"
    rest = f"; not run: {', '.join(report.not_run)}" if report.not_run else ""
    return one_line(f"{report.name}: {outcome} ({numbers}{rest})")


def to_text(report: Report) -> str:
    """A line per check, then the counterexample of each that failed, with a script that reproduces it."""
    width = max(len(result.name) for result in report.results)
    lines = [
        f"  {r.name:{width}}  {word_of(r, report.strict):{LONGEST_WORD}}  {remark_of(r)}".rstrip()
        for r in report.results
    ]
    return "\n".join([one_line(report.heading), *lines, *details(report), summary(report)]) + "\n"


def print_text(report: Report, console: "Console") -> None:
    """Prints `to_text` in colours, with the remarks wrapped in a column of their own."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for result in report.results:
        style = "bold red" if fails(result, report.strict) else COLOURS[result.outcome]
        word = Text(word_of(result, report.strict), style=style)
        table.add_row(
            Text(f"  {result.name}"), word, Text(remark_of(result), style="" if result.counterexample else "dim")
        )
    console.print(Text(one_line(report.heading), style="bold"), soft_wrap=True)
    console.print(table)
    console.print(Text("\n".join(details(report))), soft_wrap=True)
    console.print(Text(summary(report), style="bold red" if report.exit else "bold green"), soft_wrap=True)


def word_of(result: Result, strict: bool) -> str:
    """The outcome, in capitals if it fails the guard."""
    return result.outcome.upper() if fails(result, strict) else str(result.outcome)


def remark_of(result: Result) -> str:
    """What was broken, with the numbers; or why the check does not apply."""
    return one_line(f"{result.reason}: {found_in(result)}" if result.counterexample else result.reason)


def details(report: Report) -> list[str]:
    """The counterexample of each check that failed, with its script, and the comparison with a baseline."""
    lines = [""]
    for result in report.failed:
        if result.counterexample is not None:
            script = textwrap.indent(result.counterexample.snippet, " " * 4)
            lines += [f"{result.name}: {result.law}", f"  {remark_of(result)}", "", script]
    if report.comparison is not None:
        lines += [compared(report.comparison), ""]
    return lines


def found_in(result: Result) -> str:
    """The two numbers of a counterexample, and where they were found."""
    case = result.counterexample
    assert case is not None
    dtype = case.dtype.removeprefix("torch.")
    # The checks of half precision convert inputs of float32.
    of_dtype = "" if result.name in ("float16", "bfloat16") else f", {dtype}"
    return one_line(f"{case.found}; {case.size}, seed {case.seed}{of_dtype}")


def compared(comparison: Comparison) -> str:
    """The lines of a comparison with a baseline."""
    lines = [
        f"  {finding.labels['task']} {finding.verdict}: {gate.sentence(finding)}" for finding in comparison.findings
    ]
    return "\n".join([f"against {comparison.baseline}:", *lines])


def to_json(report: Report) -> str:
    """An object with all results."""
    results = [_record(result) | {"fails": fails(result, report.strict)} for result in report.results]
    found: dict[str, Any] = {
        "attention": report.name,
        "called": report.heading,
        "exit": int(report.exit),
        "not_run": list(report.not_run),
        "results": results,
    }
    if report.comparison is not None:
        found["baseline"] = json.loads(gate.to_json(report.comparison))
    return json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _record(result: Result) -> dict[str, Any]:
    """A result as JSON data, in which NaN and infinities do not exist: they are null, and in the words of `found`."""
    record = asdict(result) | {"outcome": str(result.outcome)}
    if case := record["counterexample"]:
        for name in ("first", "second"):
            case[name] = case[name] if case[name] is not None and math.isfinite(case[name]) else None
    return record


def to_junit(report: Report) -> str:
    """JUnit XML with a test case per check, and per row of the baseline."""
    cases = [
        ElementTree.Element("testcase", {"classname": xml(report.name), "name": xml(r.name)}) for r in report.results
    ]
    for case, result in zip(cases, report.results, strict=True):
        if fails(result, report.strict):
            details = {"type": str(result.outcome), "message": xml(one_line(result.reason))}
            ElementTree.SubElement(case, "failure", details).text = xml(details_of(result))
        elif result.outcome is Outcome.SKIPPED:
            ElementTree.SubElement(case, "skipped", {"message": xml(one_line(result.reason))})
        elif result.reason:
            ElementTree.SubElement(case, "system-out").text = xml(details_of(result))
    failures, skipped = len(report.failed), sum(result.outcome is Outcome.SKIPPED for result in report.results)
    for finding in report.comparison.findings if report.comparison else ():
        name = f"{finding.labels['task']}: {finding.metric} against the baseline"
        case = ElementTree.Element("testcase", {"classname": xml(report.name), "name": xml(name)})
        if finding.fails:
            failures += 1
            ElementTree.SubElement(
                case, "failure", {"type": str(finding.verdict), "message": xml(gate.sentence(finding))}
            )
        cases.append(case)
    for name in report.not_run:
        case = ElementTree.Element("testcase", {"classname": xml(report.name), "name": xml(name)})
        ElementTree.SubElement(case, "error", {"message": "interrupted before it was run"})
        cases.append(case)
    counts = {
        "tests": str(len(cases)),
        "failures": str(failures),
        "errors": str(len(report.not_run)),
        "skipped": str(skipped),
    }
    suites = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(suites, "testsuite", {"name": xml(f"attnbench guard {report.name}"), **counts})
    suite.extend(cases)
    ElementTree.indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(suites, encoding="unicode")}\n'


def details_of(result: Result) -> str:
    """The reason, and the counterexample if there is one."""
    if result.counterexample is None:
        return result.reason
    return f"{result.reason}\n{found_in(result)}\n\n{result.counterexample.snippet}"


def to_github(report: Report) -> str:
    """One workflow command per check that fails or warns; then the summary."""
    lines = []
    for result in report.results:
        if result.outcome in (Outcome.FAILED, Outcome.WARNED):
            level = "error" if fails(result, report.strict) else "warning"
            title = github_property(one_line(f"attnbench guard {report.name}: {result.name}"))
            lines.append(f"::{level} title={title}::{github_data(details_of(result))}")
    if report.comparison is not None:
        lines.append(gate.to_github(report.comparison).rstrip("\n"))
    return "\n".join([*lines, summary(report)]) + "\n"
