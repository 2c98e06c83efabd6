"""Checks, before anything is trained, that the data of a cell can be trained and evaluated on."""

import numpy as np

from attnbench.cell import Component, Data
from attnbench.errors import fail
from attnbench.registry import task as tasks
from attnbench.tasks.base import PAD, PATCH, Examples, Task
from attnbench.tasks.build import blaming, build_task
from attnbench.tasks.draw import draw_any, random_for
from attnbench.tasks.fixed_sets import test_set, test_set_at, test_set_unseen, validation_set
from attnbench.tasks.listed import Listed
from attnbench.tasks.streams import training_stream


def check_data(component: Component, data: Data) -> dict[str, float | int]:
    """Checks that training and evaluation on these data are possible, in a fraction of a second.

    A custom task must have links for all lengths or for none, and the same examples for the same random numbers.

    Returns:
        The facts about the list of examples of a `Listed` task; nothing for other tasks.

    Raises:
        AttnbenchError: any that training on these data could raise.
    """
    with blaming(component):
        task = _try_all(component, data)
    return task.facts() if isinstance(task, Listed) else {}


def _try_all(component: Component, data: Data) -> Task:
    task = build_task(component, data)
    _check_image_size(task, component)
    # Everything that training does with the data, with one example each.
    least = data.model_copy(update={"validation_examples": 1, "test_examples": 1})
    training_stream(task, component, least, seeds=(0,), batch_size=1).batch()
    validation_set(task, component, least)
    test_set(task, component, least)
    test_set_unseen(task, component, least)
    for length in data.test_lengths:
        test_set_at(task, component, least, length)
    if not tasks.is_builtin(component.name) and not isinstance(task, Listed):
        _check_generate(task, component, data)
    return task


def _check_image_size(task: Task, component: Component) -> None:
    """Raises AttnbenchError if a task of images has no height and width that patches fill."""
    if not getattr(task, "images", False):
        return
    found = getattr(task, "image_size", None)
    sides = found if isinstance(found, tuple | list) and len(found) == 2 else ()
    if not sides or not all(isinstance(side, int) and side > 0 and side % PATCH == 0 for side in sides):
        what = f"the task {component.name!r} has images and the image_size {found!r}"
        hint = f"image_size is (height, width) in pixels, two multiples of {PATCH}"
        raise fail(what, tasks.entry(component.name).origin, hint)


def _check_generate(task: Task, component: Component, data: Data) -> None:
    """Compares the examples of a custom task between lengths and between calls."""
    place = tasks.entry(component.name).origin
    lengths = [*range(data.min_length, data.max_length + 1), *data.test_lengths]
    with_links: list[int] = []
    without: list[int] = []
    for length in (length for length in lengths if task.check(length) is None):
        first, again = (draw_any(task, random_for(component, data, "check", length), length, 2) for _ in range(2))
        if not (np.array_equal(first.source, again.source) and np.array_equal(first.target, again.target)):
            what = f"the task {component.name!r} generated different sentences from the same random numbers"
            raise fail(what, place, "use only the argument `random` of generate, and keep no state between calls")
        if problem := _wrong_references(task, first):
            hint = "references(source) returns ids (N,R,T), padded with PAD at the end; the target is one of the R"
            raise fail(f"{type(task).__name__}.references returned {problem}", place, hint)
        (without if first.links is None else with_links).append(length)
    if with_links and without:
        what = f"the task {component.name!r} has links for length {with_links[0]} but none for length {without[0]}"
        raise fail(what, place, "return links for all lengths, or None for all of them")


def _wrong_references(task: Task, examples: Examples) -> str | None:
    """Returns what is wrong with the references of a task that has several right targets per source, or None."""
    if not hasattr(task, "references"):
        return None
    found = task.references(examples.source)
    if not isinstance(found, np.ndarray) or not np.issubdtype(found.dtype, np.integer):
        return f"{getattr(found, 'dtype', type(found).__name__)}, expected a NumPy array of integers"
    if found.ndim != 3 or len(found) != len(examples) or not found.size:
        return f"the shape {found.shape}, expected ({len(examples)},R,T)"
    width = max(found.shape[2], examples.target.shape[1])
    references, targets = (
        np.pad(a, [*[(0, 0)] * (a.ndim - 1), (0, width - a.shape[-1])]) for a in (found, examples.target)
    )
    if ((references[..., :-1] == PAD) & (references[..., 1:] != PAD)).any():
        return f"a reference with PAD ({PAD}) before its last word"
    if not (references == targets[:, None]).all(-1).any(-1).all():
        return "references without the target of an example"
    return None


def missing_lengths(component: Component, data: Data) -> list[int]:
    """Returns the lengths of the trained range of which a custom task has no sources; it is trained on the others.

    A custom task may exist for odd lengths only. A built-in task has all lengths up to a longest one, which the error
    of `build_task` names.
    """
    if tasks.is_builtin(component.name):
        return []
    with blaming(component):
        task = build_task(component, data)
        return [length for length in range(data.min_length, data.max_length + 1) if task.check(length) is not None]
