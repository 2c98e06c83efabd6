"""Reads regular files within a limit, and writes files completely or not at all.

Files that a user names and files in a results folder are read by `read_file`: reading a pipe may wait for ever, and
reading a device such as /dev/zero never ends.
"""

import errno
import os
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import BinaryIO

from attnbench.errors import fail

STDOUT = Path("-")  # as the name of an output file
_STDOUT = (str(STDOUT), "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
_DESCRIPTORS = ("/dev/stderr", "/dev/fd/", "/proc/")  # open files of this process, also where they are regular files
_OPEN = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
_CHUNK = 1_000_000  # bytes
_NAME_PART = 40  # characters of a file's name that its temporary file has, since a name has at most 255 bytes


def read_file(path: Path, most: int) -> bytes:
    """The content of a regular file.

    Args:
        path: the file, or a link to it.
        most: its largest size in bytes.

    Raises:
        OSError: if it cannot be read, is not a regular file or is larger; `cause` words it.
        ValueError: if the path contains a null character.
    """
    handle = os.open(path, _OPEN)  # without O_NONBLOCK, opening a pipe waits for a process that writes to it
    try:
        state = os.fstat(handle)
        if stat.S_ISDIR(state.st_mode):
            raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
        if not stat.S_ISREG(state.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        with open(handle, "rb", closefd=False) as file:
            # One byte more than its size, by which a file that has grown is noticed. Not `most`: Python reserves memory
            # for as many bytes as it is asked to read.
            content = file.read(state.st_size + 1) if state.st_size <= most else b""
            # Also those in /proc, whose size is 0.
            while state.st_size < len(content) <= most and (more := file.read(_CHUNK)):
                content += more
        if max(state.st_size, len(content)) > most:
            raise OSError(errno.EFBIG, f"it is larger than {_size(most)}", str(path))
    finally:
        os.close(handle)
    return content


def _size(count: int) -> str:
    return f"{count // 1_000_000:,} MB" if count >= 1_000_000 else f"{count:,} bytes"


def cause(error: BaseException) -> str:
    """Why a file could not be read or written, without the number and the path of an OSError."""
    return str((isinstance(error, OSError) and error.strerror) or error or type(error).__name__)


def write_atomically(path: Path, content: str | Callable[[BinaryIO], None]) -> None:
    """Writes a file completely or not at all: first to a temporary file in the same folder, which is then renamed.

    Args:
        path: the file; an existing one is replaced, also if it is a link, a pipe or a device.
        content: the text, or a function that writes the bytes to an open file.

    Raises:
        AttnbenchError: if the file cannot be written.
    """
    # In the same folder, because a rename is atomic only within one file system.
    temporary = path.with_name(f".{path.name[:_NAME_PART]}.{os.getpid()}.tmp")
    try:
        temporary.unlink(missing_ok=True)  # of an earlier process with the same number
        # "x" does not follow a link that somebody else has put there, in a folder such as /tmp.
        with temporary.open("xb") as file:
            if isinstance(content, str):
                file.write(content.encode())
            else:
                content(file)
            file.flush()
            # Without fsync, a power cut after the rename can leave an empty file under the final name.
            os.fsync(file.fileno())
        temporary.replace(path)
    # BaseException, so that Ctrl-C does not leave the temporary file behind.
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise fail(f"cannot be written: {error.strerror}", str(path)) from error
        raise


def is_stdout(path: Path) -> bool:
    """Whether a path stands for standard output: "-", /dev/stdout or another name of it."""
    return str(path) in _STDOUT


def is_stream(path: Path) -> bool:
    """Whether writing to a path appends to something that is not a file of its own: a pipe, a device, stdout."""
    if is_stdout(path) or os.path.abspath(path).startswith(_DESCRIPTORS):
        return True
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def write_output(path: Path, text: str) -> None:
    """Writes a file that the user named, as UTF-8; every `-o` and the like is written by this function.

    A regular file is written completely or not at all, and keeps its permissions; of a symbolic link, it is the file
    that the link names. A pipe or a device is written to, not replaced.

    Args:
        path: the file; "-" for standard output.
        text: its content.

    Raises:
        AttnbenchError: if it cannot be written.
        OSError: if standard output cannot be written.
    """
    if is_stdout(path):
        _print(text)
        return
    target = Path(os.path.realpath(path))
    if os.path.isdir(path):
        raise fail("cannot be written: it is a folder", str(path), "give the name of a file")
    if is_stream(path):
        _append(path, text)
        return
    if os.path.islink(target):
        raise fail("cannot be written: it is a symbolic link to itself", str(path), "give another name, or delete it")
    if not os.path.isdir(target.parent):
        raise fail("cannot be written: there is no such folder", str(target.parent), "create it first")
    mode = target.stat().st_mode if os.path.isfile(target) else None
    if mode is not None and not os.access(target, os.W_OK):  # replacing it needs no permission but the folder's
        raise fail("cannot be written: the file is read-only", str(path), "give another name, or allow it: chmod u+w")

    def write(file: BinaryIO) -> None:
        if mode is not None:
            os.chmod(file.name, stat.S_IMODE(mode))
        file.write(text.encode())

    write_atomically(target, write)


def write_new(files: dict[Path, str], hint: str) -> None:
    """Writes files that do not exist yet: all of them or none.

    Raises:
        AttnbenchError: if one of them exists or cannot be written.
    """
    begun: list[Path] = []
    try:
        for file, text in files.items():
            # "x" fails if the file exists, also if another process has created it a moment ago.
            with file.open("x", encoding="utf-8") as out:
                begun.append(file)
                out.write(text)
    except BaseException as error:
        for file in begun:
            with suppress(OSError):
                file.unlink()
        if isinstance(error, OSError):
            raise fail(f"cannot be written: {error.strerror}", str(error.filename or file), hint) from error
        raise


def _print(text: str) -> None:
    """Writes to stdout as UTF-8, whatever the encoding of the terminal: a page names its own encoding."""
    binary = getattr(sys.stdout, "buffer", None)
    if binary is None:
        sys.stdout.write(text)
    else:
        sys.stdout.flush()
        binary.write(text.encode())
    sys.stdout.flush()


def _append(path: Path, text: str) -> None:
    try:
        # Not "wb", which would empty a file that the shell has opened as /dev/fd/3. Without a buffer, because a
        # failure to write it at the end would be raised by close, after the file.
        with path.open("ab", buffering=0) as file:
            left = memoryview(text.encode())
            while left:
                left = left[file.write(left) or 0 :]
    except OSError as error:
        raise fail(f"cannot be written: {error.strerror}", str(path)) from error


def similar_grid_file(path: Path) -> Path | None:
    """A grid file in the same folder with the same or a similar name, such as mine.yaml for mine.yml."""
    try:
        files = sorted(os.listdir(path.parent))
    except OSError:
        return None
    names = {Path(file).stem: file for file in files if file.endswith((".yaml", ".yml")) and file != path.name}
    near = get_close_matches(path.stem, names, n=1, cutoff=0.7)
    return path.with_name(names[near[0]]) if near else None
