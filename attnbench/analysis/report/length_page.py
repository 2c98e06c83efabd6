"""Parts of the report as pages of their own, for those who look at a run elsewhere."""

from pathlib import Path
from typing import TYPE_CHECKING

from attnbench.analysis.report import curves, data
from attnbench.analysis.report.markup import Html, element

if TYPE_CHECKING:
    from attnbench.store.store import Store

_STYLE = Path(__file__).with_name("page.css")


def length_page(store: "Store") -> str | None:
    """The report's charts of accuracy against length; None where there are not two lengths to draw a line between.

    Raises:
        AttnbenchError: when no cell is finished, or the plan cannot be read.
    """
    found = data.read(store)
    drawn = curves.by_length(found) if len(found.lengths) > 1 else None
    if drawn is None:
        return None
    title = f"{store.name}: accuracy against length"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Html(_STYLE.read_text(encoding="utf-8"))),
    )
    section = element("section", element("h1", title), element("p", curves.BY_LENGTH, class_="note"), drawn)
    body = element("body", element("main", section))
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"
