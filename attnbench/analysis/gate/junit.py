"""The JUnit XML of `attnbench check --junit`."""

from xml.etree import ElementTree

from attnbench.analysis.gate.baseline import name_of
from attnbench.analysis.gate.check import Check
from attnbench.analysis.gate.formats import sentence
from attnbench.analysis.gate.judge import GateVerdict
from attnbench.escapes import xml


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
    suite = ElementTree.SubElement(suites, "testsuite", {"name": xml(f"attnbench check {check.name}"), **counts})
    for finding in findings:
        name = f"{name_of(finding.labels)}: {finding.metric}" if finding.metric else name_of(finding.labels)
        case = ElementTree.SubElement(suite, "testcase", {"classname": xml(check.name), "name": xml(name)})
        message = xml(sentence(finding))
        if finding.fails:
            tag = "error" if finding.verdict is GateVerdict.FAILED else "failure"
            result = ElementTree.SubElement(case, tag, {"type": finding.verdict, "message": message})
            result.text = xml(finding.message) or message
        elif finding.verdict in (GateVerdict.NEW, GateVerdict.TOO_FEW):
            ElementTree.SubElement(case, "skipped", {"message": message})
        else:
            ElementTree.SubElement(case, "system-out").text = f"{finding.verdict}: {message}"
    ElementTree.indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(suites, encoding="unicode")}\n'
