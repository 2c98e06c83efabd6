"""The caption task: the digits of an image, in words."""

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, NonNegativeInt

from attnbench.errors import fail
from attnbench.option_types import FromTo
from attnbench.registry import task
from attnbench.tasks.base import SPECIAL, Examples
from attnbench.tasks.digits import digits
from attnbench.tasks.image_file import images_digest, read_images
from attnbench.tasks.image_pairs import ImagePairs
from attnbench.tasks.scenes import CANVAS, CELLS, compose, most_clutter
from attnbench.tasks.split import Split


@task("caption")
class Caption:
    """Reads the handwritten digits of a scene.

    Formula: y = the digits, row by row, or in ascending order
    Source: Xu et al. 2015 (arXiv 1502.03044), the captions of images; Ba, Mnih & Kavukcuoglu 2015 (arXiv 1412.7755),
        several digits in an image

    A scene has 5 × 5 cells of 8 × 8 pixels, which are its patches. Its digits are in cells of their own, shifted by up
    to `jitter` pixels, and do not overlap. Training, validation and test have different images of digits: 70, 10 and
    20 % of the 1,797 that scikit-learn comes with. The length of a source is its number of digits.

    `data.path` is an .npz file of your own images instead, with their words and perhaps gold patches. The options are
    those of scenes, and not used then.

    Gold links: the patch with most of a digit's ink is a sure link, patches with at least 10 % of it are possible.

    Args:
        digits: the smallest and the largest number of digits in training.
        order: `reading` for row by row, `value` for ascending; equal digits are then in reading order.
        jitter: the largest shift of a digit, in pixels.
        clutter: the number of fragments, 4 × 4 pixels of training digits, at places without a digit.

    Raises:
        AttnbenchError: if the digits or the fragments do not fit into a scene.
    """

    images = True
    reads_path = True
    lengths_of_files = True

    @staticmethod
    def from_files(path: str, validation_path: str | None, test_path: str | None, **options: Any) -> ImagePairs:
        """Returns the task with images of the user; see `ImagePairs`. The options are those of scenes, not used."""
        del options
        return ImagePairs(path, validation_path, test_path)

    @staticmethod
    def file_lengths(path: str) -> list[int]:
        """Returns the number of words of each image in a file.

        Raises:
            AttnbenchError: if it cannot be read.
        """
        return [len(words) for words in read_images(path).words]

    @staticmethod
    def digest(path: str) -> str:
        """Returns the digest of what is read from a file."""
        return images_digest(path)

    def __init__(
        self,
        digits: FromTo = (1, 5),
        order: Literal["reading", "value"] = "reading",
        jitter: Annotated[int, Field(ge=0, le=3)] = 3,
        clutter: NonNegativeInt = 0,
    ) -> None:
        self.order, self.jitter, self.clutter = order, jitter, clutter
        self.source_words = list(SPECIAL)
        self.target_words = [*SPECIAL, *map(str, range(10))]
        self.image_size = CANVAS, CANVAS
        if problem := self.check(digits[1]):
            raise fail(problem, "task.digits", self._hint(digits[1]))

    def check(self, length: int) -> str | None:
        """Returns the reason why no scene has this many digits, or None if there are scenes."""
        if length > CELLS**2:
            return f"a scene has {CELLS**2} cells, one for each digit, and no room for {length} digits"
        if self.clutter > (most := most_clutter(length, self.jitter)):
            return f"beside {length} digits a scene has room for {most} fragments, and clutter is {self.clutter}"
        return None

    def _hint(self, digits: int) -> str:
        return "lower digits" if digits > CELLS**2 else "lower clutter, or digits"

    def longest_target(self, length: int) -> int:
        """Returns `length`: each digit is a word."""
        return length

    def generate(self, random: np.random.Generator, length: int, count: int) -> Examples:
        """Returns `count` random training scenes with `length` digits."""
        return self.generate_part(random, length, count, Split.TRAINING)

    def generate_part(self, random: np.random.Generator, length: int, count: int, split: Split) -> Examples:
        """Returns `count` random scenes with `length` digits of a part of the split: images (count,40,40)."""
        material = digits(split)
        scenes = compose(random, material, digits(Split.TRAINING), count, length, self.jitter, self.clutter)
        values = material.values[scenes.chosen]
        order = np.argsort(values, axis=1, kind="stable") if self.order == "value" else np.arange(length)[None]
        order = np.broadcast_to(order, values.shape)
        sure, possible = (np.take_along_axis(a, order[..., None], axis=1) for a in (scenes.sure, scenes.possible))
        return Examples(scenes.canvas, len(SPECIAL) + np.take_along_axis(values, order, axis=1), sure, sure | possible)
