"""The report of a run: one HTML file that needs nothing else, the same bytes for the same results."""

import base64
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from attnbench.analysis.report import alignments, curves, data, tables
from attnbench.analysis.report.charts import MOST_POINTS
from attnbench.analysis.report.data import ReportData
from attnbench.analysis.report.markup import Html, element, joined

if TYPE_CHECKING:
    from attnbench.store.store import Store

Section = tuple[str, str, Html]  # its anchor, its title, what it holds
_PARTS = Path(__file__).parent


def report(store: "Store") -> str:
    """The page of a run: tables, curves, alignments, configuration and versions.

    Raises:
        AttnbenchError: when no cell is finished, or the plan cannot be read.
    """
    found = data.read(store)
    sections = [
        ("comparison", "Comparison", tables.metric_tables(found)),
        ("length", "Accuracy against length", _by_length(found)),
        ("learning", "Learning curves", _learning(found)),
        ("alignments", "Alignments", alignments.panels(found) or _note("No cell kept an alignment.")),
        ("bars", "Alignment error and entropy", _bars(found)),
        ("failed", "Failed cells", tables.failures(found)),
        ("configuration", "Configuration", _configuration(store)),
        ("versions", "Versions", tables.versions(found)),
    ]
    return _page(found, [(anchor, title, held) for anchor, title, held in sections if held is not None])


def _page(found: ReportData, sections: Iterable[Section]) -> str:
    script = _file("page.js")
    title = f"{found.store.name} · attnbench"
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
        element("header", element("h1", found.store.name), _facts(found), contents),
        element("main", *(_section(*section) for section in sections)),
        element("script", script),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _section(anchor: str, title: str, held: Html) -> Html:
    return element("section", element("h2", title), held, id=anchor)


def _policy(script: str) -> str:
    """What the page may do: show its own pictures and style, run its one script, and load nothing."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def _facts(found: ReportData) -> Html:
    """How much there is, and what there is not."""
    counts = found.frame["status"].value_counts()
    planned, layout = len(found.store.plan()["cells"]), found.layout
    done, failed = int(counts.get("done", 0)), int(counts.get("failed", 0))
    seeds = found.frame["seed"].nunique()
    facts = [
        f"{done} of {planned} cells done{f', {failed} failed' if failed else ''}",
        _counted(len(layout.rows), "row"),
        _counted(len(layout.heads), layout.columns),
        _counted(seeds, "seed"),
    ]
    notes = [_note(line) for line in found.store.notes()]
    return joined(element("p", " · ".join(facts), class_="facts"), *notes)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _by_length(found: ReportData) -> Html:
    drawn = curves.by_length(found)
    if drawn is None:
        return _note("No cell has the exact match of a length by itself; data: {test_lengths: [10, 20]} asks for it.")
    return joined(_note(curves.BY_LENGTH), *_left_out(found), drawn)


def _learning(found: ReportData) -> Html:
    """The validations' exact match and loss, each in its own charts."""
    parts: list[Html] = []
    titles = {"valid/exact_match": "Exact match on validation", "valid/loss": "Loss on validation, nats per word"}
    for metric, title in titles.items():
        drawn = curves.learning(found, metric, log=metric == "valid/loss")
        parts += [element("h3", title), drawn] if drawn is not None else []
    if not parts:
        return _note("No cell logged a validation.")
    says = "The mean over the seeds that are done, and all of them as a band, from the least to the greatest."
    if max(len(record["history"]) for record in found.records.values()) > MOST_POINTS:
        says += f" Of more than {MOST_POINTS} validations a line shows every few; its band holds all of them."
    return joined(_note(says), *_left_out(found), *parts)


def _bars(found: ReportData) -> Html:
    titles = {"aer": "AER", "alignment_entropy": "Entropy"}
    parts: list[Html] = []
    for metric, title in titles.items():
        drawn = tables.bar_table(found, metric)
        parts += [element("h3", title), drawn] if drawn is not None else []
    return joined(*parts) if parts else _note("No cell has an alignment to measure.")


def _configuration(store: "Store") -> Html:
    file = store.folder / "grid.yaml"
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        return _note(f"grid.yaml cannot be read: {error}")
    return element("pre", element("code", text), tabindex=0)


def _left_out(found: ReportData) -> list[Html]:
    line = curves.left_out(found)
    return [_note(line)] if line else []


def _note(line: str) -> Html:
    return element("p", line, class_="note")


def _file(name: str) -> Html:
    """A file of the package, as it stands: style and script hold no text of a run."""
    return Html((_PARTS / name).read_text(encoding="utf-8"))
