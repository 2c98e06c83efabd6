"""Pictures of one alignment after the other, for MLflow: weights change from step to step, all else is drawn once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from attnbench.analysis.colours import WITH_ZERO, label_zero, mappable, shades_of
from attnbench.analysis.fonts import drawable, style
from attnbench.analysis.heatmap import columns
from attnbench.analysis.plots import DPI, LETTER, canvas_of, in_own_style, label_words, outline, rotated

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure


class AlignmentPainter:
    """Draws many alignments of one sentence, for example one per validation.

    matplotlib draws words, frame and gold links once per sentence, and a title once for all pictures that have it one
    after the other. For 15 words that takes about 100 ms and 5 ms, the weights less than 1 ms.
    """

    @in_own_style
    def __init__(self, source: Sequence[str], target: Sequence[str], links: np.ndarray | None) -> None:
        self._shape = len(target), len(source)
        source, target = list(map(drawable, source)), list(map(drawable, target))
        self._cell = _cell_size(*self._shape)
        self._figure, axes = _empty_alignment(source, target, self._cell)
        self._canvas = canvas_of(self._figure)
        self._title = self._figure.text(0.5, 1, "", ha="center", va="top", fontsize=10, **style(""))
        above = [outline(axes, links), *axes.spines.values()]
        for artist in (*above, self._title):
            artist.set_animated(True)
        self._canvas.draw()
        self._empty = self._canvas.copy_from_bbox(self._figure.bbox)
        height = self._canvas.get_width_height()[1]
        self._left, self._top = round(axes.bbox.x0), height - round(axes.bbox.y1)
        self._above = _Overlay.of(self._canvas, above)
        self._titled: tuple[str, np.ndarray] | None = None  # the last title, and the picture without weights

    def paint(self, weights: np.ndarray, title: str = "") -> np.ndarray:
        """Returns an image of weights (T,S) as (height, width, 3) bytes.

        Raises:
            ValueError: if the weights have another shape than the sentence.
        """
        if weights.shape != self._shape:
            raise ValueError(f"weights of shape (T,S) = {self._shape} expected, found {weights.shape}")
        if self._titled is None or self._titled[0] != title:
            self._titled = title, self._with_title(drawable(title))
        picture = self._titled[1].copy()
        # Each weight covers whole pixels, so they can be copied, several times faster than matplotlib resamples.
        cells = shades_of(weights)[..., :3].repeat(self._cell, axis=0).repeat(self._cell, axis=1)
        picture[self._top : self._top + cells.shape[0], self._left : self._left + cells.shape[1]] = cells
        self._above.cover(picture)
        return picture

    def _with_title(self, title: str) -> np.ndarray:
        """The picture without weights, frame and gold links."""
        self._canvas.restore_region(self._empty)
        self._title.set(text=f"\n{title}" if title else "", **style(title))
        # A long title gets a smaller font, since it would be cut off at the edges of the image.
        self._title.set_fontsize(min(10, 72 * self._figure.get_figwidth() / (LETTER * max(columns(title), 1))))
        self._figure.draw_artist(self._title)
        return np.asarray(self._canvas.buffer_rgba())[:, :, :3].copy()


class _Overlay(NamedTuple):
    """What is drawn over many pictures, with the opacity of each pixel.

    Attributes:
        where: the rows and columns of the pixels that it covers in whole or in part.
        opacity: (n,3), 0..255.
        colour: (n,3), 0..255, already multiplied by the opacity.
    """

    where: tuple[np.ndarray, ...]
    opacity: np.ndarray
    colour: np.ndarray

    @classmethod
    def of(cls, canvas: FigureCanvasAgg, artists: Iterable[Artist]) -> _Overlay:
        """Draws the artists over black and over white: where the results differ, the background is seen."""
        black, white = (_drawn_over(canvas, artists, shade) for shade in (0, 255))
        opacity = 255 - (white - black)
        where = np.nonzero(opacity.any(axis=-1))
        return cls(where, opacity[where], black[where])

    def cover(self, picture: np.ndarray) -> None:
        """Draws over a picture (height, width, 3) of bytes."""
        behind = picture[self.where].astype(int)
        picture[self.where] = self.colour + (behind * (255 - self.opacity) + 127) // 255


def _drawn_over(canvas: FigureCanvasAgg, artists: Iterable[Artist], shade: int) -> np.ndarray:
    """The picture (height, width, 3) of artists alone, over a shade of grey."""
    pixels = np.asarray(canvas.buffer_rgba())
    pixels[...] = shade, shade, shade, 255
    for artist in artists:
        canvas.figure.draw_artist(artist)
    return pixels[:, :, :3].astype(int)


def _cell_size(rows: int, columns: int) -> int:
    """The side of a weight's square in pixels: larger for short sentences, and large enough for a word next to it."""
    return min(26, max(12, 280 // max(rows, columns, 1)))


def _empty_alignment(source: Sequence[str], target: Sequence[str], cell: int) -> tuple[Figure, Axes]:
    """A figure with the words and the colour scale, and empty axes of whole pixels for the weights."""
    from matplotlib.figure import Figure

    size = min(11.0, 0.55 * cell)
    letter = size * LETTER * DPI / 72
    left = round(letter * max(map(columns, target), default=1)) + 16
    top = round(letter * max(map(columns, source), default=1) if rotated(source) else size * DPI / 72) + 36
    width, height, below = cell * len(source), cell * len(target), 12
    full = left + width + 56, top + height + below
    figure = Figure(figsize=(full[0] / DPI, full[1] / DPI), dpi=DPI, facecolor="white")
    axes = figure.add_axes((left / full[0], below / full[1], width / full[0], height / full[1]))
    axes.set(xlim=(-0.5, len(source) - 0.5), ylim=(len(target) - 0.5, -0.5))
    label_words(axes, source, target, size)
    scale = figure.add_axes(((left + width + 10) / full[0], below / full[1], 9 / full[0], height / full[1]))
    figure.colorbar(mappable(), cax=scale, ticks=[0.5, 1], **WITH_ZERO)
    scale.tick_params(labelsize=8, length=2)
    label_zero(scale)
    return figure, axes
