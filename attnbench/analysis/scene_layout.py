"""The layout of an image with attention: the image, then a panel per target word, in rows from left to right.

Every panel has the rows and columns of the image's patches, so a layout is measured in patches: `weights` and `ink`
give pictures of the whole layout, which are drawn one above the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attnbench.tasks.base import PATCH

ACROSS = 4  # panels in a row
GAP = 1  # patches between two panels of a row
ABOVE = 2  # patches above a panel, for its word
# Share of the ink in the panels of words: the colour of the weight below it remains visible.
INK_ON_WEIGHTS = 0.85


@dataclass(frozen=True)
class Layout:
    """The places of the panels.

    Attributes:
        rows, columns: the patches of the image.
        words: the number of target words, EOS included.
        across: the panels in a row.
    """

    rows: int
    columns: int
    words: int
    across: int

    @classmethod
    def of(cls, image: np.ndarray, words: int, across: int = ACROSS) -> Layout:
        """The layout of an image (H,W) and this number of words."""
        height, width = image.shape
        return cls(height // PATCH, width // PATCH, words, min(across, words + 1))

    @property
    def height(self) -> int:
        """Of the whole layout, in patches."""
        return -(-(self.words + 1) // self.across) * (self.rows + ABOVE)

    @property
    def width(self) -> int:
        """Of the whole layout, in patches."""
        return self.across * (self.columns + GAP) - GAP

    @property
    def size(self) -> tuple[int, int]:
        """The height and the width."""
        return self.height, self.width

    def corner(self, panel: int) -> tuple[int, int]:
        """The patches above and at the left of a panel: 0 is the image, 1 the first word."""
        down, along = divmod(panel, self.across)
        return down * (self.rows + ABOVE) + ABOVE, along * (self.columns + GAP)

    def place(self, word: int, patch: int) -> tuple[int, int]:
        """The patches above and at the left of a patch in the panel of a word."""
        top, left = self.corner(word + 1)
        return top + patch // self.columns, left + patch % self.columns

    def weights(self, weights: np.ndarray) -> np.ndarray:
        """Weights (T,S) at their places: (height,width), NaN outside of the panels of words."""
        placed = np.full((self.height, self.width), np.nan)
        for word, row in enumerate(weights):
            top, left = self.corner(word + 1)
            placed[top : top + self.rows, left : left + self.columns] = row.reshape(self.rows, self.columns)
        return placed

    def ink(self, image: np.ndarray) -> np.ndarray:
        """An image (H,W) from 0 to 1 in all panels: (height·PATCH, width·PATCH), fainter in the panels of words."""
        placed = np.zeros((self.height * PATCH, self.width * PATCH))
        for panel in range(self.words + 1):
            top, left = (PATCH * side for side in self.corner(panel))
            share = INK_ON_WEIGHTS if panel else 1
            placed[top : top + image.shape[0], left : left + image.shape[1]] = share * np.clip(image, 0, 1)
        return placed
