"""The frame of an alignment as SVG: the words of a sentence and its gold links, around a place for the weights.

A run has few sentences and many alignments of each, so a frame is on the page once, and the panels refer to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from attnbench.analysis.plots import Panel
from attnbench.analysis.report.markup import Html, element, number
from attnbench.analysis.report.scene_panel import PATCH_WIDTH, Scene, scene_frame

WIDEST = 240  # pixels of a panel's weights
SMALLEST_WORD = 5.0  # pixels; smaller words are not drawn: only the panel's description has them
LONGEST_WORD = 12  # letters; the rest is cut off
LETTER = 0.62  # the width of a letter relative to the font size, in most fixed-width fonts


@dataclass(frozen=True)
class Sentence:
    """What a frame shows. `links` are the (target, source) positions of the gold links; None where there are none.

    `scene` is the image, where the source is one.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    links: tuple[tuple[int, int], ...] | None
    scene: Scene | None = None

    @classmethod
    def of(cls, source: Sequence[str], target: Sequence[str], links: np.ndarray | None) -> "Sentence":
        """A sentence with links (T,S) of any padded shape."""
        if links is None or not links.size:
            return cls(tuple(source), tuple(target), None)
        places = np.argwhere(links[: len(target), : len(source)])
        return cls(tuple(source), tuple(target), tuple((int(t), int(s)) for t, s in places))

    @property
    def size(self) -> tuple[int, int]:
        """The rows and columns of its weights in the picture."""
        return (len(self.target), len(self.source)) if self.scene is None else self.scene.layout.size

    @property
    def linked(self) -> list[int]:
        """The target positions with a gold link."""
        return sorted({t for t, _ in self.links or ()})


@dataclass(frozen=True)
class Box:
    """The measures of a frame in pixels: the place of the weights, and the size of the whole."""

    left: float
    top: float
    cell: float
    size: float  # of the words
    columns: int
    rows: int

    @property
    def width(self) -> float:
        """Of the whole frame."""
        return self.left + self.columns * self.cell + 2

    @property
    def height(self) -> float:
        """Of the whole frame."""
        return self.top + self.rows * self.cell + 2

    @property
    def with_words(self) -> bool:
        """Whether the words are large enough to be drawn."""
        return self.size >= SMALLEST_WORD


def box_of(sentence: Sentence) -> Box:
    """The measures of a sentence's frame; long sentences have smaller cells."""
    rows, columns = sentence.size
    if sentence.scene is not None:
        return Box(1.0, 1.0, PATCH_WIDTH, 0.8 * PATCH_WIDTH, columns, rows)
    longest = max(rows, columns)
    cell = min(16.0, max(10.0, 150 / longest), WIDEST / longest)
    size = 0.68 * cell
    left, top = _margins(sentence, size) if size >= SMALLEST_WORD else (2.0, 2.0)
    return Box(left, top, cell, size, columns, rows)


def frame(sentence: Sentence, id: str) -> Html:
    """The frame of a sentence, to which panels refer by its id; the script reads its measures."""
    box = box_of(sentence)
    place = {"x": box.left, "y": box.top, "width": box.columns * box.cell, "height": box.rows * box.cell}
    if sentence.scene is not None:
        parts = scene_frame(sentence, sentence.scene, box)
    else:
        parts = [element("rect", **place, class_="frame"), _gold(sentence, box)]
        if box.with_words:
            parts.append(_words(sentence, box))
    measures = (box.width, box.height, *place.values(), box.columns, box.rows)
    return element("g", *parts, id=id, data_box=" ".join(map(number, measures)), data_linked=len(sentence.linked))


def panel_svg(sentence: Sentence, id: str, picture: Html, title: str) -> Html:
    """A panel: the first rows of a picture of weights, below a frame.

    Args:
        sentence: of the frame.
        id: of the frame.
        picture: an image of one unit per weight.
        title: the description for readers who cannot see it.
    """
    box = box_of(sentence)
    weights = element(
        "svg",
        picture,
        x=box.left,
        y=box.top,
        width=box.columns * box.cell,
        height=box.rows * box.cell,
        viewBox=f"0 0 {box.columns} {box.rows}",
        preserveAspectRatio="none",
    )
    parts = (element("title", title), weights, element("use", href=f"#{id}"))
    view = f"0 0 {number(box.width)} {number(box.height)}"
    return element("svg", *parts, viewBox=view, width=box.width, height=box.height, role="img", class_="panel")


def correct(weights: np.ndarray, sentence: Sentence) -> int:
    """How many target words with gold links have their largest weight (T,S) on one."""
    links = set(sentence.links or ())
    argmax = weights.argmax(axis=1)
    return sum((t, int(argmax[t])) in links for t in sentence.linked)


def description(panel: Panel) -> str:
    """A panel as text: how many largest weights are on a gold link, then the largest weight of every target word."""
    argmax = panel.weights.argmax(axis=1)
    pairs = zip(panel.target, argmax.tolist(), panel.weights.max(axis=1).tolist(), strict=True)
    largest = ", ".join(f"{word} → {panel.source[s]} {weight:.2f}" for word, s, weight in pairs)
    patches = "" if panel.image is None else ", on the patch in row,column"
    text = f"the largest weight of each target word{patches}: {largest}"
    sentence = Sentence.of(panel.source, panel.target, panel.links)
    if not sentence.linked:
        return text
    found, of = correct(panel.weights, sentence), len(sentence.linked)
    return f"{found} of {of} target words with gold links have their largest weight on one; {text}"


def _margins(sentence: Sentence, size: float) -> tuple[float, float]:
    """The pixels that the words need at the left and at the top."""
    left = max(map(len, map(_truncated, sentence.target)), default=1)
    top = max(map(len, map(_truncated, sentence.source)), default=1) if _rotated(sentence) else 1 / LETTER
    return left * size * LETTER + 6, top * size * LETTER + 6


def _rotated(sentence: Sentence) -> bool:
    """Whether the source words are too long to fit above their columns horizontally."""
    return any(len(word) > 2 for word in sentence.source)


def _truncated(word: str) -> str:
    return word if len(word) <= LONGEST_WORD else f"{word[: LONGEST_WORD - 1]}…"


def _words(sentence: Sentence, box: Box) -> Html:
    parts = []
    for s, word in enumerate(sentence.source):
        x = box.left + (s + 0.5) * box.cell
        if _rotated(sentence):
            place = f"translate({number(x + 0.35 * box.size)} {number(box.top - 3)}) rotate(-90)"
            parts.append(element("text", _truncated(word), transform=place))
        else:
            parts.append(element("text", word, x=x, y=box.top - 4, class_="middle"))
    for t, word in enumerate(sentence.target):
        y = box.top + (t + 0.5) * box.cell
        parts.append(element("text", _truncated(word), x=box.left - 3, y=y, dy="0.34em", class_="end"))
    return element("g", *parts, font_size=box.size, class_="words", aria_hidden="true")  # the description has the words


def _gold(sentence: Sentence, box: Box) -> Html:
    """A frame around every gold link."""
    inside = number(box.cell - 2)
    frames = [
        f"M{number(box.left + s * box.cell + 1)} {number(box.top + t * box.cell + 1)}h{inside}v{inside}h-{inside}z"
        for t, s in sentence.links or ()
    ]
    return element("path", d="".join(frames), class_="gold") if frames else Html()
