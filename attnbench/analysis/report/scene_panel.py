"""The frame of an image with attention as SVG: the image, and its outline over the weights of each target word."""

import base64
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from attnbench.analysis.report.markup import Html, element, number
from attnbench.analysis.scene_axes import INK
from attnbench.analysis.scene_layout import Layout

if TYPE_CHECKING:
    from attnbench.analysis.report.panel import Box, Sentence

PATCH_WIDTH = 16.0  # pixels of the page: two per pixel of the image
LETTER = 0.62  # the width of a letter relative to the font size


@dataclass(frozen=True)
class Scene:
    """An image in every panel of a layout: `ink` is the picture of the whole layout, as a data URL.

    `possible` are the (target, patch) positions of links that are neither gold nor wrong.
    """

    layout: Layout
    ink: str
    possible: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, image: np.ndarray, words: int, possible: np.ndarray | None, links: np.ndarray | None) -> "Scene":
        """The scene of an image (H,W), with links (T,S) of any padded shape, or None."""
        layout = Layout.of(image, words)
        only: list[list[int]] = []
        if possible is not None and links is not None:
            only = np.argwhere(possible.astype(bool) & ~links.astype(bool)).tolist()
        return cls(layout, _ink_url(layout.ink(image)), tuple((t, s) for t, s in only))


def scene_frame(sentence: "Sentence", scene: Scene, box: "Box") -> list[Html]:
    """What is drawn over the weights: the image, a frame per panel, the links, and the words above the panels."""
    layout = scene.layout
    size = {"width": layout.width * box.cell, "height": layout.height * box.cell}
    ink = element("image", href=scene.ink, x=box.left, y=box.top, **size, preserveAspectRatio="none", class_="ink")
    corners = [layout.corner(panel) for panel in range(layout.words + 1)]
    frames = [
        element(
            "rect",
            x=box.left + left * box.cell,
            y=box.top + top * box.cell,
            width=layout.columns * box.cell,
            height=layout.rows * box.cell,
            class_="frame",
        )
        for top, left in corners
    ]
    gold = _outlines(sentence.links or (), layout, box, "gold")
    possible = _outlines(scene.possible, layout, box, "gold possible")
    words = [_word(word, layout, corner, box) for word, corner in zip(sentence.target, corners[1:], strict=True)]
    # The description has the words.
    return [ink, *frames, gold, possible, element("g", *words, class_="words", aria_hidden="true")]


def _word(word: str, layout: Layout, corner: tuple[int, int], box: "Box") -> Html:
    size = min(box.size, layout.columns * box.cell / (LETTER * max(len(word), 1)))
    x = box.left + (corner[1] + layout.columns / 2) * box.cell
    return element("text", word, x=x, y=box.top + corner[0] * box.cell - 4, font_size=size, class_="middle")


def _outlines(links: tuple[tuple[int, int], ...], layout: Layout, box: "Box", kind: str) -> Html:
    inside = number(box.cell - 2)
    places = [layout.place(word, patch) for word, patch in links]
    drawn = [
        f"M{number(box.left + left * box.cell + 1)} {number(box.top + top * box.cell + 1)}h{inside}v{inside}h-{inside}z"
        for top, left in places
    ]
    return element("path", d="".join(drawn), class_=kind) if drawn else Html()


def _ink_url(ink: np.ndarray) -> str:
    """Ink (H,W) from 0 to 1 as a PNG image: grey that is as opaque as there is ink."""
    from PIL import Image

    opacity = (ink * 255).round().astype(np.uint8)
    file = BytesIO()
    grey = np.full_like(opacity, INK)
    Image.fromarray(np.stack([grey, opacity], axis=-1)).save(file, format="png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
