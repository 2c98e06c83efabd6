"""A user's own images with their words as a task."""

import numpy as np

from attnbench.errors import Problem, fail
from attnbench.tasks.base import SPECIAL, Examples
from attnbench.tasks.image_file import Images, read_images
from attnbench.tasks.listed import Listed
from attnbench.tasks.pairs import UNKNOWN
from attnbench.tasks.split import Split, split_of_images


class ImagePairs(Listed):
    """Images with words from .npz files; see `read_images` for the format.

    Without a validation or test file, the hash of an image assigns 5 % of the images of `path` to that part. Images
    that are also in a validation or test file are not trained on, and those of the test part are not validated.

    The vocabulary is that of the training images. Other words of validation and test images get ids that no model can
    output, so they always count as errors. The length of an example is its number of words.

    Args:
        path: the file with the training images.
        validation_path: the file with the validation images; None to take them from `path`.
        test_path: the file with the test images; None to take them from `path`.

    Attributes:
        image_size: height and width in pixels.
        unknown_words: the words of validation and test images that are not in the vocabulary; the id of
            `unknown_words[n]` is −1 − n.

    Raises:
        AttnbenchError: if a file cannot be read, no training image is left, or the files differ in image size or in
            whether they have links.
    """

    images = True
    example_of = "image of {} words"

    def __init__(self, path: str, validation_path: str | None = None, test_path: str | None = None) -> None:
        self._paths = {Split.TRAINING: path, Split.VALIDATION: validation_path, Split.TEST: test_path}
        read = {split: read_images(own or path) for split, own in self._paths.items()}
        self._check_alike(read)
        sides = split_of_images(read[Split.TRAINING].images)
        rows = {split: np.flatnonzero(sides == split) for split in Split}
        for split in (Split.VALIDATION, Split.TEST):
            if self._paths[split]:
                rows[split] = np.arange(len(read[split].images))
        tested = _keys(read[Split.TEST], rows[Split.TEST])
        rows[Split.VALIDATION] = _without(read[Split.VALIDATION], rows[Split.VALIDATION], tested)
        held = tested | _keys(read[Split.VALIDATION], rows[Split.VALIDATION])
        rows[Split.TRAINING] = _without(read[Split.TRAINING], np.arange(len(sides)), held)
        if not len(rows[Split.TRAINING]):
            what = "no training images are left: every image is also a validation or test image"
            raise fail(what, path, "add images, or use different ones in data.validation_path and data.test_path")
        words = {split: [read[split].words[row] for row in rows[split]] for split in Split}
        known = sorted({word for each in words[Split.TRAINING] for word in each} - {UNKNOWN})
        self.source_words, self.target_words = list(SPECIAL), [*SPECIAL, UNKNOWN, *known]
        self.unknown_words = sorted({w for split in Split for each in words[split] for w in each} - {*known})
        ids = {word: n for n, word in enumerate(self.target_words)}
        held_ids = ids | {word: -1 - n for n, word in enumerate(self.unknown_words)}
        self.image_size = read[Split.TRAINING].images.shape[1:]
        self._facts: dict[str, float | int] = {f"{split.name.lower()}_images": len(rows[split]) for split in Split}
        self._facts["dropped_training_images"] = len(sides) - sum(
            len(rows[split]) for split in Split if split == Split.TRAINING or not self._paths[split]
        )
        for split in (Split.VALIDATION, Split.TEST):
            total = [word for each in words[split] for word in each]
            unknown = sum(held_ids[word] < 0 for word in total)
            self._facts[f"unknown_target_words_{split.name.lower()}"] = unknown / len(total) if total else 0.0
        super().__init__(
            {
                split: _by_length(read[split], rows[split], ids if split == Split.TRAINING else held_ids)
                for split in Split
            }
        )

    def _check_alike(self, read: dict[Split, Images]) -> None:
        first, path = read[Split.TRAINING], self._paths[Split.TRAINING]
        for split, found in read.items():
            if found.images.shape[1:] != first.images.shape[1:]:
                sizes = [f"{height} × {width}" for height, width in (found.images.shape[1:], first.images.shape[1:])]
                raise fail(f"has images of {sizes[0]} pixels, and {path} of {sizes[1]}", self.origin(split))
            for name in ("links", "possible"):
                if (getattr(found, name) is None) != (getattr(first, name) is None):
                    which = "no" if getattr(found, name) is None else "an array"
                    raise fail(f"has {which} {name}, unlike {path}", self.origin(split), "all files have it, or none")

    def facts(self) -> dict[str, float | int]:
        """Returns facts about the files that affect the results.

        Returns:
            - `training_images`, `validation_images`, `test_images`: the number of images of each part.
            - `dropped_training_images`: the number of images of `path` that are not used, because they are also in the
              validation or test part.
            - `unknown_target_words_validation`, `unknown_target_words_test`: the share of the words, in 0..1, that are
              not in the vocabulary.
        """
        return dict(self._facts)

    def origin(self, split: Split) -> str:
        """Returns the file that the images of this part come from."""
        return str(self._paths[split] or self._paths[Split.TRAINING])

    def lack(self, split: Split, lengths: str) -> Problem:
        """Returns the problem that this part has no image with this many words, and what to do about it."""
        side = split.name.lower()
        what = f"{self.origin(split)} has no {side} {self.example_of.format(lengths)}"
        if split == Split.TRAINING:
            return Problem(what, self.origin(split), "add training images of these lengths")
        share = f"about {split.share:.0%} of the images are for {side}"
        hint = "add images to it" if self._paths[split] else f"add images ({share}), or set data.{side}_path"
        return Problem(what, f"data.{side}_path", hint)


def _keys(found: Images, rows: np.ndarray) -> set[bytes]:
    return {found.images[row].tobytes() for row in rows}


def _without(found: Images, rows: np.ndarray, keys: set[bytes]) -> np.ndarray:
    """The rows with images that are not among the keys."""
    return np.array([row for row in rows if found.images[row].tobytes() not in keys], dtype=int)


def _by_length(found: Images, rows: np.ndarray, ids: dict[str, int]) -> dict[int, Examples]:
    """Returns the images with their words as ids, by the number of words."""
    lengths = np.array([len(found.words[row]) for row in rows], dtype=int)
    groups = {}
    for length in np.unique(lengths).tolist():
        of_length = rows[lengths == length]
        target = np.array([[ids[word] for word in found.words[row]] for row in of_length])
        links, possible = (None if a is None else a[of_length, :length] for a in (found.links, found.possible))
        groups[length] = Examples(found.images[of_length], target, links, possible)
    return groups
