"""The fixed validation and test sets of a task."""

import numpy as np

from attnbench.cell import Component, Data
from attnbench.errors import AttnbenchError, fail
from attnbench.tasks.base import Examples, Task
from attnbench.tasks.draw import draw_distinct, draw_unseen, has_unseen, random_for
from attnbench.tasks.lengths import is_on, lengths_on
from attnbench.tasks.listed import Listed
from attnbench.tasks.split import Split


def validation_set(task: Task, component: Component, data: Data) -> list[Examples]:
    """Returns the fixed validation set: `data.validation_examples` examples, one Examples per trained length.

    For a task with a list of examples it has at most that many of its validation examples in the trained range.

    Raises:
        AttnbenchError: if no trained length has a source in the validation part.
    """
    return _fixed_set(task, component, data, Split.VALIDATION, data.validation_examples)


def test_set(task: Task, component: Component, data: Data) -> list[Examples]:
    """Returns the fixed test set of the trained range: `data.test_examples` examples, one Examples per trained length.

    For a task with a list of examples it has at most that many of its test examples in the trained range.

    Raises:
        AttnbenchError: if no trained length has a source in the test part.
    """
    return _fixed_set(task, component, data, Split.TEST, data.test_examples)


def test_set_at(task: Task, component: Component, data: Data, length: int) -> list[Examples]:
    """Returns the fixed test set of one length, which need not be in the trained range: `data.test_examples` examples.

    For a task with a list of examples it has at most that many of its test examples of this length.

    Raises:
        AttnbenchError: if no source of this length is in the test part.
    """
    random = random_for(component, data, Split.TEST.name, length)
    where = "data.test_lengths"
    if isinstance(task, Listed):
        found = task.held_out(Split.TEST, range(length, length + 1), data.test_examples, random)
        if not found:
            what = f"{task.origin(Split.TEST)} has no test {task.example_of.format(length)}"
            raise fail(what, where, f"remove {length} from data.test_lengths")
        return found
    if not is_on(task, component, data, Split.TEST, length):
        what = f"the task {component.name!r} has too few sources of length {length}: none is in the test split"
        hint = f"remove {length} from data.test_lengths, or use a longer length, of which there are more sources"
        raise fail(what, where, hint)
    return [draw_distinct(task, random, length, data.test_examples, Split.TEST)]


def test_set_unseen(task: Task, component: Component, data: Data) -> list[Examples]:
    """Returns the fixed test set with unseen symbols: `data.test_examples` examples over the trained lengths.

    Each source has at least one symbol that does not occur in training. The set is empty if the task has no such
    symbols.
    """
    if not has_unseen(component, data):
        return []
    # The split need not be applied: sources with unseen symbols never occur in training or validation.
    lengths = lengths_on(task, component, data, Split.TRAINING)
    return [
        draw_unseen(task, random_for(component, data, "unseen", length), length, count)
        for length, count in _spread(lengths, data.test_examples)
    ]


def _fixed_set(task: Task, component: Component, data: Data, split: Split, total: int) -> list[Examples]:
    """Returns `total` examples, spread evenly over the trained lengths that have sources in the part `split`."""
    if isinstance(task, Listed):
        inside = range(data.min_length, data.max_length + 1)
        found = task.held_out(split, inside, total, random_for(component, data, split.name))
        if not found:
            raise AttnbenchError(task.lack(split, f"{data.min_length} to {data.max_length}"))
        return found
    return [
        draw_distinct(task, random_for(component, data, split.name, length), length, count, split)
        for length, count in _spread(lengths_on(task, component, data, split), total)
    ]


def _spread(lengths: list[int], total: int) -> list[tuple[int, int]]:
    """Distributes `total` examples evenly over the lengths; returns the lengths with a count above 0 and the counts."""
    # Differences of rounded cumulative sums: they add up to exactly `total`.
    counts = np.diff(np.arange(len(lengths) + 1) * total // len(lengths)).tolist()
    return [(length, count) for length, count in zip(lengths, counts, strict=True) if count]
