"""The training stream of a task: batches that are generated without end, or taken from a list in epochs."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from attnbench.cell import Component, Data
from attnbench.tasks.base import Examples, Task
from attnbench.tasks.draw import between, draw, random_for, stacked
from attnbench.tasks.epochs import EpochStream
from attnbench.tasks.lengths import lengths_on
from attnbench.tasks.listed import Listed
from attnbench.tasks.split import Split

# Maximum number of batches of one length that are generated at once, and maximum size in bytes of the links that a
# replica's batches may have together (at least one batch is generated in any case).
BATCHES_AHEAD = 16
BYTES_AHEAD = 2**18

RandomState = Mapping[str, Any]  # of a bit generator of NumPy


class TrainingStream(Protocol):
    """An endless stream of training batches for K replicas.

    Each batch has a single source length, the same for all replicas, so training needs no padding of sources. The
    sentences of a replica depend only on the task's configuration and the replica's seed, not on the other replicas;
    they are the same for every score and scope.
    """

    @property
    def longest(self) -> int:
        """The length of the longest source in training, without EOS."""

    def batch(self) -> Examples:
        """Returns the next batch: source (K,B,S), target (K,B,T) and links (K,B,T,S) or None."""

    def keep(self, rows: Sequence[int]) -> None:
        """Continues with these replicas alone; their sentences are those that they would have had."""

    def state(self) -> dict[str, Any]:
        """Returns what the next batches follow from, as plain data for `restore`."""

    def restore(self, state: dict[str, Any]) -> None:
        """Continues as the stream did whose `state` this is, for the replicas that this stream has.

        Raises:
            ValueError, TypeError, LookupError: if it is not the state of such a stream.
        """


def training_stream(
    task: Task, component: Component, data: Data, seeds: Sequence[int], batch_size: int
) -> TrainingStream:
    """Returns the training stream of a task.

    Args:
        task: the result of `build_task`.
        component: the name and the options of the task.
        data: the lengths and the vocabulary.
        seeds: one per replica.
        batch_size: B, the number of sentences per replica and step.

    Raises:
        AttnbenchError: if no length from min_length to max_length has a source in the training part.
    """
    if isinstance(task, Listed):
        return EpochStream(task, component, data, seeds, batch_size)
    return DrawnStream(task, component, data, seeds, batch_size)


class DrawnStream:
    """A training stream of batches that the task generates, all trained lengths equally often."""

    def __init__(self, task: Task, component: Component, data: Data, seeds: Sequence[int], batch_size: int) -> None:
        self._task, self._component, self._data = task, component, data
        self._seeds, self._batch_size = tuple(seeds), batch_size
        self._lengths = lengths_on(task, component, data, Split.TRAINING)
        # The order of the lengths must not depend on the seeds: stacked replicas share the length of every batch.
        self._plan = random_for(component, data, "lengths")
        self._planned: list[int] = []
        self._randoms: dict[int, list[np.random.Generator]] = {}
        # By length: the generated sentences with the number of those used, and the generators' states before them.
        self._ready: dict[int, tuple[Examples, int]] = {}
        self._before: dict[int, list[RandomState]] = {}

    @property
    def longest(self) -> int:
        """The length of the longest source in training, without EOS."""
        return max(self._lengths)

    def batch(self) -> Examples:
        """Returns the next batch: source (K,B,S), target (K,B,T) and links (K,B,T,S) or None."""
        if not self._planned:
            # Equal weights, but given: without them, `choice` would draw other lengths than earlier versions did.
            weights = [1 / len(self._lengths)] * len(self._lengths)
            self._planned = self._plan.choice(self._lengths, size=1024, p=weights).tolist()
        length = self._planned.pop()
        block, start = self._ready.pop(length) if length in self._ready else (self._block(length), 0)
        stop = start + self._batch_size
        if stop < block.source.shape[1]:
            self._ready[length] = block, stop
        return between(block, start, stop)

    def keep(self, rows: Sequence[int]) -> None:
        """Continues with these replicas alone; their sentences are those that they would have had."""
        self._seeds = tuple(self._seeds[row] for row in rows)
        self._randoms = {length: [found[row] for row in rows] for length, found in self._randoms.items()}
        self._ready = {length: (_rows(block, list(rows)), start) for length, (block, start) in self._ready.items()}
        self._before = {length: [found[row] for row in rows] for length, found in self._before.items()}

    def state(self) -> dict[str, Any]:
        """Returns what the next batches follow from, as plain data for `restore`."""
        # The sentences that are ready are many; they are generated again from the state before them.
        lengths = [
            [length, self._ready[length][1], self._before[length]]
            if length in self._ready
            else [length, 0, _states(randoms)]
            for length, randoms in self._randoms.items()
        ]
        return {"plan": self._plan.bit_generator.state, "planned": list(self._planned), "lengths": lengths}

    def restore(self, state: dict[str, Any]) -> None:
        """Continues as the stream did whose `state` this is, for the replicas that this stream has.

        Raises:
            ValueError, TypeError, LookupError: if it is not the state of such a stream.
        """
        self._plan.bit_generator.state = state["plan"]
        self._planned = list(state["planned"])
        trained = set(self._lengths)
        if not trained.issuperset(self._planned):
            raise ValueError("a planned length is not trained")
        for length, start, states in state["lengths"]:
            if length not in trained:
                raise ValueError(f"the length {length!r} is not trained")
            for random, before in zip(self._generators(length), states, strict=True):
                random.bit_generator.state = before
            if start:
                block = self._block(length)
                if not 0 < start < block.source.shape[1]:
                    raise ValueError(f"{start!r} sentences are used of {block.source.shape[1]}")
                self._ready[length] = block, start

    def _block(self, length: int) -> Examples:
        """Generates several batches of one length at once, which avoids most of NumPy's overhead per call."""
        fit = BYTES_AHEAD // (self._batch_size * length * length)
        count = self._batch_size * max(1, min(BATCHES_AHEAD, fit))
        randoms = self._generators(length)
        self._before[length] = _states(randoms)
        return stacked([draw(self._task, random, length, count, Split.TRAINING) for random in randoms])

    def _generators(self, length: int) -> list[np.random.Generator]:
        # One generator per seed and length: the sentences of a length do not depend on how often the others are drawn.
        if length not in self._randoms:
            self._randoms[length] = [
                random_for(self._component, self._data, "training", seed, length) for seed in self._seeds
            ]
        return self._randoms[length]


def _states(randoms: list[np.random.Generator]) -> list[RandomState]:
    return [random.bit_generator.state for random in randoms]


def _rows(block: Examples, rows: list[int]) -> Examples:
    """The examples of some of the replicas."""
    return block[np.array(rows)]
