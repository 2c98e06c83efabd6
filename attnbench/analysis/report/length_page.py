"""The report's charts of accuracy against length as a separate page, which is logged to MLflow."""

from pathlib import Path
from typing import TYPE_CHECKING

from attnbench.analysis.report import curves, data
from attnbench.analysis.report.markup import Html, element

if TYPE_CHECKING:
    from attnbench.store.store import Store

_STYLE = Path(__file__).with_name("page.css")


def length_page(store: "Store") -> str | None:
    """The page of a run; None where fewer than two lengths were tested separately, so that there is no line to draw.

    Raises:
        AttnbenchError: if no cell is finished, or the plan cannot be read.
    """
    run = data.read(store)
    charts = curves.by_length(run) if len(run.lengths) > 1 else None
    if charts is None:
        return None
    title = f"{store.name}: accuracy against length"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Html(_STYLE.read_text(encoding="utf-8"))),
    )
    section = element("section", element("h1", title), element("p", curves.BY_LENGTH, class_="note"), charts)
    body = element("body", element("main", section))
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"
