"""The settings of the memory allocator reach the workers, and do what they are for."""

import os
import platform
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from attnbench.engines.allocator import NAME, kept_memory
from attnbench.engines.processes import ProcessEngine

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
    platform.libc_ver()[0] != "glibc" or not LARGE_PAGES.is_file() or "[madvise]" not in LARGE_PAGES.read_text(),
    reason="needs glibc, and a system that gives large pages to who asks for them",
)
def test_tensors_are_in_large_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAME, raising=False)
    with kept_memory():
        assert large_pages() > 30_000
    assert large_pages() < 10_000


def test_workers_are_started_with_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAME, raising=False)
    with closing(ProcessEngine(1, "cpu", "attnbench.training.train:train")) as engine:
        engine.prepare()
        with open(f"/proc/{engine.pool[0].process.pid}/environ", encoding="utf-8") as file:
            assert "glibc.malloc.trim_threshold=" in file.read()
    assert NAME not in os.environ


def test_settings_of_the_user_are_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "glibc.malloc.check=0")
    with kept_memory():
        assert os.environ[NAME] == "glibc.malloc.check=0"
