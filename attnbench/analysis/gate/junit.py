"""The JUnit XML of `attnbench check --junit`."""

import re
from xml.etree import ElementTree

from attnbench.analysis.gate.baseline import name_of
from attnbench.analysis.gate.check import Check
from attnbench.analysis.gate.formats import sentence
from attnbench.analysis.gate.judge import GateVerdict

# XML 1.0 has no way to write these, not even as references.
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


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
