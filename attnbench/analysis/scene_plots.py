"""Plots of images with attention, for MLflow: many of one image, for example one per validation."""

from __future__ import annotations

import numpy as np

from attnbench.analysis.colours import WITH_ZERO, label_zero, mappable
from attnbench.analysis.fonts import drawable, style
from attnbench.analysis.heatmap import columns
from attnbench.analysis.plots import DPI, LETTER, Panel, canvas_of, in_own_style
from attnbench.analysis.scene_axes import extent_of, outlines, picture_of, prepare_scene
from attnbench.analysis.scene_layout import Layout

PIXELS = 16  # of a patch
TITLE, EDGE, SCALE = 26, 12, 56  # pixels: above the panels, around them, and for the colour scale at the right


class ScenePainter:
    """Draws many alignments of one image. Words, frames, gold links and the colour scale are drawn only once."""

    @in_own_style
    def __init__(self, panel: Panel) -> None:
        from matplotlib.figure import Figure

        assert panel.image is not None
        self._panel, self._shape = panel, panel.weights.shape
        layout = Layout.of(panel.image, len(panel.target))
        width, height = (layout.width + 0.4) * PIXELS, (layout.height + 0.2) * PIXELS
        full = width + EDGE + SCALE, height + TITLE + EDGE
        self._figure = Figure(figsize=(full[0] / DPI, full[1] / DPI), dpi=DPI, facecolor="white")
        self._canvas = canvas_of(self._figure)
        place = EDGE / full[0], EDGE / full[1], width / full[0], height / full[1]
        axes = self._figure.add_axes(place)
        self._layout = prepare_scene(axes, panel, layout)
        scale = self._figure.add_axes(((EDGE + width + 6) / full[0], place[1], 9 / full[0], place[3] * 0.9))
        self._figure.colorbar(mappable(), cax=scale, ticks=[0.5, 1], **WITH_ZERO)
        scale.tick_params(labelsize=8, length=2)
        label_zero(scale)
        empty = picture_of(np.zeros(self._shape), panel.image, layout)
        self._image = axes.imshow(empty, extent=extent_of(layout), interpolation="nearest")
        self._title = self._figure.text(0.5, 1, "", ha="center", va="top", fontsize=10, **style(""))
        self._changing = [self._image, *outlines(axes, panel, layout), self._title]
        for artist in self._changing:
            artist.set_animated(True)
        self._canvas.draw()
        self._empty = self._canvas.copy_from_bbox(self._figure.bbox)

    def paint(self, weights: np.ndarray, title: str = "") -> np.ndarray:
        """Returns an image of weights (T,S) as (height, width, 3) bytes.

        Raises:
            ValueError: if the weights have another shape than the words and patches.
        """
        if weights.shape != self._shape:
            raise ValueError(f"weights of shape (T,S) = {self._shape} expected, found {weights.shape}")
        self._canvas.restore_region(self._empty)
        self._image.set_data(picture_of(weights, self._panel.image, self._layout))
        title = drawable(title)
        self._title.set(text=f"\n{title}" if title else "", **style(title))
        # A long title gets a smaller font, since it would be cut off at the edges of the image.
        self._title.set_fontsize(min(10, 72 * self._figure.get_figwidth() / (LETTER * max(columns(title), 1))))
        for artist in self._changing:
            self._figure.draw_artist(artist)
        return np.asarray(self._canvas.buffer_rgba())[:, :, :3].copy()
