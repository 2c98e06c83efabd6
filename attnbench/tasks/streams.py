"""The training stream and the validation and test sets of a task."""

import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from attnbench.cell import Component, Data
from attnbench.errors import AttnbenchError, Problem, fail
from attnbench.messages import message_of
from attnbench.registry import task as tasks
from attnbench.tasks.base import PAD, SPECIAL, Examples, Task
from attnbench.tasks.draw import draw, draw_any, draw_distinct, draw_unseen, has_any, has_unseen, random_for, stacked
from attnbench.tasks.pairs import Pairs
from attnbench.tasks.split import Split

# Maximum number of batches of one length that are generated at once, and maximum size in bytes of the links that a
# replica's batches may have together (at least one batch is generated in any case).
BATCHES_AHEAD = 16
BYTES_AHEAD = 2**18

RandomState = Mapping[str, Any]  # of a bit generator of NumPy


def build_task(component: Component, data: Data) -> Task:
    """Builds the task of a cell; `translate` with `data.path` becomes `Pairs`, which reads the file.

    Raises:
        AttnbenchError: if the task has no source of a configured length, no symbol is left to train on, the pairs
            cannot be read, or a custom task raises or has invalid words.
    """
    entry = tasks.entry(component.name)
    if component.name == "translate" and data.path is not None:
        return Pairs(data.path, data.validation_path, data.test_path)
    if entry.takes("vocabulary"):
        _check_symbols(component, data)
    provided = {"vocabulary": data.vocabulary, "unseen_symbols": data.unseen_symbols}
    with blaming(component):
        built: Task = tasks.build(component.name, component.options, **provided)
        if entry.takes("unseen_symbols") and not hasattr(built, "generate_unseen"):
            what = f"the task {component.name!r} has the parameter unseen_symbols but no method generate_unseen"
            raise fail(what, entry.origin, "see Task in tasks/base.py")
        if not tasks.is_builtin(component.name):
            _check_words(built, component)
        _check_lengths(built, component, data)
    return built


@contextmanager
def blaming(component: Component) -> Iterator[None]:
    """Turns an exception in a custom task into an AttnbenchError that names the line in its file.

    An exception in a built-in task is a bug in attnbench and is raised unchanged.
    """
    try:
        yield
    except (AttnbenchError, KeyboardInterrupt):
        raise
    except BaseException as error:  # sys.exit in a task would end attnbench with any exit status
        if tasks.is_builtin(component.name):
            raise
        # The task's own line, also if the exception was raised by a library that it calls, or by attnbench.
        entry = tasks.entry(component.name)
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == entry.file]
        place = f"{entry.file}:{lines[-1]}" if lines else entry.origin
        what = f"the task {component.name!r} raised {type(error).__name__}: {message_of(error)}"
        raise fail(
            what, place, "a task needs source_words, target_words, check and generate: see Task in tasks/base.py"
        ) from error


def check_data(component: Component, data: Data) -> dict[str, float | int]:
    """Checks that training and evaluation on these data are possible, in a fraction of a second.

    A custom task must have links for all lengths or for none, and the same examples for the same random numbers.

    Returns:
        `Pairs.facts` for a user's own sentence pairs, else nothing.

    Raises:
        AttnbenchError: any that training on these data could raise.
    """
    with blaming(component):
        task = _try_all(component, data)
    return task.facts() if isinstance(task, Pairs) else {}


def _try_all(component: Component, data: Data) -> Task:
    task = build_task(component, data)
    # Everything that training does with the data, with one example each.
    least = data.model_copy(update={"validation_examples": 1, "test_examples": 1})
    TrainingStream(task, component, least, seeds=(0,), batch_size=1).batch()
    validation_set(task, component, least)
    test_set(task, component, least)
    test_set_unseen(task, component, least)
    for length in data.test_lengths:
        test_set_at(task, component, least, length)
    if not tasks.is_builtin(component.name) and not isinstance(task, Pairs):
        _check_generate(task, component, data)
    return task


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
        (without if first.links is None else with_links).append(length)
    if with_links and without:
        what = f"the task {component.name!r} has links for length {with_links[0]} but none for length {without[0]}"
        raise fail(what, place, "return links for all lengths, or None for all of them")


