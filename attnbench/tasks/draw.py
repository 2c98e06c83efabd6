"""Draws examples of one length from one side of the split, from a random stream that only the data determine."""

import hashlib
import json
import math
from collections.abc import Callable

import numpy as np

from attnbench.cell import Component, Data
from attnbench.errors import fail
from attnbench.registry import task as tasks
from attnbench.tasks.base import PAD, SPECIAL, Examples, Task
from attnbench.tasks.split import Split, fingerprints, split_of

# A side that has shown nothing, or nothing new, in so many draws is taken to have nothing.
PATIENCE = 4096


def random_for(component: Component, data: Data, *key: str | int) -> np.random.Generator:
    """The random stream of a task's configuration and a key such as ("training", seed, length).

    It depends on nothing else: not on the score, the scope, the steps or the batch size.
    """
    vocabulary = data.vocabulary if tasks.entry(component.name).takes("vocabulary") else None
    unseen = [{"unseen_symbols": data.unseen_symbols}] if has_unseen(component, data) else []
    text = json.dumps([component.name, component.options, vocabulary, *unseen, *key], sort_keys=True, default=repr)
    digest = hashlib.sha256(text.encode()).digest()
    return np.random.default_rng(np.random.SeedSequence(int.from_bytes(digest, "big")))


def has_unseen(component: Component, data: Data) -> bool:
    """Whether the task has symbols that training never shows."""
    return data.unseen_symbols > 0 and tasks.entry(component.name).takes("unseen_symbols")


def concatenate(parts: list[Examples]) -> Examples:
    """Several Examples of one source length as one, targets and links filled up to the longest target."""
    longest = max(part.target.shape[-1] for part in parts)
    filled = [fill(part, longest) for part in parts]
    links = [part.links for part in filled if part.links is not None]
    return Examples(
        np.concatenate([part.source for part in filled]),
        np.concatenate([part.target for part in filled]),
        np.concatenate(links) if len(links) == len(filled) else None,
    )


def fill(examples: Examples, width: int) -> Examples:
    """The examples with PAD and empty links added up to `width` target words."""
    more = width - examples.target.shape[1]
    if more == 0:
        return examples
    links = None if examples.links is None else np.pad(examples.links, ((0, 0), (0, more), (0, 0)))
    return Examples(examples.source, np.pad(examples.target, ((0, 0), (0, more))), links)


def has_any(task: Task, random: np.random.Generator, length: int, split: Split) -> bool:
    """Whether any source of this length is on this side."""
    # The first few draws settle it unless the sources of this length are few.
    return any(len(_draw_once(task, random, length, count, split)) for count in (64, PATIENCE))


def draw(task: Task, random: np.random.Generator, length: int, count: int, split: Split) -> Examples:
    """`count` examples of this length from a side that `has_any`."""
    parts: list[Examples] = []
    missing = count
    while missing > 0:
        found = _draw_once(task, random, length, _ask(missing, split), split)
        parts.append(found[:missing])
        missing -= len(found)
    return concatenate(parts)


def draw_distinct(task: Task, random: np.random.Generator, length: int, count: int, split: Split) -> Examples:
    """`count` examples from a side that `has_any`, with distinct sources; repeated in turn where there are too few."""
    return _distinct(lambda asked: _draw_once(task, random, length, asked, split), _ask(count, split), count)


def draw_unseen(task: Task, random: np.random.Generator, length: int, count: int) -> Examples:
    """`count` examples with unseen symbols, with distinct sources; repeated in turn where there are too few."""
    return _distinct(lambda asked: _generate(task, "generate_unseen", random, length, asked), count, count)


def _distinct(some: Callable[[int], Examples], first: int, count: int) -> Examples:
    """`count` distinct ones of what `some(asked)` gives, which is asked for `first` and then for more."""
    found = _once_each(some(min(first, PATIENCE)))
    while len(found) < count:
        both = _once_each(concatenate([found, some(PATIENCE)]))
        if len(both) == len(found) > 0:
            break
        found = both
    return found[np.arange(count) % len(found)]


def _once_each(examples: Examples) -> Examples:
    """Each source once."""
    _, first = np.unique(fingerprints(examples.source), return_index=True)
    return examples[first]


def _ask(count: int, split: Split) -> int:
    """How many draws give about `count` on this side, and rarely fewer; bounded to bound the memory of the links."""
    return min(math.ceil(count / split.share * 1.1) + 8, PATIENCE)


def _draw_once(task: Task, random: np.random.Generator, length: int, asked: int, split: Split) -> Examples:
    """Those of `asked` random examples that are on this side."""
    examples = _generate(task, "generate", random, length, asked)
    return examples[split_of(examples.source) == split]


def _generate(task: Task, method: str, random: np.random.Generator, length: int, asked: int) -> Examples:
    """What the task's method gives, if it is what was asked for."""
    examples: Examples = getattr(task, method)(random, length, asked)
    problem = _what_is_wrong(task, examples, asked, length)
    if problem:
        raise fail(
            f"{type(task).__name__}.{method} gave {problem}",
            hint=f"{method}(random, length, count) gives Examples of `count` sources with exactly `length` words",
        )
    return examples


def _what_is_wrong(task: Task, examples: Examples, count: int, length: int) -> str | None:
    """What does not fit of examples that were asked for, or None."""
    source, target, links = examples.source, examples.target, examples.links
    if source.shape != (count, length):
        return f"sources {source.shape}, asked for {(count, length)}"
    if target.ndim != 2 or len(target) != count:
        return f"targets {target.shape}, asked for {count} rows"
    if links is not None and links.shape != (*target.shape, length):
        return f"links {links.shape} for targets {target.shape} and sources of {length} words"
    for name, ids, words in (("source", source, task.source_words), ("target", target, task.target_words)):
        allowed = (ids >= len(SPECIAL)) & (ids < len(words)) | ((ids == PAD) if name == "target" else False)
        if not np.issubdtype(ids.dtype, np.integer) or not allowed.all():
            return f"{name} ids other than whole numbers from {len(SPECIAL)} to {len(words) - 1}"
    return None
