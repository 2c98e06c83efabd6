"""The base of tasks whose examples are a list instead of generated without end."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np

from attnbench.errors import Problem
from attnbench.tasks.base import Examples
from attnbench.tasks.split import Split


class Listed(ABC):
    """A task with a list of examples for each part of the split, which it has divided itself.

    Training uses the whole list in shuffled epochs, see `EpochStream`. A subclass also has the attributes of `Task`.

    Args:
        examples: of each part of the split, by length.

    Attributes:
        example_of: how a message names an example of some length, such as "source of {} words".
    """

    example_of = "source of {} words"

    def __init__(self, examples: Mapping[Split, Mapping[int, Examples]]) -> None:
        self._examples = {split: dict(sorted(of_length.items())) for split, of_length in examples.items()}

    @abstractmethod
    def origin(self, split: Split) -> str:
        """Returns what the examples of this part come from, such as the path of a file."""

    @abstractmethod
    def facts(self) -> dict[str, float | int]:
        """Returns facts about the list that affect the results, by name."""

    @abstractmethod
    def lack(self, split: Split, lengths: str) -> Problem:
        """Returns the problem that this part has no example of these lengths ("3 to 10"), and what to do about it."""

    def check(self, length: int) -> str | None:
        """Returns the reason why there is no training example of this length, or None if there is one."""
        if length in self._examples[Split.TRAINING]:
            return None
        return f"{self.origin(Split.TRAINING)} has no training {self.example_of.format(length)}"

    def longest_target(self, length: int) -> int:
        """Returns the length of the longest target among the training examples of this length."""
        examples = self._examples[Split.TRAINING].get(length)
        return 0 if examples is None else examples.target.shape[1]

    def generate(self, random: np.random.Generator, length: int, count: int) -> Examples:
        """Returns `count` random training examples of this length, drawn with replacement."""
        examples = self._examples[Split.TRAINING][length]
        return examples[random.integers(len(examples), size=count)]

    def training(self, length: int) -> Examples:
        """Returns all training examples of this length."""
        return self._examples[Split.TRAINING][length]

    def length_counts(self, lengths: range) -> dict[int, int]:
        """Returns the number of training examples of each length in `lengths`, without lengths that have none."""
        of_length = self._examples[Split.TRAINING]
        return {length: len(examples) for length, examples in of_length.items() if length in lengths}

    def held_out(self, split: Split, lengths: range, at_most: int, random: np.random.Generator) -> list[Examples]:
        """Returns the validation or test examples with lengths in `lengths`, one Examples per length.

        If there are more than `at_most`, a random selection of that number is returned.
        """
        inside = [examples for length, examples in self._examples[split].items() if length in lengths]
        keep = np.zeros(sum(map(len, inside)), dtype=bool)
        keep[random.permutation(len(keep))[:at_most]] = True
        starts = np.cumsum([0, *map(len, inside)])
        kept = [part[keep[start : start + len(part)]] for part, start in zip(inside, starts, strict=False)]
        return [part for part in kept if len(part)]
