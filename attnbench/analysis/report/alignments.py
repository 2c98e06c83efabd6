"""The alignments of the report: decides which sentence and seed each panel shows, and draws it as SVG.

The panels have the rows and columns of the tables, and one colour scale from 0 to 1, so that they can be compared.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO

import numpy as np

from attnbench.analysis.labels import text
from attnbench.analysis.plots import COLOURS, Panel
from attnbench.analysis.report.data import ReportData, row_label, short_names
from attnbench.analysis.report.markup import Html, element, joined, number
from attnbench.analysis.table.comparison import Key, RowLabels
from attnbench.errors import AttnbenchError
from attnbench.messages import NO_VALUE
from attnbench.outcome import Alignments

MOST_PANELS = 240  # further rows are left out to limit the file's size; `attnbench show` draws them
WIDEST = 240  # pixels of a panel's weights
SMALLEST_WORD = 5.0  # pixels; smaller words are not drawn: only the panel's description has them
LONGEST_WORD = 12  # letters; the rest is cut off
LETTER = 0.62  # the width of a letter relative to the font size, in most fixed-width fonts


@dataclass(frozen=True)
class CellPanel:
    """A panel, and the cell and the seed that it shows."""

    panel: Panel
    cell: str
    seed: int


def longest_sentence(alignments: Alignments) -> Panel:
    """The first of the longest test sentences, without padding."""
    lengths = [len(source) for source in alignments.source]
    n = lengths.index(max(lengths))
    source, target = alignments.source[n], alignments.target[n]
    links = alignments.links[n, : len(target), : len(source)].astype(bool) if alignments.links.size else None
    return Panel(alignments.weights[n, : len(target), : len(source)], source, target, links)


def panels(data: ReportData) -> Html | None:
    """The table of panels, below notes and the colour scale; None where no cell has an alignment."""
    layout = data.layout
    rows = layout.rows[: max(1, MOST_PANELS // len(layout.heads))]
    by_place: dict[Key, CellPanel | str] = {}
    for key in ((row, head) for row in rows for head in layout.heads):
        if content := _first(data, key):
            by_place[key] = content
    shown = [row for row in rows if any((row, head) in by_place for head in layout.heads)]
    if not shown:
        return None
    # Only panels of other seeds are labelled with their seed: there, the cell of this seed failed or has no alignment.
    seed = min((content.seed for content in by_place.values() if isinstance(content, CellPanel)), default=0)
    corner = element("th", short_names(layout.index), scope="col")
    header = element("tr", corner, *(element("th", text(head), scope="col") for head in layout.heads))
    body = [_row(data, row, by_place, seed) for row in shown]
    table = element("table", element("thead", header), element("tbody", *body), class_="panels")
    return joined(_notes(data, len(rows), shown, seed), _scale(), element("div", table, class_="scroll"))


def _first(data: ReportData, key: Key) -> CellPanel | str | None:
    """The panel of the first seed with an alignment; a message where it cannot be read; None where there is none."""
    for record in data.done(key):
        try:
            alignments = data.store.alignments(record["cell"])
        except AttnbenchError as error:
            return f"cannot be read: {error}"
        if alignments is not None and len(alignments.source):
            return CellPanel(longest_sentence(alignments), record["cell"], record["labels"]["seed"])
    return None


def _notes(data: ReportData, drawn: int, shown: Sequence[RowLabels], seed: int) -> Html:
    """How to read the panels, and which rows have none."""
    lines = [
        f"Attention weights on the longest test sentence of seed {seed}: source words across, target words down, gold "
        f"links outlined. Several heads are averaged. attnbench show {data.store.name} CELL shows each head and other "
        "sentences.",
    ]
    if none := [row_label(data.layout.index, row) for row in data.layout.rows[:drawn] if row not in shown]:
        lines.append(f"No alignment: {', '.join(none)}.")
    if drawn < len(data.layout.rows):
        lines.append(f"Only the first {drawn} of {len(data.layout.rows)} rows are shown.")
    return joined(*(element("p", line, class_="note") for line in lines))


def _row(data: ReportData, row: RowLabels, by_place: dict[Key, CellPanel | str], seed: int) -> Html:
    layout = data.layout
    name = row_label(layout.index, row)
    cells = [element("th", name, scope="row")]
    for head in layout.heads:
        content = by_place.get((row, head), NO_VALUE)
        if isinstance(content, str):
            cells.append(element("td", content, class_="missing", data_column=text(head)))
        else:
            other_seed = [element("small", f"seed {content.seed}")] if content.seed != seed else []
            picture = panel_svg(content.panel, f"{name}, {text(head)} (cell {content.cell}, seed {content.seed})")
            cells.append(element("td", picture, *other_seed, data_column=text(head)))
    return element("tr", *cells)


def panel_svg(panel: Panel, name: str) -> Html:
    """One panel as SVG, with a description for readers who cannot see it.

    Args:
        panel: weights (T,S), each in 0..1.
        name: the configuration and the cell, for the description.
    """
    rows, columns = panel.weights.shape
    cell = min(16.0, max(10.0, 150 / max(rows, columns)), WIDEST / max(rows, columns))
    size = 0.68 * cell
    with_words = size >= SMALLEST_WORD
    left, top = _margins(panel, size) if with_words else (2.0, 2.0)
    width, height = left + columns * cell + 2, top + rows * cell + 2
    parts = [
        element("title", f"{name}: {description(panel)}"),
        element(
            "image",
            x=left,
            y=top,
            width=columns * cell,
            height=rows * cell,
            href=_picture(panel.weights),
            preserveAspectRatio="none",
        ),
        element("rect", x=left, y=top, width=columns * cell, height=rows * cell, class_="frame"),
        _gold(panel, left, top, cell),
    ]
    if with_words:
        parts += [_words(panel, left, top, cell, size)]
    box = f"0 0 {number(width)} {number(height)}"
    return element("svg", *parts, viewBox=box, width=width, height=height, role="img", class_="panel")


def description(panel: Panel) -> str:
    """A panel as text: how many largest weights are on a gold link, then the largest weight of every target word."""
    argmax = panel.weights.argmax(axis=1)
    pairs = zip(panel.target, argmax.tolist(), panel.weights.max(axis=1).tolist(), strict=True)
    largest = ", ".join(f"{word} → {panel.source[s]} {weight:.2f}" for word, s, weight in pairs)
    text = f"the largest weight of each target word: {largest}"
    if panel.links is None or not panel.links.any():
        return text
    linked = np.flatnonzero(panel.links.any(axis=1))
    correct = int(panel.links[linked, argmax[linked]].sum())
    return f"{correct} of {len(linked)} target words with gold links have their largest weight on one; {text}"


def _margins(panel: Panel, size: float) -> tuple[float, float]:
    """The pixels that the words need at the left and at the top."""
    left = max(map(len, map(_truncated, panel.target)), default=1)
    top = max(map(len, map(_truncated, panel.source)), default=1) if _rotated(panel) else 1 / LETTER
    return left * size * LETTER + 6, top * size * LETTER + 6


def _rotated(panel: Panel) -> bool:
    """Whether the source words are too long to fit above their columns horizontally."""
    return any(len(word) > 2 for word in panel.source)


def _truncated(word: str) -> str:
    return word if len(word) <= LONGEST_WORD else f"{word[: LONGEST_WORD - 1]}…"


def _words(panel: Panel, left: float, top: float, cell: float, size: float) -> Html:
    parts = []
    for s, word in enumerate(panel.source):
        x = left + (s + 0.5) * cell
        if _rotated(panel):
            place = f"translate({number(x + 0.35 * size)} {number(top - 3)}) rotate(-90)"
            parts.append(element("text", _truncated(word), transform=place))
        else:
            parts.append(element("text", word, x=x, y=top - 4, class_="middle"))
    for t, word in enumerate(panel.target):
        parts.append(element("text", _truncated(word), x=left - 3, y=top + (t + 0.5) * cell, dy="0.34em", class_="end"))
    return element("g", *parts, font_size=size, aria_hidden="true")  # the description has the words


def _gold(panel: Panel, left: float, top: float, cell: float) -> Html:
    """A frame around every gold link."""
    links = np.argwhere(panel.links) if panel.links is not None else np.empty((0, 2))
    inside = number(cell - 2)
    frames = (
        f"M{number(left + s * cell + 1)} {number(top + t * cell + 1)}h{inside}v{inside}h-{inside}z" for t, s in links
    )
    return element("path", d="".join(frames), class_="gold") if len(links) else Html()


def _scale() -> Html:
    """The colour scale from 0 to 1 of all panels."""
    gradient = element("img", src=_picture(np.linspace(0, 1, 128)[None]), alt="", width=160, height=12)
    return element("p", "weight 0 ", gradient, " 1", class_="scale")


def _picture(weights: np.ndarray) -> str:
    """The weights as an image of one pixel each, in a data URL: the page must not need other files."""
    from matplotlib.image import imsave

    file = BytesIO()
    # matplotlib writes its version into the file by default: the same results would not give the same bytes.
    levels = (np.clip(weights, 0, 1) * 255).round().astype(int)
    imsave(file, _colours()[levels], format="png", metadata={"Software": "attnbench"})
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


@lru_cache(maxsize=1)
def _colours() -> np.ndarray:
    """The colours (256,3) of the weights, the same as in plots.py."""
    from matplotlib import colormaps

    return (colormaps[COLOURS](np.linspace(0, 1, 256))[:, :3] * 255).round().astype(np.uint8)
