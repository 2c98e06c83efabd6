"""The lengths of which a part of the split has sources."""

from attnbench.cell import Component, Data
from attnbench.errors import fail
from attnbench.tasks.base import Task
from attnbench.tasks.draw import has_any, random_for
from attnbench.tasks.split import Split


def is_on(task: Task, component: Component, data: Data, split: Split, length: int) -> bool:
    """Returns whether the part `split` has any source of this length; with a tiny vocabulary it may have none."""
    random = random_for(component, data, "probe", split.name, length)
    return task.check(length) is None and has_any(task, random, length, split)


def lengths_on(task: Task, component: Component, data: Data, split: Split) -> list[int]:
    """Returns the lengths of the trained range that have a source in the part `split`.

    Raises:
        AttnbenchError: if there are none.
    """
    inside = range(data.min_length, data.max_length + 1)
    lengths = [length for length in inside if is_on(task, component, data, split, length)]
    if not lengths:
        what = (
            f"the task {component.name!r} has too few sources of length {data.min_length} to {data.max_length}: "
            f"none is in the {split.name.lower()} split"
        )
        less = ", or decrease data.unseen_symbols" if data.unseen_symbols else ""
        raise fail(what, "data.max_length", f"increase data.max_length or data.vocabulary{less}")
    return lengths
