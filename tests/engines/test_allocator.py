"""The settings of the memory allocator reach the workers, and do what they are for."""

import errno
import os
import platform
import subprocess
import sys
from contextlib import closing
from multiprocessing.context import SpawnProcess
from pathlib import Path
from queue import SimpleQueue

import pytest

from attnbench.engines.allocator import NAME, kept_memory
from attnbench.engines.processes import ProcessEngine
from attnbench.engines.worker_handle import Worker

# Earlier versions of glibc have no setting for large pages.
HAS_SETTING = platform.libc_ver()[0] == "glibc" and tuple(map(int, platform.libc_ver()[1].split(".")[:2])) >= (2, 35)
LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
# Prints the kilobytes of the heap that have large pages, after 64 MB of small tensors.
SMALL_TENSORS = """
import torch
kept = [torch.ones(2**12) for _ in range(4096)]
print(next(line for line in open("/proc/self/smaps_rollup") if line.startswith("AnonHugePages")).split()[1])
"""


def large_pages() -> int:
    command = [sys.executable, "-c", SMALL_TENSORS]
    return int(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


@pytest.mark.skipif(
    not HAS_SETTING or not LARGE_PAGES.is_file() or "[madvise]" not in LARGE_PAGES.read_text(),
    reason="needs glibc 2.35, and a system that gives large pages to who asks for them",
)
def test_tensors_are_in_large_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAME, raising=False)
    with kept_memory():
        assert large_pages() > 30_000
    assert large_pages() < 10_000


@pytest.mark.skipif(not Path("/proc/self/environ").is_file(), reason="needs Linux's /proc")
def test_workers_are_started_with_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAME, raising=False)
    with closing(ProcessEngine(1, "cpu", "attnbench.training.train:train")) as engine:
        engine.prepare()
        with open(f"/proc/{engine.pool[0].process.pid}/environ", encoding="utf-8") as file:
            assert "glibc.malloc.trim_threshold=" in file.read()
    assert NAME not in os.environ


def test_the_page_for_clusters_has_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAME, raising=False)
    page = (Path(__file__).parents[2] / "docs" / "clusters.md").read_text(encoding="utf-8")
    with kept_memory():
        assert f"export {NAME}={os.environ[NAME]}\n" in page


def test_settings_of_the_user_are_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "glibc.malloc.check=0")
    with kept_memory():
        assert os.environ[NAME] == "glibc.malloc.check=0"


def test_the_environment_is_as_before_if_a_process_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAME, raising=False)
    monkeypatch.setenv("PYTHONSAFEPATH", "")
    before, found = dict(os.environ), []

    def refuse(_: object) -> None:
        found.append((os.environ[NAME], os.environ["PYTHONSAFEPATH"]))
        del os.environ[NAME]
        raise OSError(errno.EAGAIN, "no more processes")

    monkeypatch.setattr(SpawnProcess, "start", refuse)
    with pytest.raises(OSError, match="no more processes"):
        Worker("cpu", "attnbench.training.train:train", SimpleQueue())
    ((settings, safe),) = found
    assert settings.startswith("glibc.malloc.")
    assert safe == "1"
    assert dict(os.environ) == before
