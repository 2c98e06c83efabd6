"""Links that save a table as CSV or LaTeX. The content is in the link, so that they work offline, without a script."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from attnbench.analysis.csv_text import csv_text
from attnbench.analysis.report.markup import Html, element
from attnbench.analysis.table.formats import latex

# Characters that need no escape, neither in a data URL nor in an HTML attribute.
_SAFE = "!$()*+,/:;=?@[]^_{|}~"
_TYPES = {"CSV": ("csv", "text/csv"), "LaTeX": ("tex", "application/x-tex"), "YAML": ("yaml", "application/yaml")}


def links(name: str, **texts: str) -> Html:
    """A line with a link per format.

    Args:
        name: of the saved file, without its ending.
        texts: the content by format: CSV, LaTeX or YAML.
    """
    parts: list[str] = ["Download"]
    for format, content in texts.items():
        ending, kind = _TYPES[format]
        address = f"data:{kind};charset=utf-8,{quote(content, safe=_SAFE)}"
        parts += [" ", element("a", format, download=f"{name}.{ending}", href=address)]
    return element("p", *parts, class_="downloads")


def plain_links(name: str, records: Sequence[Mapping[str, Any]]) -> Html:
    """The links of a table that consists of records, with the heads of the columns as keys."""
    columns = list(records[0])
    rows = [columns, *([str(record[column]) for column in columns] for record in records)]
    return links(name, CSV=csv_text(records), LaTeX=_tabular(rows))


def _tabular(rows: Sequence[Sequence[str]]) -> str:
    """A tabular for the LaTeX package booktabs."""
    head, *body = [" & ".join(latex(" ".join(item.split())) for item in row) + r" \\" for row in rows]
    begin = rf"\begin{{tabular}}{{{'l' * len(rows[0])}}}"
    return "\n".join([begin, r"\toprule", head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}"]) + "\n"
