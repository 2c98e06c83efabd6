"""The exit statuses that scripts rely on, and the errors that a user can fix.

    AttnbenchError      wrong usage or configuration, nothing was trained: exit status 2
    └ Stopped           a run ended early after training had begun (driver.py): exit status 1
      └ Unwritten       results could not be written (driver.py): exit status 1
    OutputError         the command's output could not be written (cli/output.py): exit status 74

Any other exception is a bug in attnbench and is shown with its traceback.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from difflib import get_close_matches
from enum import IntEnum

from attnbench.escapes import harmless, one_line
from attnbench.messages import shortened


class Exit(IntEnum):
    """The exit status of every command."""

    OK = 0
    CELLS_FAILED = 1
    USAGE = 2
    REGRESSION = 3
    NOTHING_COMPARABLE = 4
    OUTPUT = 74  # EX_IOERR of sysexits.h
    INTERRUPTED = 130


@dataclass(frozen=True)
class Problem:
    """One problem in the user's input; each of its parts is shortened.

    Attributes:
        what: what is wrong.
        where: the place: an option, a field, or file:line:column.
        hint: what to do about it.
        source: the line of the file, with a caret under the column.
    """

    what: str
    where: str = ""
    hint: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        for part in fields(self):
            object.__setattr__(self, part.name, shortened(getattr(self, part.name)))

    def __str__(self) -> str:
        where = one_line(self.where)
        # Further lines are indented, so that a text from a file cannot look like another message.
        what, hint = (harmless(text).replace("\n", "\n    ") for text in (self.what, self.hint))
        lines = [f"{where}: {what}" if where else what]
        lines += [f"    {one_line(line)}" for line in self.source.splitlines()]
        return "\n".join([*lines, f"  → {hint}"] if hint else lines)


class AttnbenchError(Exception):
    """An error that the user can fix, with one or more problems; printed without a traceback.

    A plugin may raise it with a text in place of a problem. `exit` is the exit status of the command.
    """

    exit = Exit.USAGE

    def __init__(self, *problems: Problem | str) -> None:
        self.problems = tuple(given if isinstance(given, Problem) else Problem(str(given)) for given in problems)
        super().__init__("\n".join(map(str, self.problems)))

    # Exception pickles `args`, the joined text; worker processes need to send the problems themselves.
    def __reduce__(self) -> tuple[type, tuple[Problem, ...]]:
        return type(self), self.problems


def fail(what: str, where: str = "", hint: str = "") -> AttnbenchError:
    """Returns an error with a single problem, for the caller to raise."""
    return AttnbenchError(Problem(what, where, hint))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns a hint with the most similar known name, or with all of them if none is similar."""
    known = sorted(known)
    near = get_close_matches(str(name), known, n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else f"known names: {', '.join(known)}"
