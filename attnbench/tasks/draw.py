"""Random examples of one length from one part of the split, and the random streams that they are drawn from."""

import hashlib
import inspect
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from attnbench.cell import Component, Data
from attnbench.errors import fail
from attnbench.registry import task as tasks
from attnbench.tasks.base import PAD, SPECIAL, Examples, Task, image_size, patches
from attnbench.tasks.split import Split, fingerprints, split_of, split_of_images

# Maximum number of draws at a time. If that many draws give no source, or no new one, the part of the split is taken
# to have no (more) sources of this length.
PATIENCE = 4096


def random_for(component: Component, data: Data, *key: str | int) -> np.random.Generator:
    """Returns the random generator for a task's configuration and a key such as ("training", seed, length).

    It depends on nothing else, in particular not on the score or the scope: runs with the same seed see the same data
    and can be compared in pairs.
    """
    # A field is part of the key only if the task uses it, so that changing an unused field does not change the data.
    vocabulary = data.vocabulary if tasks.entry(component.name).takes("vocabulary") else None
    unseen = [{"unseen_symbols": data.unseen_symbols}] if has_unseen(component, data) else []
    text = json.dumps([component.name, component.options, vocabulary, *unseen, *key], sort_keys=True, default=repr)
    digest = hashlib.sha256(text.encode()).digest()
    return np.random.default_rng(np.random.SeedSequence(int.from_bytes(digest, "big")))


def has_unseen(component: Component, data: Data) -> bool:
    """Returns whether the task has symbols that do not occur in training."""
    return data.unseen_symbols > 0 and tasks.entry(component.name).takes("unseen_symbols")


def concatenate(parts: list[Examples]) -> Examples:
    """Joins several Examples of the same source length; targets and links are padded to the longest target.

    The result has links only if all parts have them.
    """
    return _joined(np.concatenate, parts)


def stacked(parts: list[Examples]) -> Examples:
    """Like `concatenate`, for the same number of examples each, along a new first axis."""
    return _joined(np.stack, parts)


def _joined(join: Callable[[list[np.ndarray]], np.ndarray], parts: list[Examples]) -> Examples:
    longest = max(part.target.shape[-1] for part in parts)
    filled = [fill(part, longest) for part in parts]
    links = [part.links for part in filled if part.links is not None]
    # A part without possible links has the sure ones alone, which are possible as well.
    possible = [part.any_links() for part in filled] if any(part.possible is not None for part in filled) else []
    return Examples(
        join([part.source for part in filled]),
        join([part.target for part in filled]),
        join(links) if len(links) == len(parts) else None,
        join([each for each in possible if each is not None]) if possible and len(links) == len(parts) else None,
    )


def fill(examples: Examples, width: int) -> Examples:
    """Returns the examples with the targets padded to `width` words with PAD and no links."""
    more = width - examples.target.shape[1]
    if more == 0:
        return examples
    links, possible = (
        None if found is None else np.pad(found, ((0, 0), (0, more), (0, 0)))
        for found in (examples.links, examples.possible)
    )
    return Examples(examples.source, np.pad(examples.target, ((0, 0), (0, more))), links, possible)


def between(block: Examples, start: int, stop: int) -> Examples:
    """Returns the rows from `start` to `stop` of every replica, without target columns that are PAD in all of them."""
    target = block.target[:, start:stop]
    longest = int((target != PAD).any(axis=(0, 1)).sum())
    links, possible = (
        None if found is None else found[:, start:stop, :longest] for found in (block.links, block.possible)
    )
    return Examples(block.source[:, start:stop], target[:, :, :longest], links, possible)


def has_any(task: Task, random: np.random.Generator, length: int, split: Split) -> bool:
    """Returns whether the part `split` has any source of this length (see PATIENCE)."""
    # 64 draws are nearly always enough; more are needed only if the task has few sources of this length.
    return any(len(_draw_once(task, random, length, count, split)) for count in (64, PATIENCE))


def draw(task: Task, random: np.random.Generator, length: int, count: int, split: Split) -> Examples:
    """Returns `count` examples of this length from the part `split`, for which `has_any` must hold."""
    parts: list[Examples] = []
    missing = count
    while missing > 0:
        found = _draw_once(task, random, length, _ask(missing, split), split)
        parts.append(found[:missing])
        missing -= len(found)
    return concatenate(parts)


def draw_distinct(task: Task, random: np.random.Generator, length: int, count: int, split: Split) -> Examples:
    """Returns `count` examples with distinct sources from the part `split`, for which `has_any` must hold.

    If there are fewer distinct sources, they are repeated in turn.
    """
    return _distinct(lambda asked: _draw_once(task, random, length, asked, split), _ask(count, split), count)


def draw_any(task: Task, random: np.random.Generator, length: int, count: int) -> Examples:
    """Returns `count` examples of this length from any part of the split."""
    return _generate(task, "generate", random, length, count)


def draw_unseen(task: Task, random: np.random.Generator, length: int, count: int) -> Examples:
    """Returns `count` examples with unseen symbols and distinct sources, which are repeated if there are too few."""
    return _distinct(lambda asked: _generate(task, "generate_unseen", random, length, asked), count, count)


