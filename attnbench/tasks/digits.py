"""Images of handwritten digits: those that scikit-learn comes with."""

from functools import cache
from typing import NamedTuple

import numpy as np

from attnbench.tasks.split import Split

SIDE = 8  # height and width of an image, in pixels
SHARES = (0.7, 0.1, 0.2)  # of the images, for training, validation and test


class Digits(NamedTuple):
    """Images of handwritten digits.

    Attributes:
        images: (N,8,8) float32, from 0 to 1.
        values: (N,), the digits.
    """

    images: np.ndarray
    values: np.ndarray


@cache
def digits(split: Split) -> Digits:
    """Returns the images of a part of the split; each digit is split in the same proportions.

    Source: E. Alpaydin & C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository 1998
        (doi 10.24432/C50P49); the 1,797 images of its test set, with 17 shades of grey.
    """
    images, values = _all()
    random = np.random.default_rng(0)
    chosen = []
    for value in range(10):
        of_value = random.permutation(np.flatnonzero(values == value))
        ends = np.round(np.cumsum(SHARES) * len(of_value)).astype(int)
        chosen.append(np.split(of_value, ends[:-1])[split])
    rows = np.concatenate(chosen)
    return Digits(images[rows], values[rows])


@cache
def _all() -> Digits:
    from sklearn.datasets import load_digits  # here, because the import takes a second

    found = load_digits()
    return Digits((found.images / 16).astype(np.float32), found.target)
