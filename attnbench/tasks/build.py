"""Builds the task of a cell, and checks that its words and lengths can be used."""

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from attnbench.cell import Component, Data
from attnbench.errors import AttnbenchError, Problem, fail
from attnbench.messages import message_of
from attnbench.registry import task as tasks
from attnbench.tasks.base import SPECIAL, Task
from attnbench.tasks.draw import has_unseen
from attnbench.tasks.listed import Listed
from attnbench.tasks.split import Split


def build_task(component: Component, data: Data) -> Task:
    """Builds the task of a cell, from the files of `data.path` where the task reads them.

    Raises:
        AttnbenchError: if the task has no source of a configured length, no symbol is left to train on, the user's
            files cannot be read, or a custom task raises or has invalid words.
    """
    entry = tasks.entry(component.name)
    if data.path is not None and tasks.is_builtin(component.name) and entry.declares("reads_path"):
        paths = data.path, data.validation_path, data.test_path
        reader: Any = entry.load()
        of_files: Task = reader.from_files(*paths, **component.options)
        _check_lengths(of_files, component, data)
        return of_files
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


def _check_lengths(task: Task, component: Component, data: Data) -> None:
    """Raises AttnbenchError with one problem for each field with a length of which the task has no sources.

    Of the lengths that a custom task is trained on, one must exist.
    """
    if isinstance(task, Listed):
        # The test lengths are checked where the test sets are made: they need no training examples.
        if not task.length_counts(range(data.min_length, data.max_length + 1)):
            raise AttnbenchError(task.lack(Split.TRAINING, f"{data.min_length} to {data.max_length}"))
        return
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
