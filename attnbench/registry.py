"""The classes that a grid file names: scores, scopes, normalisers, tasks and models.

Each built-in has its own file in `attnbench/scores` (and so on). It is described by parsing the file, not by
importing it, so that `attnbench expand` and `attnbench list` work without importing torch. A user's class is
registered by the same decorator when its plugin is imported.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from attnbench.errors import AttnbenchError, did_you_mean, fail
from attnbench.registered.builtin import entries_in
from attnbench.registered.entry import Entry, shown
from attnbench.registered.user_class import entry_of, file_and_line, replaces


class Registry:
    """All classes of one kind, such as score, by name; calling it gives the decorator that adds one."""

    def __init__(self, kind: str, provided: frozenset[str]) -> None:
        self.kind = kind
        self.provided = provided
        self._added: dict[str, Entry] = {}

    @cached_property
    def _builtin(self) -> MappingProxyType[str, Entry]:
        folder = Path(__file__).parent / f"{self.kind}s"
        found = (e for file in sorted(folder.glob("*.py")) for e in entries_in(file, self.kind, self.provided))
        return MappingProxyType({entry.name: entry for entry in found})

    def __call__(self, name: str) -> Callable[[type], type]:
        """The decorator that registers a class under a name.

        Raises:
            AttnbenchError: if the name is not text, as in `@attnbench.score` without parentheses.
        """
        if not isinstance(name, str) or not name.strip():
            raise self._without_name(name)

        def register(cls: type) -> type:
            """Adds the class under the name, and returns it unchanged."""
            # A class may come from a function in another file, and depend on what this call passed to it.
            caller = sys._getframe(1)
            entry = entry_of(cls, self.kind, name, self.provided, (caller.f_code.co_filename, caller.f_lineno))
            file, module = Path(caller.f_code.co_filename), str(caller.f_globals.get("__name__", ""))
            if file.is_file():
                entry = replace(entry, sources=(*entry.sources, (file, module)))
            other = self._builtin.get(name) or self._added.get(name)
            if other is not None and not replaces(entry, other):
                raise fail(
                    f"the {self.kind} {name!r} is defined twice: in {other.origin} and in {entry.origin}",
                    hint="give yours another name",
                )
            if name not in self._builtin:
                self._added[name] = entry
            return cls

        return register

    def _without_name(self, found: Any) -> AttnbenchError:
        """The error for a decorator without a name, at the decorated class or at the line that calls it."""
        caller = sys._getframe(2)  # the line with the decorator
        if callable(found):
            file, line = file_and_line(found, (caller.f_code.co_filename, caller.f_lineno))
            where, what = f"{file}:{line}", f"@attnbench.{self.kind} needs a name in parentheses"
        else:
            where = f"{caller.f_code.co_filename}:{caller.f_lineno}"
            what = f"@attnbench.{self.kind} needs a name, found {shown(found)}"
        return fail(what, where, f'write @attnbench.{self.kind}("my_{self.kind}"), with the name for grid files')

    def names(self) -> list[str]:
        """All names, the built-in ones first."""
        return [*self._builtin, *self._added]

    def __contains__(self, name: str) -> bool:
        return name in self._builtin or name in self._added

    def entry(self, name: str) -> Entry:
        """The description of the named class.

        Raises:
            AttnbenchError: if the name is unknown, with the most similar one.
        """
        entry = self._builtin.get(name) or self._added.get(name)
        if entry is None:
            raise fail(f"unknown {self.kind} {name!r}", hint=did_you_mean(name, self.names()))
        return entry

    def is_builtin(self, name: str) -> bool:
        """Whether attnbench itself defines the name."""
        return name in self._builtin

    def origin(self, name: str) -> str:
        """Where the class is defined, as file:line."""
        return self.entry(name).origin

    def build(self, name: str, options: dict[str, Any], **provided: Any) -> Any:
        """Returns an instance, built with the options and the provided arguments that the class declares."""
        entry = self.entry(name)
        given = {key: value for key, value in provided.items() if entry.takes(key)}
        return entry.load()(**(given | options))


# Each registry is also the decorator of its kind. The set names the keyword arguments that the runner provides.
score = Registry("score", frozenset({"width"}))
scope = Registry("scope", frozenset({"width", "normaliser"}))
normaliser = Registry("normaliser", frozenset())
task = Registry("task", frozenset({"vocabulary", "unseen_symbols"}))
model = Registry(
    "model",
    frozenset({"source_vocabulary", "target_vocabulary", "source_words", "target_words", "image_size", "attention"}),
)

REGISTRIES = {registry.kind: registry for registry in (score, scope, normaliser, task, model)}


def has_lengths_of_files(name: str) -> bool:
    """Whether the lengths of a task with `data.path` are those of the files, and cannot be set."""
    return task.is_builtin(name) and task.entry(name).declares("lengths_of_files")


def has_digits(name: str) -> bool:
    """Whether the lengths of a task without `data.path` are those of its option `digits`, and cannot be set."""
    return task.is_builtin(name) and task.entry(name).takes("digits")


def has_bundled_data(name: str) -> bool:
    """Whether a task without `data.path` reads a file of an installed package, whose path is `bundled()`."""
    return task.is_builtin(name) and task.entry(name).declares("bundled")
