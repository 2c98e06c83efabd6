"""The colours of attention weights in pictures: one scale from 0 to 1, and a colour of its own for exactly 0."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable

COLOURS = "Blues"
# Of a weight of exactly 0, in the pictures of alignments. A small weight is nearly white: a grey differs from it, and
# from all others, which are blue.
ZERO = "#e4e4e4"
WITH_ZERO: dict[str, Any] = {"extend": "min", "extendrect": True, "extendfrac": 0.08}  # of a colour bar
GOLD = "#ff9500"


def shades_of(weights: np.ndarray) -> np.ndarray:
    """The colours of weights in 0..1 of any shape, as bytes with a last axis of 4: red, green, blue and opacity."""
    levels = np.where(weights == 0, 256, (np.clip(weights, 0, 1) * 255).round()).astype(np.intp)
    return _shades()[levels]


@cache
def _shades() -> np.ndarray:
    """The colours of 256 weights from 0 to 1, and that of exactly 0."""
    from matplotlib import colormaps
    from matplotlib.colors import to_rgba

    shades = np.concatenate([colormaps[COLOURS](np.linspace(0, 1, 256)), [to_rgba(ZERO)]])
    return (shades * 255).round().astype(np.uint8)


def mappable() -> ScalarMappable:
    """The colour map of values in 0..1, for a colour bar."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    return ScalarMappable(Normalize(0, 1), colormaps[COLOURS].with_extremes(under=ZERO))


def label_zero(scale: Axes) -> None:
    """Labels the colour of a weight of exactly 0, which is below a colour bar that was drawn `WITH_ZERO`."""
    middle = (1, -WITH_ZERO["extendfrac"] / 2)
    scale.annotate(
        "0", middle, (5, 0), xycoords="axes fraction", textcoords="offset points", va="center", fontsize=8,
        annotation_clip=False,
    )  # fmt: skip
