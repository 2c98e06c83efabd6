"""The alignments that are stored for plots: of some test sentences, and of one sentence during training."""

from typing import NamedTuple

import numpy as np
import torch

from attnbench.outcome import NO_IMAGES, NO_LINKS, Alignments
from attnbench.tasks.base import EOS, PATCH, Examples, Task
from attnbench.training.batches import to_batch, words_of
from attnbench.training.stack import Stack

EXAMPLES = 8  # number of test sentences with a stored alignment


class Sentences(NamedTuple):
    """The alignments of N sentences, EOS included.

    Attributes:
        source: the source words of each sentence.
        target: the target words of each sentence.
        weights: (K,N,T,S).
        heads: (K,N,H,T,S), the weights of each head; H = 0 if the model has a single head.
        links: (N,T,S) bool, the gold links; (0,0,0) if the task has none.
        possible: (N,T,S) bool, the links that are not wrong; (0,0,0) if these are the gold links.
        images: (N,H,W), the sources; (0,0,0) if they are sentences.
    """

    source: list[list[str]]
    target: list[list[str]]
    weights: np.ndarray
    heads: np.ndarray
    links: np.ndarray
    possible: np.ndarray
    images: np.ndarray


class Formation:
    """The alignment of one sentence in one replica before training, at validations 1, 2, 4, 8, … and the last one.

    Attributes:
        validations: the number of validations so far; −1 before the alignment of the untrained model is recorded.
        steps: the training steps of the records.
        weights: (T,S) of each record.
        heads: (H,T,S) of each record.
    """

    def __init__(self) -> None:
        self.validations = -1
        self.steps: list[int] = []
        self.weights: list[np.ndarray] = []
        self.heads: list[np.ndarray] = []
        self._sentence: Sentences | None = None

    def restore(
        self, validations: int, steps: list[int], weights: list[np.ndarray], heads: list[np.ndarray], found: Sentences
    ) -> None:
        """Continues from earlier values of the attributes; `found` is any alignment of the sentence."""
        self.validations, self.steps, self.weights, self.heads = validations, steps, weights, heads
        self._sentence = found

    def note(self, step: int, found: Sentences, row: int) -> None:
        """Records the weights after `step` steps.

        The latest record is always present. It is replaced by the next one if it is not that of validation 1, 2, 4, …

        Args:
            step: the training step.
            found: the alignment of the sentence in the replicas that are in training.
            row: the place of this replica among them.
        """
        # The number of validations is not known in advance, because training may stop early. Powers of two give enough
        # detail at the start, where the alignment changes most, and few records in total.
        if self.validations > 0 and not _power_of_two(self.validations):
            for records in (self.steps, self.weights, self.heads):
                records.pop()
        self.steps.append(step)
        self.weights.append(found.weights[row, 0])
        self.heads.append(found.heads[row, 0])
        self._sentence = found
        self.validations += 1

    def join(self, tested: Sentences, replica: int) -> Alignments:
        """Returns the alignments of the replica: those of the test sentences and the records of this object."""
        sentence = self._sentence
        assert sentence is not None
        return Alignments(
            source=tested.source,
            target=tested.target,
            weights=tested.weights[replica],
            links=tested.links,
            forming_source=sentence.source[0],
            forming_target=sentence.target[0],
            forming_links=sentence.links[0] if len(sentence.links) else sentence.links,
            forming=np.stack(self.weights),
            steps=np.array(self.steps),
            heads=tested.heads[replica],
            forming_heads=np.stack(self.heads),
            possible=tested.possible,
            forming_possible=sentence.possible,
            images=tested.images,
            forming_image=sentence.images,
        )


def _power_of_two(number: int) -> bool:
    return number & (number - 1) == 0


def test_alignments(stack: Stack, groups: list[Examples], task: Task, device: torch.device) -> Sentences:
    """Returns the alignments of EXAMPLES test sentences: one of each length, from the longest on, then the next."""
    rounds = [group[n : n + 1] for n in range(EXAMPLES) for group in reversed(groups) if len(group) > n]
    found = [read(stack, example, task, device) for example in rounds[:EXAMPLES]]
    height = max(f.weights.shape[2] for f in found)
    width = max(f.weights.shape[3] for f in found)
    return Sentences(
        [words for f in found for words in f.source],
        [words for f in found for words in f.target],
        np.concatenate([_fill(f.weights, height, width) for f in found], axis=1),
        np.concatenate([_fill(f.heads, height, width) for f in found], axis=1),
        _joined([f.links for f in found], height, width),
        _joined([f.possible for f in found], height, width),
        np.concatenate([f.images for f in found]),
    )


def _joined(links: list[np.ndarray], height: int, width: int) -> np.ndarray:
    """Joins the links of several sentences; the result is empty if those of any sentence are."""
    return np.concatenate([_fill(each, height, width) for each in links]) if all(map(len, links)) else NO_LINKS


def read(stack: Stack, example: Examples, task: Task, device: torch.device) -> Sentences:
    """Returns the alignment of one sentence (N = 1) under teacher forcing, EOS included."""
    batch = to_batch(example, device)
    weights = stack.forced(batch)[1].numpy(force=True)
    if stack.template.model.alignment_heads > 1:
        heads = stack.each_head(batch).numpy(force=True)
    else:
        heads = np.zeros((*weights.shape[:2], 0, *weights.shape[2:]), weights.dtype)
    # The original words, as in the metrics; under teacher forcing the model reads an unknown one as <unk>.
    target = [*words_of(example.target[0], task), task.target_words[EOS]]
    rows, positions = len(target), weights.shape[-1]
    links, possible = (_with_eos(found, rows, positions) for found in (example.links, example.possible))
    return Sentences(
        [source_names(example, task)],
        [target],
        weights[:, :, :rows],
        heads[:, :, :, :rows],
        links,
        possible,
        example.source if example.images else NO_IMAGES,
    )


def source_names(example: Examples, task: Task) -> list[str]:
    """Returns the source words of a single example, EOS included; the names of its patches if it is an image."""
    if not example.images:
        return [task.source_words[i] for i in [*example.source[0].tolist(), EOS]]
    height, width = (side // PATCH for side in example.source.shape[1:])
    return [f"{row},{column}" for row in range(1, height + 1) for column in range(1, width + 1)]


def _with_eos(links: np.ndarray | None, rows: int, positions: int) -> np.ndarray:
    """Returns links (1,T,S) with a row, and for sentences a column, for EOS, which has no gold links."""
    if links is None:
        return NO_LINKS
    kept = links[:, : rows - 1]
    return np.pad(kept, ((0, 0), (0, 1), (0, positions - kept.shape[-1])))


def _fill(array: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pads the last two axes with zeros to (…,height,width)."""
    edge = [(0, 0)] * (array.ndim - 2)
    return np.pad(array, [*edge, (0, height - array.shape[-2]), (0, width - array.shape[-1])])
