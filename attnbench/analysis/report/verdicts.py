"""The verdicts of the report: every value of an axis against the best one, as `attnbench compare` decides."""

from dataclasses import replace

from attnbench.analysis.compare.captions import caption, conclusions
from attnbench.analysis.compare.contrast import ALL_TASKS, Contrast, contrast
from attnbench.analysis.compare.formats import head, rows, to_csv, to_latex
from attnbench.analysis.compare.pairing import pairable
from attnbench.analysis.decide.of_run import decisions_of
from attnbench.analysis.decide.wording import sentences
from attnbench.analysis.report.data import ReportData
from attnbench.analysis.report.downloads import links
from attnbench.analysis.report.markup import Html, element, joined
from attnbench.analysis.report.tables import scrollable
from attnbench.analysis.verdict import Verdict
from attnbench.errors import AttnbenchError

METRIC = "exact_match"
_STYLES = {Verdict.BETTER: "good", Verdict.WORSE: "bad"}


def verdicts(data: ReportData) -> Html:
    """The verdicts about the score, then, folded, about each other axis of the rows; or why there is none.

    Where no two values of the score were trained with the same settings, another axis comes first.

    In a run with `decide` they are its decisions: other tests assume a number of seeds that was fixed beforehand.
    """
    if (decided := decisions_of(data.store)) is not None:
        title = element("h3", f"Which {decided[0].axis} is better?")
        return joined(title, element("ul", *(element("li", line) for line in sentences(*decided)), class_="verdicts"))
    axes = _axes(data)
    if not axes:
        return element("p", "The configurations differ in nothing that could be compared.", class_="note")
    axes.sort(key=lambda axis: not pairable(data.frame, axis, METRIC))
    return joined(*(_about(data, axis, first=n == 0) for n, axis in enumerate(axes)))


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
        content = _verdict(data, contrast(data.frame, axis, metric=METRIC, name=data.store.name))
    except AttnbenchError as error:
        content = joined(*(element("p", f"No verdict: {problem.what}.", class_="note") for problem in error.problems))
    if first:
        return joined(element("h3", title), content)
    return element("details", element("summary", title), content, class_="further")


def _verdict(data: ReportData, found: Contrast) -> Html:
    found = _over_all_first(found)
    below = [element("p", sentence, class_="note") for sentence in caption(found)]
    name = f"{data.store.name}-verdict-{found.axis}"
    return joined(
        element("ul", *(element("li", sentence) for sentence in conclusions(found)), class_="verdicts"),
        _table(data, found),
        links(name, CSV=to_csv(found), LaTeX=to_latex(found)),
        *below,
    )


def _over_all_first(found: Contrast) -> Contrast:
    """The same with the result over all tasks on top: it is the answer, where there is one."""
    return replace(
        found,
        lines=sorted(found.lines, key=lambda line: line.task != ALL_TASKS),
        references=sorted(found.references, key=lambda reference: reference.task != ALL_TASKS),
    )


def _table(data: ReportData, found: Contrast) -> Html:
    """The table of `compare`, with the row of the reference."""
    body = []
    names = head(found)
    for items, line in rows(found):
        styles: list[str | None] = [None] * len(items)
        styles[names.index("verdict")] = _STYLES.get(line.verdict, "undecided") if line else "undecided"
        first, *rest = zip(items, styles, strict=True)
        cells = [element("td", item, class_=style) for item, style in rest]
        labels = {found.axis: line.value if line else found.against}
        task = items[names.index("task")]
        body.append(
            element(
                "tr",
                element("th", first[0], scope="row"),
                *cells,
                class_=None if line else "reference",
                data_of=data.filters.of(labels | {"task": task}),
            )
        )
    header = element("tr", *(element("th", name, scope="col") for name in names))
    return scrollable(element("table", element("thead", header), element("tbody", *body), class_="plain contrast"))