class TrainingStream:
    """An endless stream of training batches for K replicas.

    Each batch has a single source length, the same for all replicas, so training needs no padding of sources. The
    sentences of a replica depend only on the task's configuration and the replica's seed, not on the other replicas;
    they are the same for every score and scope.

    Args:
        task: the result of `build_task`.
        component: the name and the options of the task.
        data: the lengths and the vocabulary.
        seeds: one per replica.
        batch_size: B, the number of sentences per replica and step.

    Raises:
        AttnbenchError: if no length from min_length to max_length has a source in the training part.
    """

    def __init__(self, task: Task, component: Component, data: Data, seeds: Sequence[int], batch_size: int) -> None:
        self._task, self._component, self._data = task, component, data
        self._seeds, self._batch_size = tuple(seeds), batch_size
        self._lengths, self._weights = _schedule(task, component, data)
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
            self._planned = self._plan.choice(self._lengths, size=1024, p=self._weights).tolist()
        length = self._planned.pop()
        block, start = self._ready.pop(length) if length in self._ready else (self._block(length), 0)
        stop = start + self._batch_size
        if stop < block.source.shape[1]:
            self._ready[length] = block, stop
        return _between(block, start, stop)

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
        return stacked([self._draw(random, length, count) for random in randoms])

    def _generators(self, length: int) -> list[np.random.Generator]:
        # One generator per seed and length: the sentences of a length do not depend on how often the others are drawn.
        if length not in self._randoms:
            self._randoms[length] = [
                random_for(self._component, self._data, "training", seed, length) for seed in self._seeds
            ]
        return self._randoms[length]

    def _draw(self, random: np.random.Generator, length: int, count: int) -> Examples:
        # The training lines of a file have been split already.
        if isinstance(self._task, Pairs):
            return self._task.generate(random, length, count)
        return draw(self._task, random, length, count, Split.TRAINING)


def validation_set(task: Task, component: Component, data: Data) -> list[Examples]:
    """Returns the fixed validation set: `data.validation_examples` examples, one Examples per trained length.

    For sentence pairs from files it has at most that many of the validation lines in the trained range.

    Raises:
        AttnbenchError: if no trained length has a source in the validation part.
    """
    return _fixed_set(task, component, data, Split.VALIDATION, data.validation_examples)


def test_set(task: Task, component: Component, data: Data) -> list[Examples]:
    """Returns the fixed test set of the trained range: `data.test_examples` examples, one Examples per trained length.

    For sentence pairs from files it has at most that many of the test lines in the trained range.

    Raises:
        AttnbenchError: if no trained length has a source in the test part.
    """
    return _fixed_set(task, component, data, Split.TEST, data.test_examples)


def test_set_at(task: Task, component: Component, data: Data, length: int) -> list[Examples]:
    """Returns the fixed test set of one length, which need not be in the trained range: `data.test_examples` examples.

    For sentence pairs from files it has at most that many of the test lines of this length.

    Raises:
        AttnbenchError: if no source of this length is in the test part.
    """
    random = random_for(component, data, Split.TEST.name, length)
    where = "data.test_lengths"
    if isinstance(task, Pairs):
        found = task.held_out(Split.TEST, range(length, length + 1), data.test_examples, random)
        if not found:
            what = f"{task.origin(Split.TEST)} has no test source of {length} words"
            raise fail(what, where, f"remove {length} from data.test_lengths")
        return found
    if not _is_on(task, component, data, Split.TEST, length):
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
    lengths = _lengths_on(task, component, data, Split.TRAINING)
    return [
        draw_unseen(task, random_for(component, data, "unseen", length), length, count)
        for length, count in _spread(lengths, data.test_examples)
    ]


def _check_symbols(component: Component, data: Data) -> None:
    """Raises AttnbenchError if data.vocabulary is missing or no symbol is left for training."""
    if data.vocabulary is None:
        raise fail(f"the task {component.name!r} needs data.vocabulary, the number of its symbols", "data.vocabulary")
    if has_unseen(component, data) and data.unseen_symbols >= data.vocabulary:
        what = (
            f"unseen_symbols is {data.unseen_symbols} with a vocabulary of {data.vocabulary}: "
            "no symbols are left for training"
        )
        raise fail(what, "data.unseen_symbols", "decrease it, or increase data.vocabulary")


def _check_words(task: Task, component: Component) -> None:
    """Raises AttnbenchError if the word lists of a custom task cannot be used."""
    for field in ("source_words", "target_words"):
        problem = _wrong_words(getattr(task, field))
        if problem:
            hint = f"{field} is a list of different words: {', '.join(SPECIAL)}, and the task's own from index 3 on"
            what = f"the task {component.name!r}: {field} {problem}"
            raise fail(what, tasks.entry(component.name).origin, hint)


def _wrong_words(words: Any) -> str | None:
    """Returns what is wrong with a list of words, or None."""
    if isinstance(words, str) or not isinstance(words, Sequence | np.ndarray):
        return f"is {type(words).__name__}, expected a list of words"
    if tuple(words[: len(SPECIAL)]) != SPECIAL:
        return f"must begin with {', '.join(SPECIAL)}, found {list(words[: len(SPECIAL)])}"
    seen: dict[str, int] = {}
    for index, word in enumerate(words):
        if not isinstance(word, str):
            return f"has {word!r} at index {index}, expected text"
        if not word or "\0" in word or not _is_text(word):
            return f"has {word!r} at index {index}: a word needs at least one character, and no NUL or surrogate"
        if seen.setdefault(word, index) != index:
            return f"has {word!r} twice, at index {seen[word]} and {index}"
    return None


