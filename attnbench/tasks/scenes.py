"""Scenes: handwritten digits at random places of a canvas, with fragments of other digits between them."""

from typing import NamedTuple

import numpy as np

from attnbench.tasks.base import PATCH
from attnbench.tasks.digits import SIDE, Digits

CELLS = 5  # rows and columns of cells of a canvas; a cell is a patch
CANVAS = CELLS * PATCH  # pixels
FRAGMENT = 4  # height and width of a fragment, in pixels
BLOCKS = CANVAS // FRAGMENT  # rows and columns of places for fragments
TRIES = 8  # for a place that is shifted and free; a digit for which all of them fail stays in its cell
POSSIBLE = 0.1  # the least share of a digit's ink in a patch that is a possible link


class Scenes(NamedTuple):
    """N scenes with n digits each, in reading order.

    Attributes:
        canvas: (N,40,40), from 0 to 1.
        chosen: (N,n), the numbers of the digits among those given.
        corners: (N,n,2), the pixel of the upper left corner of each digit: row and column.
        sure: (N,n,25), True at the patch that has most of the ink of a digit.
        possible: (N,n,25), True at the patches that have at least POSSIBLE of it.
    """

    canvas: np.ndarray
    chosen: np.ndarray
    corners: np.ndarray
    sure: np.ndarray
    possible: np.ndarray


def most_clutter(digits: int, jitter: int) -> int:
    """Returns the number of fragments that fit beside this many digits, wherever they are."""
    # A shifted digit touches up to 3 × 3 of the places for fragments, one that is not shifted 2 × 2.
    touched = (SIDE // FRAGMENT + (jitter % FRAGMENT > 0)) ** 2
    return max(0, BLOCKS**2 - touched * digits)


def compose(
    random: np.random.Generator, digits: Digits, pieces: Digits, count: int, number: int, jitter: int, clutter: int
) -> Scenes:
    """Returns `count` random scenes.

    Args:
        random: the random numbers.
        digits: the images to choose from.
        pieces: the images that the fragments are cut from.
        count: N.
        number: n, the digits of each scene, at most CELLS².
        jitter: the largest shift of a digit from its cell, in pixels, at most 3: its centre stays inside the cell.
        clutter: the number of fragments, at most `most_clutter(number, jitter)`.
    """
    corners = _places(random, count, number, jitter)
    chosen = random.integers(len(digits.images), size=(count, number))
    canvas = np.zeros((count, CANVAS, CANVAS), np.float32)
    for place in range(number):
        _paste(canvas, digits.images[chosen[:, place]], corners[:, place])
    ink = _ink(digits.images[chosen], corners)
    if clutter:
        _add_fragments(random, canvas, corners, pieces.images, clutter)
    sure = np.arange(CELLS**2) == ink.argmax(-1)[..., None]
    return Scenes(canvas, chosen, corners, sure, ink >= POSSIBLE)


def _places(random: np.random.Generator, count: int, number: int, jitter: int) -> np.ndarray:
    """Returns the corners (N,n,2) of digits that do not overlap, each in a cell of its own, in reading order."""
    cells = random.permuted(np.tile(np.arange(CELLS**2), (count, 1)), axis=1)[:, :number]
    cells.sort(axis=1)  # the centre of a digit stays in its cell, so that this is the reading order of the centres
    homes = PATCH * np.stack(np.divmod(cells, CELLS), axis=-1)
    corners = homes.copy()
    for place in range(number) if jitter else ():
        others = np.delete(corners, place, axis=1)
        shifted = np.zeros(count, bool)
        for _ in range(TRIES):
            shift = random.integers(-jitter, jitter + 1, size=(count, 2))
            there = np.clip(homes[:, place] + shift, 0, CANVAS - SIDE)
            free = ~(np.abs(others - there[:, None]) < SIDE).all(-1).any(-1) & ~shifted
            corners[free, place] = there[free]
            shifted |= free
    return corners


def _paste(canvas: np.ndarray, images: np.ndarray, corners: np.ndarray) -> None:
    """Writes images (N,h,w) into canvases (N,H,W), each with its upper left corner at the pixel corners (N,2)."""
    rows = corners[:, 0, None, None] + np.arange(images.shape[1])[:, None]
    columns = corners[:, 1, None, None] + np.arange(images.shape[2])
    canvas[np.arange(len(canvas))[:, None, None], rows, columns] = images


def _ink(images: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Returns the share of the ink of each digit (N,n,8,8) that is in each patch (N,n,25)."""
    shape = images.shape[:2]
    canvas = np.zeros((shape[0] * shape[1], CANVAS, CANVAS), images.dtype)
    _paste(canvas, images.reshape(-1, SIDE, SIDE), corners.reshape(-1, 2))
    patches = canvas.reshape(-1, CELLS, PATCH, CELLS, PATCH).sum((2, 4), dtype=np.float64)
    return (patches / patches.sum((1, 2), keepdims=True)).reshape(*shape, CELLS**2)


def _add_fragments(
    random: np.random.Generator, canvas: np.ndarray, corners: np.ndarray, images: np.ndarray, clutter: int
) -> None:
    """Writes fragments of random images at places that no digit touches."""
    count, blocks = len(canvas), np.arange(BLOCKS)
    first, last = corners // FRAGMENT, (corners + SIDE - 1) // FRAGMENT
    inside = (blocks >= first[..., None]) & (blocks <= last[..., None])  # (N,n,2,10), of each row and column
    taken = (inside[:, :, 0, :, None] & inside[:, :, 1, None, :]).any(1).reshape(count, -1)
    order = np.argsort(random.random((count, BLOCKS**2)) + taken, axis=1)[:, :clutter]  # the free ones first
    there = FRAGMENT * np.stack(np.divmod(order, BLOCKS), axis=-1)
    cut = random.integers(SIDE - FRAGMENT + 1, size=(count, clutter, 2))
    rows, columns = (cut[..., axis, None] + np.arange(FRAGMENT) for axis in (0, 1))
    chosen = random.integers(len(images), size=(count, clutter))[..., None, None]
    fragments = images[chosen, rows[..., :, None], columns[..., None, :]]
    for place in range(clutter):
        _paste(canvas, fragments[:, place], there[:, place])