def _distinct(some: Callable[[int], Examples], first: int, count: int) -> Examples:
    """Calls `some(n)`, which draws n examples, until `count` distinct ones are found; n is `first`, then PATIENCE."""
    found = _once_each(some(min(first, PATIENCE)))
    while len(found) < count:
        both = _once_each(concatenate([found, some(PATIENCE)]))
        # No new source in PATIENCE draws: there are probably no others.
        if len(both) == len(found) > 0:
            break
        found = both
    return found[np.arange(count) % len(found)]


def _once_each(examples: Examples) -> Examples:
    """Returns the examples without repeated sources."""
    if examples.images:
        _, first = np.unique(examples.source.reshape(len(examples), -1), axis=0, return_index=True)
        return examples[np.sort(first)]
    _, first = np.unique(fingerprints(examples.source), return_index=True)
    return examples[first]


def _ask(count: int, split: Split) -> int:
    """Returns a number of draws that usually gives at least `count` examples from the part `split`.

    It is at most PATIENCE, which limits the memory that the links need.
    """
    # 10 % and 8 more than the expected number, so that a second round of draws is rare.
    return min(math.ceil(count / split.share * 1.1) + 8, PATIENCE)


def _draw_once(task: Task, random: np.random.Generator, length: int, asked: int, split: Split) -> Examples:
    """Draws `asked` random examples and returns those in the part `split`."""
    if hasattr(task, "generate_part"):
        return _generate(task, "generate_part", random, length, asked, split)
    examples = _generate(task, "generate", random, length, asked)
    sides = split_of_images(examples.source) if examples.images else split_of(examples.source)
    return examples[sides == split]


def _generate(task: Task, method: str, random: np.random.Generator, length: int, asked: int, *split: Split) -> Examples:
    """Calls a method of the task and checks the result.

    Raises:
        AttnbenchError: if it is not Examples, or has wrong shapes, ids or links, which is possible with a custom task.
    """
    examples: Examples = getattr(task, method)(random, length, asked, *split)
    problem = _what_is_wrong(task, examples, asked, length)
    if problem:
        raise fail(
            f"{type(task).__name__}.{method} returned {problem}",
            _place(task),
            f"{method}(random, length, count) must return Examples of `count` sources with exactly `length` words",
        )
    return examples


def _place(task: Task) -> str:
    """Returns the file and line of the task's class; "" if no file has it, as in a notebook."""
    try:
        return f"{inspect.getfile(type(task))}:{inspect.getsourcelines(type(task))[1]}"
    except Exception:  # of any type: a metaclass may define what inspect reads
        return ""


def _what_is_wrong(task: Task, examples: Any, count: int, length: int) -> str | None:
    """Returns a description of what is wrong with the examples, or None."""
    if not isinstance(examples, Examples):
        return f"{type(examples).__name__}, expected attnbench.Examples"
    source, target = examples.source, examples.target
    for name, ids in (("sources", source), ("targets", target)):
        if not isinstance(ids, np.ndarray):
            return f"{name} that are {type(ids).__name__}, expected a NumPy array of {_kind_of(name, task)}"
    size = image_size(task)
    expected = (count, length) if size is None else (count, *size)
    if source.shape != expected:
        return f"sources {source.shape}, expected {expected}"
    if target.ndim != 2 or len(target) != count:
        return f"targets {target.shape}, expected {count} rows"
    problem = _what_is_wrong_with_images(source) if size else _what_is_wrong_with_ids("source", source, task)
    problem = problem or _what_is_wrong_with_ids("target", target, task)
    if problem:
        return problem
    # The words after a PAD would be lost: the target ends there.
    if ((target[:, :-1] == PAD) & (target[:, 1:] != PAD)).any():
        return f"a target with PAD ({PAD}) before its last word; PAD may only fill the end of a row"
    return _what_is_wrong_with_links(examples, (*target.shape, length if size is None else patches(size)))


def _kind_of(name: str, task: Task) -> str:
    return "numbers from 0 to 1" if name == "sources" and image_size(task) else "integers"


def _what_is_wrong_with_ids(name: str, ids: np.ndarray, task: Task) -> str | None:
    words = task.source_words if name == "source" else task.target_words
    if not np.issubdtype(ids.dtype, np.integer):
        return f"{name} ids of type {ids.dtype}, expected integers"
    allowed = (ids >= len(SPECIAL)) & (ids < len(words)) | ((ids == PAD) if name == "target" else False)
    if not allowed.all():
        return f"{name} ids that are not integers from {len(SPECIAL)} to {len(words) - 1}"
    return None


def _what_is_wrong_with_images(images: np.ndarray) -> str | None:
    if images.dtype.kind != "f":
        return f"images of type {images.dtype}, expected float32"
    if not ((images >= 0) & (images <= 1)).all():  # also False for NaN
        return "images with values outside 0 to 1"
    return None


def _what_is_wrong_with_links(examples: Examples, shape: tuple[int, ...]) -> str | None:
    for name, links in (("links", examples.links), ("possible links", examples.possible)):
        if links is None:
            continue
        if not isinstance(links, np.ndarray):
            return f"{name} that are {type(links).__name__}, expected a NumPy array of bool, or None"
        if links.shape != shape:
            return f"{name} {links.shape}, expected {shape}, as targets have {shape[1]} and sources {shape[2]} words"
        # Other types would be used as numbers: a link of 2 would count twice.
        if links.dtype != bool:
            return f"{name} of type {links.dtype}, expected bool"
    sure, possible = examples.links, examples.possible
    if possible is not None and (sure is None or (sure & ~possible).any()):
        return "possible links without the sure links, which are links as well"
    return None
