"""What commands print: harmless to a terminal, in any encoding, and never lost without an error.

All commands print with `echo`, or with the `Console` of cli/console.py where text has styles.
"""

import codecs
import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from attnbench.escapes import harmless

# The signs that attnbench itself prints, for encodings that lack them; any other character becomes "?".
_LOOKALIKES = {
    "–": "-", "−": "-", "·": ".", "…": "...", "→": "->", "×": "x", "±": "+-", "≥": ">=", "≈": "~", "◆": "*", "∞": "inf",
    "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}": ">",
}  # fmt: skip
_REPLACE = "attnbench.replace"
MOST_COLUMNS = 1000  # rich fills lines with spaces: of 10**9 columns they would not fit into memory


def _replace(error: UnicodeError) -> tuple[str, int]:
    """Handles characters that an encoding lacks, as `errors="replace"` does."""
    assert isinstance(error, UnicodeEncodeError)
    return "".join(_LOOKALIKES.get(sign, "?") for sign in error.object[error.start : error.end]), error.end


codecs.register_error(_REPLACE, _replace)


def limit_terminal_size() -> None:
    """Makes the variables COLUMNS and LINES usable for rich: it prints nothing in 0 columns, and takes any number."""
    for name in ("COLUMNS", "LINES"):
        text = os.environ.get(name, "")
        if text.isascii() and text.isdigit() and len(text) < 20 and int(text) > 0:
            os.environ[name] = str(min(int(text), MOST_COLUMNS))
        else:
            os.environ.pop(name, None)


class OutputError(OSError):
    """Standard output cannot be written: the disk is full, or the terminal or the next command of a pipe is closed.

    Attributes:
        hint: where to find what was not printed.
        closed_pipe: whether the next command has ended, as `head` does after its lines: no reason for a message.
    """

    def __init__(self, reason: str, closed_pipe: bool = False) -> None:
        # One argument, so that `errno` is not set: click would end with status 1 if it were EPIPE.
        super().__init__(f"standard output cannot be written: {reason}")
        self.closed_pipe = closed_pipe
        self.hint = ""


def echo(text: object = "", end: str = "\n", error: bool = False) -> None:
    """Prints a text on stdout, or on stderr if `error`."""
    stream = sys.stderr if error else sys.stdout
    stream.write(harmless(str(text)) + end)
    stream.flush()


@contextmanager
def guarded() -> Iterator[None]:
    """Replaces stdout and stderr during the block by streams that cope with any encoding and report failures.

    On stdout, a failure is an OutputError, at the latest at the end of the block. On stderr, which has progress and
    messages, a failure is ignored: it could not be reported anywhere.

    Raises:
        OutputError: if stdout cannot be written.
    """
    before = sys.stdout, sys.stderr
    # Python sets a stream to None if it was closed before the start, as by `>&-` in a shell.
    out, err = _Guarded(sys.stdout, required=True), _Guarded(sys.stderr, required=False)
    sys.stdout, sys.stderr = out, err
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        err.end()
        out.end()


class _Guarded:
    """A stream that passes everything on to another one, which may be None."""

    def __init__(self, stream: Any, required: bool) -> None:
        self._stream, self._required = stream, required
        self._errors = getattr(stream, "errors", None)
        self._set_errors(_REPLACE)

    def write(self, content: str | bytes) -> int:
        with self._reported():
            self._stream.write(content)
        return len(content)

    def flush(self) -> None:
        with self._reported():
            self._stream.flush()

    def end(self) -> None:
        """Writes what is buffered."""
        try:
            if self._stream is not None:
                self.flush()
        finally:
            self._set_errors(self._errors)

    @property
    def buffer(self) -> "_Guarded":
        """The stream of bytes below a stream of text; an AttributeError if there is none."""
        return _Guarded(self._stream.buffer, self._required)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _set_errors(self, errors: str | None) -> None:
        if hasattr(self._stream, "reconfigure"):
            with suppress(OSError):  # it flushes; `flush` reports the error
                self._stream.reconfigure(errors=errors)

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            if self._stream is None:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            yield
        except (OSError, ValueError) as error:  # ValueError: the stream is closed
            self._abandon()
            if self._required:
                closed_pipe = isinstance(error, OSError) and error.errno == errno.EPIPE
                raise OutputError(getattr(error, "strerror", None) or str(error), closed_pipe) from error

    def _abandon(self) -> None:
        """Sends the rest nowhere, or Python would report it again when it flushes the stream at its end."""
        with suppress(AttributeError, OSError, ValueError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), self._stream.fileno())
