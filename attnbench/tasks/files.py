"""The lines of a user's text files, and problems that name them."""

from collections.abc import Sequence
from pathlib import Path

from attnbench.errors import AttnbenchError, Problem, fail

SHOWN_BYTES = 60
SHOWN = 10  # maximum number of errors of one file that are shown; the others are counted


def read_lines(path: str | Path) -> list[bytes]:
    """Returns the lines of a file, without line ends and byte order mark.

    Raises:
        AttnbenchError: if the file cannot be read.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise fail(
            f"cannot read the file: {error.strerror}", str(path), "paths are relative to the grid file"
        ) from error
    # Split as bytes at "\n" only: str.splitlines would also split at characters such as U+2028 within a sentence, and
    # decoding line by line gives the number of a line that is not UTF-8.
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    lines = lines if lines[-1] else lines[:-1]
    return [line.removesuffix(b"\r") for line in lines]


def start_of(line: bytes) -> str:
    """Returns the first bytes of a line for a message: a line of a file that is not text may be very long."""
    return repr(line) if len(line) <= SHOWN_BYTES else f"{line[:SHOWN_BYTES]!r}…"


def raise_first(problems: Sequence[Problem], path: str | Path, others: str) -> None:
    """Raises the first SHOWN problems of a file, if there are any.

    Args:
        problems: in the order of the lines.
        path: of the file.
        others: how the lines that are not shown are counted: "lines that are not pairs".

    Raises:
        AttnbenchError: with these problems.
    """
    shown = [*problems[:SHOWN]]
    if len(problems) > SHOWN:
        shown.append(Problem(f"and {len(problems) - SHOWN} more {others}", str(path)))
    if shown:
        raise AttnbenchError(*shown)


def version_of(path: str | Path) -> tuple[int, ...]:
    """Returns what changes when a file is edited or replaced, without reading it.

    Raises:
        OSError: if there is no such file.
    """
    state = Path(path).stat()
    return state.st_mtime_ns, state.st_ctime_ns, state.st_size, state.st_ino
