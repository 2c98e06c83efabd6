"""The training stream of a task with a list of examples: shuffled epochs."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from attnbench.cell import Component, Data
from attnbench.tasks.base import Examples
from attnbench.tasks.draw import between, random_for, stacked
from attnbench.tasks.listed import Listed


class EpochStream:
    """An endless stream of training batches for K replicas, from a list of examples; see `training_stream`.

    Every training example of a length is used once before any of them is used again. A replica's order of the examples
    of a length follows from its seed, the length, and how often the list has been used up. Batches are always full:
    where the list ends within a batch, the rest is the beginning of the next order.

    An epoch has as many batches of each length as are needed until every example has been used once more, in random
    order, which is the same for all replicas. After e epochs, every example has been used at least e times, and each
    length has been used for at most one batch more than its share.
    """

    def __init__(self, task: Listed, component: Component, data: Data, seeds: Sequence[int], batch_size: int) -> None:
        self._task, self._component, self._data = task, component, data
        self._seeds, self._batch_size = tuple(seeds), batch_size
        self._counts = task.length_counts(range(data.min_length, data.max_length + 1))
        # By length: which time the list is used (0 for the first), and the order (K,N) in which each replica uses it.
        self._orders: dict[int, tuple[int, np.ndarray]] = {}
        self._begin(0, 0)

    @property
    def longest(self) -> int:
        """The length of the longest source in training, without EOS."""
        return max(self._counts)

    def batch(self) -> Examples:
        """Returns the next batch: source (K,B,S), target (K,B,T) and links (K,B,T,S) or None."""
        while self._next == len(self._lengths):  # an epoch has no batches if the list is much shorter than a batch
            self._begin(self._epoch + 1, 0)
        length = self._lengths[self._next]
        rows = self._rows(length, self._used[length])
        self._used[length] += self._batch_size
        self._next += 1
        examples = self._task.training(length)
        return between(stacked([examples[row] for row in rows]), 0, self._batch_size)

    def keep(self, rows: Sequence[int]) -> None:
        """Continues with these replicas alone; their examples are those that they would have had."""
        self._seeds = tuple(self._seeds[row] for row in rows)
        self._orders = {length: (time, order[list(rows)]) for length, (time, order) in self._orders.items()}

    def state(self) -> dict[str, Any]:
        """Returns what the next batches follow from, as plain data for `restore`."""
        return {"epoch": self._epoch, "next": self._next}

    def restore(self, state: dict[str, Any]) -> None:
        """Continues as the stream did whose `state` this is, for the replicas that this stream has.

        Raises:
            ValueError, TypeError, LookupError: if it is not the state of such a stream.
        """
        epoch, next_ = state["epoch"], state["next"]
        if not (type(epoch) is type(next_) is int and epoch >= 0):
            raise ValueError(f"the epoch is {epoch!r}, its next batch {next_!r}")
        self._begin(epoch, next_)

    def _begin(self, epoch: int, next_: int) -> None:
        """Goes to a batch of an epoch, both counted from 0."""
        batches = {length: self._batches(length, epoch + 1) - self._batches(length, epoch) for length in self._counts}
        random = random_for(self._component, self._data, "lengths", epoch)
        lengths = random.permutation(np.repeat([*batches], [*batches.values()])).tolist()
        if not 0 <= next_ <= len(lengths):
            raise ValueError(f"the next batch is {next_} of an epoch of {len(lengths)}")
        self._epoch, self._next, self._lengths = epoch, next_, lengths
        before = lengths[:next_]
        self._used = {
            length: (self._batches(length, epoch) + before.count(length)) * self._batch_size for length in self._counts
        }

    def _batches(self, length: int, epochs: int) -> int:
        """Returns the number of batches in which every example of this length is used at least `epochs` times."""
        return -(-epochs * self._counts[length] // self._batch_size)

    def _rows(self, length: int, used: int) -> np.ndarray:
        """Returns the examples (K,B) of a batch, of which `used` have been used before it."""
        number, parts, missing = self._counts[length], [], self._batch_size
        while missing:
            time, start = divmod(used, number)
            part = self._order(length, time)[:, start : start + missing]
            parts.append(part)
            used, missing = used + part.shape[1], missing - part.shape[1]
        return np.concatenate(parts, axis=1)

    def _order(self, length: int, time: int) -> np.ndarray:
        """Returns the order (K,N) in which each replica uses the examples of a length for the given time."""
        if length not in self._orders or self._orders[length][0] != time:
            orders = [
                random_for(self._component, self._data, "training", seed, length, time).permutation(
                    self._counts[length]
                )
                for seed in self._seeds
            ]
            self._orders[length] = time, np.array(orders, dtype=np.int32)
        return self._orders[length][1]
