"""Files are read within a limit, and only regular ones; outputs go where the user said, and destroy nothing there."""

import os
import resource
import stat
import subprocess
import sys
import threading
import tracemalloc
from contextlib import contextmanager
from pathlib import Path

import pytest

from attnbench.errors import AttnbenchError
from attnbench.files import read_file, write_new, write_output


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "folder").mkdir()
    (tmp_path / "zero").symlink_to("/dev/zero")
    with (tmp_path / "endless").open("wb") as file:
        file.truncate(2**40)
    (tmp_path / "file").write_text("content")
    (tmp_path / "link").symlink_to("file")
    return tmp_path


@pytest.mark.parametrize("name", ["pipe", "loop", "folder", "zero", "endless", "missing", "file/below", "é" * 200])
def test_what_is_not_a_regular_file_of_a_fair_size_is_refused_at_once(folder, name):
    with pytest.raises(OSError, match=r"."):
        read_file(folder / name, 1000)


def test_a_file_is_read_up_to_its_limit(folder):
    assert read_file(folder / "link", 7) == b"content"
    with pytest.raises(OSError, match="larger than 6 bytes"):
        read_file(folder / "file", 6)
    assert read_file(Path("/proc/self/status"), 100_000), "whose size is said to be 0"


def test_reading_reserves_no_memory_for_what_the_limit_allows(folder):
    tracemalloc.start()
    try:
        read_file(folder / "file", 2**30)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_file_without_a_size_is_read_to_its_end():
    assert read_file(Path("/proc/self/status"), 100_000).startswith(b"Name:")
    with pytest.raises(OSError, match="larger than 9 bytes"):
        read_file(Path("/proc/self/status"), 9)


def test_a_link_at_the_place_of_the_temporary_file_is_not_followed(folder):
    (folder / f".out.{os.getpid()}.tmp").symlink_to("file")
    write_output(folder / "out", "new")
    assert (folder / "file").read_text() == "content"
    assert (folder / "out").read_text() == "new"
    assert not (folder / "out").is_symlink()


def test_an_output_is_written_through_a_link_and_keeps_its_permissions(folder):
    (folder / "file").chmod(0o640)
    write_output(folder / "link", "new")
    assert (folder / "link").is_symlink()
    assert (folder / "file").read_text() == "new"
    assert stat.S_IMODE((folder / "file").stat().st_mode) == 0o640
    (folder / "dangling").symlink_to("target")
    write_output(folder / "dangling", "made")
    assert (folder / "target").read_text() == "made"


def test_a_pipe_is_written_to_and_stays_a_pipe(folder):
    read = []
    reader = threading.Thread(target=lambda: read.append((folder / "pipe").read_text()))
    reader.start()
    write_output(folder / "pipe", "through")
    reader.join()
    assert read == ["through"]
    assert (folder / "pipe").is_fifo()


def test_a_device_is_written_to_and_stays_a_device():
    write_output(Path("/dev/null"), "nothing")
    with pytest.raises(AttnbenchError, match="No space left"):
        write_output(Path("/dev/full"), "too much")
    assert Path("/dev/null").is_char_device()
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1"])
def test_stdout_has_several_names(name, tmp_path):
    code = f"from pathlib import Path; from attnbench.files import write_output; write_output(Path({name!r}), 'é\\n')"
    command = [sys.executable, "-c", code]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    assert subprocess.run(command, stdout=subprocess.PIPE, env=environment, check=True).stdout == "é\n".encode()
    with (tmp_path / "log").open("w") as log:
        log.write("before\n")
        log.flush()
        subprocess.run(command, stdout=log, env=environment, check=True)
    assert (tmp_path / "log").read_text() == "before\né\n"


def test_a_file_that_the_shell_has_opened_is_appended_to(tmp_path):
    with (tmp_path / "log").open("w") as log:
        log.write("before\n")
        log.flush()
        write_output(Path(f"/dev/fd/{log.fileno()}"), "after\n")
    assert (tmp_path / "log").read_text() == "before\nafter\n"


@pytest.mark.parametrize(
    ("name", "what"),
    [("folder", "it is a folder"), ("loop", "link to itself"), ("missing/file", "no such folder"),
     ("file/below", "no such folder"), ("é" * 200, "too long")],
)  # fmt: skip
def test_an_output_that_cannot_be_written_is_named(folder, name, what):
    with pytest.raises(AttnbenchError, match=what):
        write_output(folder / name, "text")
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith(".")) == []


def test_a_name_of_255_bytes_can_be_written(tmp_path):
    write_output(tmp_path / ("é" * 127), "text")
    assert (tmp_path / ("é" * 127)).read_text() == "text"


@contextmanager
def full_disk(at: int):
    """No file can have more bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (at, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_new_files_are_written_all_or_none(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    with full_disk(100), pytest.raises(AttnbenchError, match="too large"):
        write_new({first: "short", second: "long" * 1000}, "")
    assert list(tmp_path.iterdir()) == []
    second.write_text("mine")
    with pytest.raises(AttnbenchError, match="exists"):
        write_new({first: "short", second: "short"}, "")
    assert [file.name for file in tmp_path.iterdir()] == ["second"]
    assert second.read_text() == "mine"


def test_an_output_on_a_full_disk_is_left_as_it_was(tmp_path):
    (tmp_path / "file").write_text("before")
    with full_disk(100), pytest.raises(AttnbenchError, match="too large"):
        write_output(tmp_path / "file", "long" * 1000)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("file", "before")]


def test_a_read_only_file_is_not_replaced(tmp_path, monkeypatch):
    file = tmp_path / "base.csv"
    file.write_text("protected")
    file.chmod(0o444)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everything
    with pytest.raises(AttnbenchError, match="read-only"):
        write_output(file, "new")
    assert file.read_text() == "protected"
