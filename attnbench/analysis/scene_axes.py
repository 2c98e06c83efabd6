"""An image with attention in matplotlib: the image, then a panel of weights per target word, with the image over it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from attnbench.analysis.colours import GOLD, shades_of
from attnbench.analysis.fonts import MONO, drawable, style
from attnbench.analysis.heatmap import columns, fitted
from attnbench.analysis.scene_layout import ABOVE, Layout
from attnbench.tasks.base import PATCH

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

    from attnbench.analysis.plots import Panel

INK = 112  # grey: visible on the light colours of small weights, and on the dark ones of large weights


def draw_scene(axes: Axes, panel: Panel, layout: Layout | None = None) -> None:
    """Draws an alignment whose source is an image, in axes without ticks; units are patches.

    Gold links are outlined, those that are only possible with dashes.
    """
    layout = prepare_scene(axes, panel, layout)
    axes.set_xlim(-1, layout.width + 1)  # apart from the axes beside it
    axes.imshow(picture_of(panel.weights, panel.image, layout), extent=extent_of(layout), interpolation="nearest")
    for artist in outlines(axes, panel, layout):
        artist.set_zorder(3)


def prepare_scene(axes: Axes, panel: Panel, layout: Layout | None = None) -> Layout:
    """Sets the limits of axes and writes the words above the panels; returns the layout."""
    assert panel.image is not None
    layout = layout or Layout.of(panel.image, len(panel.target))
    axes.set(xlim=(-0.2, layout.width + 0.2), ylim=(layout.height + 0.2, 0), xticks=[], yticks=[], aspect="equal")
    axes.spines[:].set_visible(False)
    box = axes.get_window_extent()
    patch = 72 / axes.figure.dpi * min(box.width / layout.width, box.height / layout.height)  # points
    for number, word in enumerate(fitted(drawable(word)) for word in panel.target):
        top, left = layout.corner(number + 1)
        size = patch * min(0.8 * ABOVE, layout.columns / (0.602 * max(columns(word), 1)))
        axes.text(
            left + layout.columns / 2, top - 0.3, word, fontsize=min(11, size), ha="center", va="bottom",
            **style(word, MONO),
        )  # fmt: skip
    return layout


def extent_of(layout: Layout) -> tuple[float, float, float, float]:
    """The place of a layout's pictures in axes: left, right, bottom, top."""
    return 0, layout.width, layout.height, 0


def picture_of(weights: np.ndarray, image: np.ndarray | None, layout: Layout) -> np.ndarray:
    """The image and the weights (T,S) as bytes (height·PATCH, width·PATCH, 4): red, green, blue and opacity."""
    assert image is not None
    placed = layout.weights(weights)
    colours = shades_of(np.nan_to_num(placed, nan=1e-9)).astype(float)
    top, left = layout.corner(0)
    colours[top : top + layout.rows, left : left + layout.columns] = 255
    placed[top : top + layout.rows, left : left + layout.columns] = 1
    colours[np.isnan(placed)] = 0
    colours = colours.repeat(PATCH, axis=0).repeat(PATCH, axis=1)
    ink = layout.ink(image)[..., None]
    colour = np.full(ink.shape, INK)
    colour[: (top + layout.rows) * PATCH, : (left + layout.columns) * PATCH] = 0  # black on white
    colours[..., :3] = colours[..., :3] * (1 - ink) + colour * ink
    return colours.round().astype(np.uint8)


def outlines(axes: Axes, panel: Panel, layout: Layout) -> list[Artist]:
    """Adds a frame around every panel, gold links, and possible links that are not gold."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    def frames(corners: list[tuple[int, int]], size: tuple[int, int], inside: float, **look: Any) -> Artist:
        across, down = size[1] - 2 * inside, size[0] - 2 * inside
        boxes = [Rectangle((left + inside, top + inside), across, down) for top, left in corners]
        return axes.add_collection(PatchCollection(boxes, facecolor="none", **look))

    def linked(links: np.ndarray) -> list[tuple[int, int]]:
        return [layout.place(int(word), int(patch)) for word, patch in np.argwhere(links)]

    every = [layout.corner(number) for number in range(layout.words + 1)]
    drawn = [frames(every, (layout.rows, layout.columns), 0, edgecolor="black", linewidth=0.5)]
    if panel.links is not None:
        drawn.append(frames(linked(panel.links), (1, 1), 0.06, edgecolor=GOLD, linewidth=1.5))
        if panel.possible is not None:
            only = panel.possible & ~panel.links
            drawn.append(frames(linked(only), (1, 1), 0.08, edgecolor=GOLD, linewidth=0.9, linestyle=(0, (2, 1.5))))
    return drawn
