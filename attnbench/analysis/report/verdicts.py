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

_STYLES = {Verdict.BETTER: "good", Verdict.WORSE: "bad"}
HEAD = ("task", "verdict", "difference", "P(better)", "p", "seeds")


def verdicts(data: ReportData) -> Html:
    """The verdicts about the score, then, folded, about each other axis of the rows; or why there is none."""
    parts = [_about(data, axis, first=n == 0) for n, axis in enumerate(_axes(data))]
    if not parts:
        return element("p", "The configurations differ in nothing that could be compared.", class_="note")
    return joined(*parts)


def _axes(data: ReportData) -> list[str]:
    """The axes of the rows with several values, the score first, without those that only rename an earlier one."""
    axes = [axis for axis in data.layout.index if axis in data.filters.axes]
    axes.sort(key=lambda axis: axis != "score")
    kept: dict[tuple[int, ...], str] = {}
    for axis in axes:
        values = [data.labels(row)[axis] for row in data.layout.rows]
        places = {value: n for n, value in enumerate(dict.fromkeys(values))}
        kept.setdefault(tuple(places[value] for value in values), axis)
    return list(kept.values())


def _about(data: ReportData, axis: str, first: bool) -> Html:
    """The verdicts about an axis."""
    title = f"Which {axis} is better?"
    try:
        content = _verdict(data, contrast(data.frame, axis, name=data.store.name))
    except AttnbenchError as error:
        content = joined(*(element("p", f"No verdict: {problem.what}.", class_="note") for problem in error.problems))
    if first:
        return joined(element("h3", title), content)
    return element("details", element("summary", title), content, class_="further")


def _verdict(data: ReportData, found: Contrast) -> Html:
    # Over all tasks first: it is the answer, where there is one.
    lines = sorted(found.lines, key=lambda line: line.task != ALL_TASKS)
    tasks = list(dict.fromkeys(line.task for line in lines))
    direction, against = metric_of(found.metric).direction, text(found.against)
    note = (
        f"{found.metric} ({direction} is better) of each {found.axis} minus that of {against}, paired over seeds, with "
        f"95 % intervals. P(better): the probability that a seed is better than a seed of {against}. p is corrected "
        "for the comparisons of a task."
    )
    notes = [note]
    if any(line.verdict == Verdict.INCONCLUSIVE for line in lines):
        notes.append("inconclusive: the seeds are too few for any verdict, whatever their values.")
    return joined(
        element("ul", *(element("li", _sentence(found, task)) for task in tasks), class_="verdicts"),
        _table(data, found, lines),
        *(element("p", sentence, class_="note") for sentence in (*notes, *(f"{one}." for one in found.notes))),
    )


def _sentence(found: Contrast, task: str) -> Html:
    """The values with each verdict: "copy, against dot: additive better; cosine and general inconclusive."."""
    by_verdict: dict[Verdict, list[str]] = {}
    for line in found.lines:
        if line.task == task:
            by_verdict.setdefault(line.verdict, []).append(text(line.value))
    name = "Over all tasks" if task == ALL_TASKS else task
    parts: list[str] = [element("strong", name), f", against {text(found.against)}: "]
    for n, verdict in enumerate(verdict for verdict in Verdict if verdict in by_verdict):
        names = by_verdict[verdict]
        listed = " and ".join([*([", ".join(names[:-1])] if names[1:] else []), names[-1]])
        parts += ["; " if n else "", f"{listed} ", element("span", verdict, class_=_style(verdict))]
    return joined(*parts, ".")


def _style(verdict: Verdict) -> str:
    return _STYLES.get(verdict, "undecided")


def _table(data: ReportData, found: Contrast, lines: list[ContrastLine]) -> Html:
    head = (found.axis, *HEAD)
    rows, shown = [], []
    for line in lines:
        first, task, verdict, *numbers = _row(found, line)
        shown.append([first, task, verdict, *numbers])
        cells = [element("td", task), element("td", verdict, class_=_style(line.verdict))]
        cells += [element("td", item) for item in numbers]
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
        line.verdict,
        _difference(found, line),
        _with_interval(line.probability, "{:.2f}"),
        f"{line.paired.p:.3f}" if line.paired.p >= 0.001 else "< .001",
        str(line.paired.n),
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
