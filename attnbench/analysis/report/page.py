"""The report of a run, one HTML file: decides its sections, their order, and the text of empty ones.

The file needs no network and no other file. The same results give the same bytes: its dates are those of the training.
"""

import base64
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from attnbench.analysis.report import alignments, curves, data, tables
from attnbench.analysis.report.charts import MOST_POINTS
from attnbench.analysis.report.data import ReportData
from attnbench.analysis.report.markup import Html, element, joined
from attnbench.analysis.report.numeric_axes import against_numbers
from attnbench.analysis.report.origin import origin
from attnbench.analysis.report.tuning import tuning
from attnbench.analysis.report.verdicts import verdicts
from attnbench.errors import AttnbenchError

if TYPE_CHECKING:
    from attnbench.store.store import Store

Section = tuple[str, str, Html]  # anchor, title, content
_PARTS = Path(__file__).parent
SCRIPTS = ("tables.js", "filters.js", "panels.js", "downloads.js")  # in this order, as one script


def report(store: "Store") -> str:
    """The page of a run: verdicts, tables, charts, alignments, provenance, configuration and versions.

    Raises:
        AttnbenchError: if no cell is finished, or the plan cannot be read.
    """
    run = data.read(store)
    sections = [
        ("verdict", "Verdict", verdicts(run)),
        ("comparison", "Comparison", tables.metric_tables(run)),
        ("axes", "Metrics against numbers", against_numbers(run)),
        ("tuning", "Tuning", tuning(run)),
        ("length", "Accuracy against length", _by_length(run)),
        ("learning", "Learning curves", _learning(run)),
        ("alignments", "Alignments", alignments.panels(run) or _note("No cell has an alignment.")),
        ("bars", "Alignment error and entropy", _bars(run)),
        ("failed", "Failed cells", tables.failures(run)),
        ("provenance", "Provenance", origin(run)),
        ("configuration", "Configuration", _configuration(store)),
        ("versions", "Versions", tables.versions(run)),
    ]
    return _page(run, [(anchor, title, content) for anchor, title, content in sections if content is not None])


def _page(run: ReportData, sections: Iterable[Section]) -> str:
    script = Html('"use strict";\n' + "\n".join(_file(name) for name in SCRIPTS))
    title = f"{run.store.name} · attnbench"
    sections = list(sections)
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy(script)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", _file("page.css")),
    )
    links = [element("a", name, href=f"#{anchor}") for anchor, name, _ in sections]
    contents = element("nav", *links, aria_label="Contents")
    body = element(
        "body",
        element("header", element("h1", run.store.name), _facts(run), contents),
        run.filters.form(),
        element("main", *(_section(*section) for section in sections)),
        element("script", script),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _section(anchor: str, title: str, content: Html) -> Html:
    return element("section", element("h2", title), content, id=anchor)


def _policy(script: str) -> str:
    """The page's content security policy: only its own images, styles and script; nothing is loaded.

    A run's names and error messages are untrusted. They are escaped; if one were not, the browser would still not run
    it, because the policy names the one script by its hash.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def _facts(run: ReportData) -> Html:
    """The numbers of cells, rows, columns and seeds; then the store's notes about what is missing."""
    counts = run.frame["status"].value_counts()
    planned, layout = len(run.store.plan()["cells"]), run.layout
    done, failed = int(counts.get("done", 0)), int(counts.get("failed", 0))
    seeds = run.frame["seed"].nunique()
    facts = [
        f"{done} of {planned} cells done{f', {failed} failed' if failed else ''}",
        _counted(len(layout.rows), "row"),
        _counted(len(layout.heads), layout.columns),
        _counted(seeds, "seed"),
    ]
    notes = [_note(line) for line in run.store.notes()]  # decisions and choices have sections of their own
    return joined(element("p", " · ".join(facts), class_="facts"), *notes)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _by_length(run: ReportData) -> Html:
    charts = curves.by_length(run)
    if charts is None:
        return _note("No length was tested separately. To do so, set data: {test_lengths: [10, 20]} in the grid.")
    return joined(_note(curves.BY_LENGTH), *_left_out(run), charts)


def _learning(run: ReportData) -> Html:
    """Exact match and loss on validation data by training step."""
    parts: list[Html] = []
    titles = {
        "valid/exact_match": "Exact match on validation data",
        "valid/loss": "Loss on validation data, nats per word",
    }
    for metric, title in titles.items():
        charts = curves.learning(run, metric, log=metric == "valid/loss")
        parts += [element("h3", title), charts] if charts is not None else []
    if not parts:
        return _note("No cell has a validation result.")
    text = "Lines: the mean over the seeds that are done. Bands: from the lowest to the highest seed."
    validations = [sum("valid/loss" in row for row in record["history"]) for record in run.records.values()]
    if max(validations) > MOST_POINTS:
        text += f" With more than {MOST_POINTS} validations, lines show only some of them; bands cover all."
    return joined(_note(text), *_left_out(run), *parts)


def _bars(run: ReportData) -> Html:
    titles = {"aer": "Alignment error rate (AER)", "alignment_entropy": "Alignment entropy"}
    parts: list[Html] = []
    for metric, title in titles.items():
        table = tables.bar_table(run, metric)
        parts += [element("h3", title), table] if table is not None else []
    return joined(*parts) if parts else _note("No cell has an alignment.")


def _configuration(store: "Store") -> Html:
    try:
        text = store.grid_text()
    except AttnbenchError as error:
        return _note(f"grid.yaml {error.problems[0].what}")
    return element("pre", element("code", text), tabindex=0)


def _left_out(run: ReportData) -> list[Html]:
    line = curves.left_out(run)
    return [_note(line)] if line else []


def _note(line: str) -> Html:
    return element("p", line, class_="note")


def _file(name: str) -> Html:
    """A file of the package. It is not escaped: style and script contain no text from a run."""
    return Html((_PARTS / name).read_text(encoding="utf-8"))
