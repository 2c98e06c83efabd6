"""An image with attention for the terminal: the image in shades, and a heat map of its patches per target word.

The panels of words are at the right of the image, or below it where the terminal is narrow.
"""

from collections.abc import Sequence

import numpy as np
from rich.style import Style
from rich.text import Text

from attnbench.analysis.heatmap import CELL, GOLD, columns, fitted, legend, weight_cell
from attnbench.tasks.base import PATCH

WIDEST = 40  # terminal columns of the image
GAP = 2  # columns between two panels
SHADES = " ░▒▓█"
EDGE = Text("│", Style(dim=True))  # at both sides of a panel, which may be empty: weights of 0 are blank
_COLOUR_POSSIBLE = Text.assemble("only possible links ", ("•", GOLD), ", ", ("◦", GOLD), " at weight 0")
_PLAIN_POSSIBLE = Text("only possible links ( )")


def scene_legend(colour: bool, links: bool, possible: bool) -> Text:
    """Explains a scene map; `links`, `possible`: with the marks of gold links, and of links that are only possible."""
    below = [_COLOUR_POSSIBLE if colour else _PLAIN_POSSIBLE] * possible
    return Text("\n").join([legend(colour, links), *below])


def scene_map(
    image: np.ndarray,
    weights: np.ndarray,
    target: Sequence[str],
    links: np.ndarray | None,
    possible: np.ndarray | None,
    colour: bool,
    width: int = 80,
) -> Text:
    """Draws an image and the weights of its patches: a panel per target word, with the word above it.

    Args:
        image: (H,W), from 0 to 1.
        weights: (T,S), each in 0..1, of the patches row by row.
        target: the T words.
        links, possible: (T,S), the gold links and those that are not wrong; None where the task has none.
        colour: as for `heat_map`; the image has two pixels per character in colour, else characters such as ▒.
        width: terminal columns; as many panels are side by side as fit. If not even one does, a patch has one column.
    """
    scene = [Text.assemble(EDGE, line, EDGE) for line in _scene(image, colour, width - 2)]
    rows, across = image.shape[0] // PATCH, image.shape[1] // PATCH
    narrow = CELL * across + 2 > width
    panels = []
    for step, word in enumerate(target):
        own, others = (np.zeros(weights.shape[1], bool) if a is None else a[step] for a in (links, possible))
        marks = np.where(own, 2, np.where(others, 1, 0)).reshape(rows, across)
        panels.append(_panel(weights[step].reshape(rows, across), word, marks, colour, narrow))
    beside = width - _width(scene) - GAP
    if beside >= _width(panels[0]):
        return _side_by_side([scene, _wrapped(panels, beside)])
    return Text("\n").join([*scene, Text(), *_wrapped(panels, width)])


def _scene(image: np.ndarray, colour: bool, width: int) -> list[Text]:
    """The lines of the image. A terminal's characters are twice as high as wide, so each is two pixels high."""
    pixels = np.clip(_reduced(image, -(-image.shape[1] // min(WIDEST, width))), 0, 1)
    upper, lower = pixels[0::2], pixels[1::2]
    if not colour:
        levels = np.ceil((upper + lower) / 2 * (len(SHADES) - 1) - 1e-6).astype(int)
        return [Text("".join(SHADES[level] for level in row)) for row in levels]
    return [
        Text.assemble(*(_pair(a, b) for a, b in zip(*rows, strict=True))) for rows in zip(upper, lower, strict=True)
    ]


def _pair(upper: float, lower: float) -> tuple[str, Style]:
    above, below = (f"rgb({grey},{grey},{grey})" for grey in (round(255 * upper), round(255 * lower)))
    return "▀", Style(color=above, bgcolor=below)


def _reduced(image: np.ndarray, factor: int) -> np.ndarray:
    """The means of blocks of factor × factor pixels, with an even number of rows."""
    height, width = (-(-side // step) * step for side, step in zip(image.shape, (2 * factor, factor), strict=True))
    filled = np.pad(image, ((0, height - image.shape[0]), (0, width - image.shape[1])))
    return filled.reshape(height // factor, factor, width // factor, factor).mean((1, 3))


def _panel(weights: np.ndarray, word: str, marks: np.ndarray, colour: bool, narrow: bool) -> list[Text]:
    """The word, and a line per row of patches; `narrow`: with one column per patch, which has no room for brackets."""
    size = (1 if narrow else CELL) * weights.shape[1] + 2
    name = fitted(word, size)
    lines = [Text(" " * ((size - columns(name)) // 2) + name)]
    lines[0].pad_right(size - lines[0].cell_len)
    for row, marked in zip(weights.tolist(), marks.tolist(), strict=True):
        cells = (weight_cell(w, mark == 2, colour, possible=mark == 1) for w, mark in zip(row, marked, strict=True))
        lines.append(Text.assemble(EDGE, *(cell[1:2] if narrow else cell for cell in cells), EDGE))
    return lines


def _wrapped(panels: list[list[Text]], width: int) -> list[Text]:
    """Panels side by side, in as many rows as they need."""
    per_row = max(1, (width + GAP) // (_width(panels[0]) + GAP))
    lines: list[Text] = []
    for start in range(0, len(panels), per_row):
        if lines:
            lines.append(Text())
        lines += _side_by_side(panels[start : start + per_row]).split("\n", allow_blank=True)
    return lines


def _side_by_side(blocks: Sequence[list[Text]]) -> Text:
    """Blocks of lines next to each other; the lines of each block have the same width."""
    height = max(map(len, blocks))
    lines = []
    for number in range(height):
        parts = [block[number] if number < len(block) else Text(" " * _width(block)) for block in blocks]
        lines.append(Text(" " * GAP).join(parts))
    return Text("\n").join(lines)


def _width(lines: Sequence[Text]) -> int:
    return max((line.cell_len for line in lines), default=0)
