"""Alignment panels: a row per row of the tables, a column per task, one colour scale from 0 to 1."""

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

MOST_PANELS = 240  # rows beyond are left to `attnbench show`
WIDEST = 240  # pixels of a panel's weights
SMALLEST_WORD = 5.0  # pixels; smaller ones are left out of the picture, and only told
LONGEST_WORD = 12  # letters
LETTER = 0.62  # of a letter's height: its width in most fixed-width fonts


@dataclass(frozen=True)
class Found:
    """An alignment, and the cell and seed that it is of."""

    panel: Panel
    cell: str
    seed: int


def longest_sentence(alignments: Alignments) -> Panel:
    """The first of the longest test sentences."""
    lengths = [len(source) for source in alignments.source]
    n = lengths.index(max(lengths))
    source, target = alignments.source[n], alignments.target[n]
    links = alignments.links[n, : len(target), : len(source)].astype(bool) if alignments.links.size else None
    return Panel(alignments.weights[n, : len(target), : len(source)], source, target, links)


def panels(data: ReportData) -> Html | None:
    """The table of panels under its colour scale, or None where no cell kept an alignment."""
    layout = data.layout
    rows = layout.rows[: max(1, MOST_PANELS // len(layout.heads))]
    found: dict[Key, Found | str] = {}
    for key in ((row, head) for row in rows for head in layout.heads):
        if one := _first(data, key):
            found[key] = one
    shown = [row for row in rows if any((row, head) in found for head in layout.heads)]
    if not shown:
        return None
    seeds = {one.seed for one in found.values() if isinstance(one, Found)}
    usual = min(seeds, default=0)
    corner = element("th", short_names(layout.index), scope="col")
    header = element("tr", corner, *(element("th", text(head), scope="col") for head in layout.heads))
    body = [_row(data, row, found, usual) for row in shown]
    table = element("table", element("thead", header), element("tbody", *body), class_="panels")
    return joined(_says(data, len(rows), shown, usual), _scale(), element("div", table, class_="scroll"))


def _first(data: ReportData, key: Key) -> Found | str | None:
    """The alignment of the first seed that has one; why it cannot be read, where that is so."""
    for record in data.done(key):
        try:
            alignments = data.store.alignments(record["cell"])
        except AttnbenchError as error:
            return f"not read: {error}"
        if alignments is not None and len(alignments.source):
            return Found(longest_sentence(alignments), record["cell"], record["labels"]["seed"])
    return None


def _says(data: ReportData, drawn: int, shown: Sequence[RowLabels], seed: int) -> Html:
    """What is to be seen, and what is not."""
    lines = [
        f"Where each looks, on the longest test sentence of seed {seed}: source across, target down, gold links "
        f"outlined. Of several heads the mean; attnbench show {data.store.name} CELL has each head and more "
        "sentences.",
    ]
    if none := [row_label(data.layout.index, row) for row in data.layout.rows[:drawn] if row not in shown]:
        lines.append(f"No alignment: {', '.join(none)}.")
    if drawn < len(data.layout.rows):
        lines.append(f"Drawn are the first {drawn} of {len(data.layout.rows)} rows.")
    return joined(*(element("p", line, class_="note") for line in lines))


def _row(data: ReportData, row: RowLabels, found: dict[Key, Found | str], usual: int) -> Html:
    layout = data.layout
    name = row_label(layout.index, row)
    cells = [element("th", name, scope="row")]
    for head in layout.heads:
        one = found.get((row, head))
        if one is None:
            cells.append(element("td", NO_VALUE, class_="missing", data_column=text(head)))
        elif isinstance(one, str):
            cells.append(element("td", one, class_="missing", data_column=text(head)))
        else:
            other = [element("small", f"seed {one.seed}")] if one.seed != usual else []
            picture = drawing(one.panel, f"{name}, {text(head)} (cell {one.cell}, seed {one.seed})")
            cells.append(element("td", picture, *other, data_column=text(head)))
    return element("tr", *cells)


def drawing(panel: Panel, name: str) -> Html:
    """One panel as SVG, with what it shows in words for those who cannot see it.

    Args:
        panel: weights (T,S), each in 0..1.
        name: who looks so.
    """
    rows, columns = panel.weights.shape
    cell = min(16.0, max(10.0, 150 / max(rows, columns)), WIDEST / max(rows, columns))
    size = 0.68 * cell
    with_words = size >= SMALLEST_WORD
    left, top = _room(panel, size) if with_words else (2.0, 2.0)
    width, height = left + columns * cell + 2, top + rows * cell + 2
    parts = [
        element("title", f"{name}: {in_words(panel)}"),
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


def in_words(panel: Panel) -> str:
    """What a panel shows: how many target words look most at a gold source word, then where each of them looks."""
    most = panel.weights.argmax(axis=1)
    pairs = [f"{word} → {panel.source[s]} {panel.weights[t, s]:.2f}" for t, (word, s) in enumerate(_looks(panel, most))]
    looks = "each target word's largest weight: " + ", ".join(pairs)
    if panel.links is None or not panel.links.any():
        return looks
    linked = np.flatnonzero(panel.links.any(axis=1))
    right = int(panel.links[linked, most[linked]].sum())
    return f"{right} of {len(linked)} target words with gold links look most at one of them; {looks}"


def _looks(panel: Panel, most: np.ndarray) -> list[tuple[str, int]]:
    return list(zip(panel.target, most.tolist(), strict=True))


def _room(panel: Panel, size: float) -> tuple[float, float]:
    """The pixels that words take at the left and at the top."""
    left = max(map(len, map(_short, panel.target)), default=1)
    top = max(map(len, map(_short, panel.source)), default=1) if _upright(panel) else 1 / LETTER
    return left * size * LETTER + 6, top * size * LETTER + 6


def _upright(panel: Panel) -> bool:
    """Whether the source words must stand upright to fit above their columns."""
    return any(len(word) > 2 for word in panel.source)


def _short(word: str) -> str:
    return word if len(word) <= LONGEST_WORD else f"{word[: LONGEST_WORD - 1]}…"


def _words(panel: Panel, left: float, top: float, cell: float, size: float) -> Html:
    parts = []
    for s, word in enumerate(panel.source):
        x = left + (s + 0.5) * cell
        if _upright(panel):
            at = f"translate({number(x + 0.35 * size)} {number(top - 3)}) rotate(-90)"
            parts.append(element("text", _short(word), transform=at))
        else:
            parts.append(element("text", word, x=x, y=top - 4, class_="middle"))
    for t, word in enumerate(panel.target):
        parts.append(element("text", _short(word), x=left - 3, y=top + (t + 0.5) * cell, dy="0.34em", class_="end"))
    return element("g", *parts, font_size=size, aria_hidden="true")


def _gold(panel: Panel, left: float, top: float, cell: float) -> Html:
    """A frame around every gold link."""
    links = np.argwhere(panel.links) if panel.links is not None else np.empty((0, 2))
    inside = number(cell - 2)
    frames = (
        f"M{number(left + s * cell + 1)} {number(top + t * cell + 1)}h{inside}v{inside}h-{inside}z" for t, s in links
    )
    return element("path", d="".join(frames), class_="gold") if len(links) else Html()


def _scale() -> Html:
    """The colours of 0 to 1, for all panels."""
    gradient = element("img", src=_picture(np.linspace(0, 1, 128)[None]), alt="", width=160, height=12)
    return element("p", "weight 0 ", gradient, " 1", class_="scale")


def _picture(weights: np.ndarray) -> str:
    """The weights as a picture of a pixel each, in an address that needs no file."""
    from matplotlib.image import imsave

    file = BytesIO()
    levels = (np.clip(weights, 0, 1) * 255).round().astype(int)
    imsave(file, _colours()[levels], format="png", metadata={"Software": "attnbench"})  # matplotlib's has its version
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


@lru_cache(maxsize=1)
def _colours() -> np.ndarray:
    """The colours (256,3) of the weights, those of every other picture of attention."""
    from matplotlib import colormaps

    return (colormaps[COLOURS](np.linspace(0, 1, 256))[:, :3] * 255).round().astype(np.uint8)
