"""Pictures of how an alignment formed, and the files that MLflow shows with a slider over the steps."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

import numpy as np

from attnbench.outcome import Alignments

if TYPE_CHECKING:
    from attnbench.analysis.alignment_painter import AlignmentPainter
    from attnbench.analysis.scene_plots import ScenePainter

IMAGE_KEY = "alignment"
IMAGES = "images"  # the folder of a run's artifacts in which MLflow's charts look for pictures
CHART_PIXELS = 256  # the larger side of the pictures in the charts, as MLflow makes them


def save(picture: np.ndarray, folder: Path, step: int, now: int) -> None:
    """Writes a picture as the two files of MLflow's `log_image`: a PNG, and a small WebP for the charts.

    MLflow's own method logs each file by itself and spends seven times as long on the files.

    Args:
        picture: (height, width, 3) bytes.
        folder: whose files are to become the artifacts in IMAGES.
        step: the training step.
        now: milliseconds since 1970.
    """
    from PIL import Image

    image = Image.fromarray(picture)
    name = f"{IMAGE_KEY}+step+{step}+timestamp+{now}+{uuid4()}"
    image.save(folder / f"{name}.png", compress_level=1)
    scale = min(1.0, CHART_PIXELS / max(image.size))
    small = image.resize([max(1, round(scale * side)) for side in image.size], Image.Resampling.BOX)
    small.save(folder / f"{name}+compressed.webp", lossless=True, quality=0, method=0)


class AlignmentPictures:
    """Draws how alignments formed. What the pictures of a sentence or image have in common is drawn once and cached."""

    def __init__(self) -> None:
        self._painter = lru_cache(maxsize=16)(_painter)

    def forming(self, alignments: Alignments, title: str) -> Iterator[tuple[int, np.ndarray]]:
        """Yields (step, picture); a picture is (height, width, 3) bytes: the mean of the heads, then each head."""
        arrays = (
            alignments.forming_links.astype(bool),
            alignments.forming_possible.astype(bool),
            alignments.forming_image,
        )
        # The words, the gold links and the image are all that the cached background depends on.
        frozen = (Frozen(array.tobytes(), array.shape, array.dtype.str) if array.size else None for array in arrays)
        painter = self._painter(tuple(alignments.forming_source), tuple(alignments.forming_target), *frozen)
        for moment, (weights, step) in enumerate(zip(alignments.forming, alignments.steps, strict=True)):
            heads = alignments.forming_heads[moment] if alignments.forming_heads.size else ()
            pictures = [painter.paint(weights, title)]
            pictures += [painter.paint(head, f"head {number}") for number, head in enumerate(heads)]
            yield int(step), np.concatenate(pictures, axis=1)


class Frozen(NamedTuple):
    """An array as the key of a cache."""

    content: bytes
    shape: tuple[int, ...]
    dtype: str

    def array(self, shape: tuple[int, ...]) -> np.ndarray:
        """The array in a shape without the axis of one sentence."""
        return np.frombuffer(self.content, self.dtype).reshape(shape)


def _painter(
    source: tuple[str, ...],
    target: tuple[str, ...],
    links: Frozen | None,
    possible: Frozen | None,
    image: Frozen | None,
) -> "AlignmentPainter | ScenePainter":
    from attnbench.analysis.alignment_painter import AlignmentPainter
    from attnbench.analysis.plots import Panel
    from attnbench.analysis.scene_plots import ScenePainter

    shape = (len(target), len(source))
    gold, others = (None if found is None else found.array(shape) for found in (links, possible))
    if image is None:
        return AlignmentPainter(source, target, gold)
    return ScenePainter(Panel(np.zeros(shape), source, target, gold, others, image.array(image.shape[-2:])))
