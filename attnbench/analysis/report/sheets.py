"""The alignments of a cell as one picture: every sentence, head and training step, one below the other.

A picture per alignment would be ten times as large. The weights are rounded to LEVELS shades; a
weight of exactly 0 has a colour of its own.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from io import BytesIO

import numpy as np

from attnbench.analysis.colours import COLOURS, ZERO
from attnbench.analysis.report.markup import Html, element
from attnbench.analysis.report.panel import Sentence, correct
from attnbench.analysis.report.scene_panel import Scene
from attnbench.outcome import Alignments

LEVELS = 32  # a weight is shown with an error of at most 1/62
ZERO_LEVEL = LEVELS  # of a weight of exactly 0
NOTHING = LEVELS + 1  # between the panels of an image: transparent


@dataclass(frozen=True)
class Sheet:
    """The picture of a cell, and what is in it.

    The order of its parts: each test sentence, for each the mean of the heads and then every head; then the validation
    sentence, for each training step the mean and then every head.

    Attributes:
        picture: the image, of one unit per weight.
        sentences: the test sentences.
        forming: the validation sentence; None where its weights were not kept.
        steps: the training steps with weights of the validation sentence.
        heads: the number of heads; 0 where there is one.
        correct: how many target words with gold links have their largest weight on one, for each part.
    """

    picture: Html
    sentences: tuple[Sentence, ...]
    forming: Sentence | None
    steps: tuple[int, ...]
    heads: int
    correct: tuple[int, ...]


def sheet_of(alignments: Alignments, first: int, whole: bool) -> Sheet:
    """The sheet of a cell.

    Args:
        alignments: of the cell.
        first: the test sentence that comes first.
        whole: False for the mean over the heads of this sentence alone, which is much smaller.
    """
    order = [first, *(n for n in range(len(alignments.source)) if n != first)]
    heads = alignments.heads.shape[1] if whole and alignments.heads.size else 0
    sentences = tuple(_sentence(alignments, n) for n in (order if whole else order[:1]))
    with_forming = whole and len(alignments.steps) > 0 and alignments.forming.size > 0
    forming = _forming_sentence(alignments) if with_forming else None
    parts = [
        (sentence, weights[: len(sentence.target), : len(sentence.source)])
        for sentence, group in _groups(alignments, order, sentences, forming, heads)
        for weights in group
    ]
    return Sheet(
        picture=picture_of([_placed(weights, sentence) for sentence, weights in parts]),
        sentences=sentences,
        forming=forming,
        steps=tuple(int(step) for step in alignments.steps) if forming else (),
        heads=heads,
        correct=tuple(correct(weights, sentence) for sentence, weights in parts),
    )


def _sentence(alignments: Alignments, n: int) -> Sentence:
    """Test sentence n, with its image if it has one."""
    a = alignments
    links, possible = (found[n] if found.size else None for found in (a.links, a.possible))
    sentence = Sentence.of(a.source[n], a.target[n], links)
    return sentence if not a.images.size else _with_image(sentence, a.images[n], possible, links)


def _forming_sentence(alignments: Alignments) -> Sentence:
    a = alignments
    sentence = Sentence.of(a.forming_source, a.forming_target, a.forming_links)
    if not a.forming_image.size:
        return sentence
    links = a.forming_links if a.forming_links.size else None
    return _with_image(sentence, a.forming_image[0], a.forming_possible[0] if a.forming_possible.size else None, links)


def _with_image(
    sentence: Sentence, image: np.ndarray, possible: np.ndarray | None, links: np.ndarray | None
) -> Sentence:
    return replace(sentence, scene=Scene.of(image, len(sentence.target), possible, links))


def _placed(weights: np.ndarray, sentence: Sentence) -> np.ndarray:
    """Weights (T,S) as they are in the picture."""
    return weights if sentence.scene is None else sentence.scene.layout.weights(weights)


def _groups(
    alignments: Alignments,
    order: list[int],
    sentences: tuple[Sentence, ...],
    forming: Sentence | None,
    heads: int,
) -> Iterator[tuple[Sentence, list[np.ndarray]]]:
    """Yields the weights of each sentence and step: the mean, then each head."""
    for n, sentence in zip(order, sentences, strict=False):
        yield sentence, [alignments.weights[n], *(alignments.heads[n] if heads else ())]
    if forming is not None:
        for m in range(len(alignments.steps)):
            own = alignments.forming_heads[m] if heads and alignments.forming_heads.size else ()
            yield forming, [alignments.forming[m], *own]


def picture_of(parts: list[np.ndarray]) -> Html:
    """The weights one below the other as an SVG image, in a data URL: the page must not need other files.

    NaN is no weight, and is transparent.
    """
    width, height = max(part.shape[1] for part in parts), sum(part.shape[0] for part in parts)
    levels = np.zeros((height, width), np.uint8)
    top = 0
    for part in parts:
        shades = np.nan_to_num((np.clip(part, 0, 1) * (LEVELS - 1)).round(), nan=NOTHING)
        levels[top : top + part.shape[0], : part.shape[1]] = np.where(part == 0, ZERO_LEVEL, shades)
        top += part.shape[0]
    return element("image", href=data_url(levels), width=width, height=height, preserveAspectRatio="none")


def data_url(levels: np.ndarray) -> str:
    """Levels (H,W) from 0 to LEVELS − 1, ZERO_LEVEL and NOTHING, as a PNG image of one pixel each."""
    from PIL import Image

    image = Image.fromarray(levels)
    image.putpalette(_palette())
    file = BytesIO()
    transparent = {"transparency": NOTHING} if (levels == NOTHING).any() else {}
    image.save(file, format="png", optimize=True, **transparent)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


@lru_cache(maxsize=1)
def _palette() -> bytes:
    """The colours of the levels as RGB bytes, from the colours of plots.py."""
    from matplotlib import colormaps
    from matplotlib.colors import to_rgb

    colours = [*colormaps[COLOURS](np.linspace(0, 1, LEVELS))[:, :3], to_rgb(ZERO), to_rgb("white")]
    return (np.array(colours) * 255).round().astype(np.uint8).tobytes()
