"""What goes wrong at a user's hands, said in three parts, and the exit codes that scripts rely on."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from enum import IntEnum


class Exit(IntEnum):
    """The exit status of every command."""

    OK = 0
    CELLS_FAILED = 1
    USAGE = 2
    REGRESSION = 3
    NOTHING_COMPARABLE = 4
    INTERRUPTED = 130


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: what it is, where it stands, what to do about it, and the line of the file itself."""

    what: str
    where: str = ""
    hint: str = ""
    source: str = ""

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.what}" if self.where else self.what]
        lines += [f"    {line}" for line in self.source.splitlines()]
        return "\n".join([*lines, f"  → {self.hint}"] if self.hint else lines)


class AttnbenchError(Exception):
    """A mistake that the user can mend: printed without a traceback, one or several problems at once.

    `exit` is the status that the command then ends with.
    """

    exit = Exit.USAGE

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__("\n".join(map(str, problems)))

    def __reduce__(self) -> tuple[type, tuple[Problem, ...]]:
        return type(self), self.problems


def fail(what: str, where: str = "", hint: str = "") -> AttnbenchError:
    """The error with a single problem, to be raised by the caller."""
    return AttnbenchError(Problem(what, where, hint))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint that names the nearest of the known names, or lists them all when none is near."""
    known = sorted(known)
    near = get_close_matches(str(name), known, n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(known)}"