def _is_text(word: str) -> bool:
    """Whether a word can be written to a file."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


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


def _check_lengths(task: Task, component: Component, data: Data) -> None:
    """Raises AttnbenchError with one problem for each field with a length of which the task has no sources.

    Of the lengths that a custom task is trained on, one must exist.
    """
    asked = [("data.test_lengths", length) for length in data.test_lengths]
    if tasks.is_builtin(component.name) or not _any_length(task, data):
        asked = [("data.min_length", data.min_length), ("data.max_length", data.max_length), *asked]
    reasons = [(where, task.check(length)) for where, length in asked]
    hint = f"change this field, or remove the task {component.name!r}"
    problems = [Problem(reason, where, hint) for where, reason in reasons if reason]
    if problems:
        raise AttnbenchError(*problems)


def _any_length(task: Task, data: Data) -> bool:
    """Whether the task has sources of a length of the trained range."""
    return any(task.check(length) is None for length in range(data.min_length, data.max_length + 1))


def _schedule(task: Task, component: Component, data: Data) -> tuple[list[int], list[float]]:
    """Returns the lengths to train on and their probabilities: uniform, or the frequencies in the user's file."""
    if isinstance(task, Pairs):
        counts = task.length_counts(range(data.min_length, data.max_length + 1))
        total = sum(counts.values())
        return list(counts), [count / total for count in counts.values()]
    lengths = _lengths_on(task, component, data, Split.TRAINING)
    return lengths, [1 / len(lengths)] * len(lengths)


def _is_on(task: Task, component: Component, data: Data, split: Split, length: int) -> bool:
    """Returns whether the part `split` has any source of this length; with a tiny vocabulary it may have none."""
    random = random_for(component, data, "probe", split.name, length)
    return task.check(length) is None and has_any(task, random, length, split)


def _lengths_on(task: Task, component: Component, data: Data, split: Split) -> list[int]:
    """Returns the lengths of the trained range that have a source in the part `split`.

    Raises:
        AttnbenchError: if there are none.
    """
    inside = range(data.min_length, data.max_length + 1)
    lengths = [length for length in inside if _is_on(task, component, data, split, length)]
    if not lengths:
        what = (
            f"the task {component.name!r} has too few sources of length {data.min_length} to {data.max_length}: "
            f"none is in the {split.name.lower()} split"
        )
        less = ", or decrease data.unseen_symbols" if data.unseen_symbols else ""
        raise fail(what, "data.max_length", f"increase data.max_length or data.vocabulary{less}")
    return lengths


def _fixed_set(task: Task, component: Component, data: Data, split: Split, total: int) -> list[Examples]:
    """Returns `total` examples, spread evenly over the trained lengths that have sources in the part `split`."""
    side = split.name.lower()
    if isinstance(task, Pairs):
        inside = range(data.min_length, data.max_length + 1)
        found = task.held_out(split, inside, total, random_for(component, data, split.name))
        if not found:
            what = f"{task.origin(split)} has no {side} source of {data.min_length} to {data.max_length} words"
            # No advice to change the lengths: they are those of the files, and data.path refuses others.
            field, own = f"data.{side}_path", getattr(data, f"{side}_path") is not None
            share = f"about {split.share:.0%} of the lines are for {side}"
            raise fail(what, field, "add pairs to it" if own else f"add pairs ({share}), or set {field}")
        return found
    return [
        draw_distinct(task, random_for(component, data, split.name, length), length, count, split)
        for length, count in _spread(_lengths_on(task, component, data, split), total)
    ]


def _spread(lengths: list[int], total: int) -> list[tuple[int, int]]:
    """Distributes `total` examples evenly over the lengths; returns the lengths with a count above 0 and the counts."""
    # Differences of rounded cumulative sums: they add up to exactly `total`.
    counts = np.diff(np.arange(len(lengths) + 1) * total // len(lengths)).tolist()
    return [(length, count) for length, count in zip(lengths, counts, strict=True) if count]


def _states(randoms: list[np.random.Generator]) -> list[RandomState]:
    return [random.bit_generator.state for random in randoms]


def _rows(block: Examples, rows: list[int]) -> Examples:
    """The examples of some of the replicas."""
    return block[np.array(rows)]


def _between(block: Examples, start: int, stop: int) -> Examples:
    """Returns the rows from `start` to `stop` of every replica, without target columns that are PAD in all of them."""
    target = block.target[:, start:stop]
    longest = int((target != PAD).any(axis=(0, 1)).sum())
    links, possible = (
        None if found is None else found[:, start:stop, :longest] for found in (block.links, block.possible)
    )
    return Examples(block.source[:, start:stop], target[:, :, :longest], links, possible)
