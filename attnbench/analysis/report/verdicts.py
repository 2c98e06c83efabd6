"""The verdicts of the report: every value of an axis against the best one, as `attnbench compare` decides."""

from typing import Any

from attnbench.analysis.compare.contrast import ALL_TASKS, Contrast, ContrastLine, contrast
from attnbench.analysis.labels import text
from attnbench.analysis.report.data import LEAD, ReportData
from attnbench.analysis.report.downloads import plain_links
from attnbench.analysis.report.markup import Html, element, joined
from attnbench.analysis.report.tables import scrollable
from attnbench.analysis.stats import Estimate
from attnbench.analysis.verdict import Verdict
from attnbench.errors import AttnbenchError
from attnbench.metrics import metric_of

_WORDS = {Verdict.NO_DIFFERENCE: "no difference found from", Verdict.EQUIVALENT: "equivalent to"}
_STYLES = {Verdict.BETTER: "good", Verdict.WORSE: "bad"}
HEAD = ("task", "difference", "P(better)", "p", "seeds", "verdict")


def verdicts(data: ReportData) -> Html:
    """The verdicts about each axis of the rows, the score first, or why there is none."""
    axes = [axis for axis in data.layout.index if axis in data.filters.axes]
    axes.sort(key=lambda axis: axis != "score")
    parts: list[Html] = []
    for axis in axes:
        try:
            found = contrast(data.frame, axis, name=data.store.name)
        except AttnbenchError as error:
            lines = [f"No verdict: {problem.what}." for problem in error.problems]
            content = joined(*(element("p", line, class_="note") for line in lines))
        else:
            content = _verdict(data, found)
        parts += [element("h3", f"Which {axis} is better?"), content]
    if not parts:
        return element("p", "The configurations differ in nothing that could be compared.", class_="note")
    return joined(*parts)


def _verdict(data: ReportData, found: Contrast) -> Html:
    tasks = list(dict.fromkeys(line.task for line in found.lines))
    # Over all tasks first: it is the answer, where there is one.
    tasks.sort(key=lambda task: task != ALL_TASKS)
    about = metric_of(found.metric)
    best = "the best on average" if found.chosen else "the reference"
    note = (
        f"{found.metric} ({about.direction} is better) of each {found.axis} minus that of {text(found.against)}, "
        f"{best}, paired over seeds; in brackets 95 % intervals. P(better): the probability that a seed is better than "
        f"a seed of {text(found.against)}. p is corrected for the comparisons of a task."
    )
    items = [_sentence(found, task) for task in tasks]
    lines = sorted(found.lines, key=lambda line: line.task != ALL_TASKS)
    return joined(
        element("ul", *(element("li", item) for item in items), class_="verdicts"),
        element("p", note, class_="note"),
        _table(data, found, lines),
        *(element("p", f"{sentence}.", class_="note") for sentence in found.notes),
    )


def _sentence(found: Contrast, task: str) -> Html:
    """The verdicts of a task in a sentence: "copy: dot is worse than general (−0.30 …)"."""
    lines = [line for line in found.lines if line.task == task]
    name = "Over all tasks" if task == ALL_TASKS else task
    parts: list[str] = [element("strong", name), ": "]
    for n, line in enumerate(lines):
        word = _WORDS.get(line.verdict, line.verdict if line.verdict in _STYLES else "not decided against")
        than = " than" if line.verdict in _STYLES else ""
        parts += ["; " if n else "", element("b", text(line.value)), " "]
        parts += [element("span", f"{word}{than}", class_=_STYLES.get(line.verdict, "undecided")), " "]
        parts += [f"{text(found.against)} ({_difference(found, line)}, P(better) {line.probability.value:.2f})"]
    return joined(*parts, ".")


def _table(data: ReportData, found: Contrast, lines: list[ContrastLine]) -> Html:
    head = (found.axis, *HEAD)
    rows, shown = [], []
    for line in lines:
        first, *rest, verdict = _row(found, line)
        shown.append([first, *rest, verdict])
        cells = [element("td", item) for item in rest]
        cells.append(element("td", verdict, class_=_STYLES.get(line.verdict, "undecided")))
        labels = {found.axis: line.value, **({"task": line.task} if line.task != ALL_TASKS else {})}
        rows.append(element("tr", element("th", first, scope="row"), *cells, data_of=data.filters.of(labels)))
    header = element("tr", *(element("th", name, scope="col") for name in head))
    table = element("table", element("thead", header), element("tbody", *rows), class_="plain contrast")
    name = f"{data.store.name}-verdict-{found.axis}"
    return joined(scrollable(table), plain_links(name, [_record(found, line) for line in lines], [head, *shown]))


def _row(found: Contrast, line: ContrastLine) -> list[str]:
    return [
        text(line.value),
        "over all" if line.task == ALL_TASKS else line.task,
        _difference(found, line),
        _with_interval(line.probability, "{:.2f}"),
        f"{line.paired.p:.3f}" if line.paired.p >= 0.001 else "< .001",
        str(line.paired.n),
        line.verdict,
    ]


def _difference(found: Contrast, line: ContrastLine) -> str:
    decimals = metric_of(found.metric).decimals
    estimate = Estimate(line.paired.difference, line.paired.low, line.paired.high, line.paired.n)
    return _with_interval(estimate, f"{{:+.{decimals}f}}")


def _with_interval(estimate: Estimate, format: str) -> str:
    value = format.format(estimate.value)
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} [{format.format(estimate.low)}, {format.format(estimate.high)}]"


def _record(found: Contrast, line: ContrastLine) -> dict[str, Any]:
    """A line in full precision."""
    return {
        found.axis: text(line.value),
        "against": text(found.against),
        "task": line.task,
        "metric": LEAD,
        "difference": line.paired.difference,
        "low": line.paired.low,
        "high": line.paired.high,
        "probability": line.probability.value,
        "probability_low": line.probability.low,
        "probability_high": line.probability.high,
        "p": line.paired.p,
        "seeds": line.paired.n,
        "verdict": str(line.verdict),
    }
