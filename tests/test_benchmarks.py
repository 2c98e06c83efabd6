"""Benchmarks take too long for a test to run them; this finds names that the package no longer has."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize("file", sorted(BENCHMARKS.glob("*.py")), ids=lambda file: file.stem)
def test_its_imports_exist(file):
    code = f"import sys; sys.path.insert(0, {str(BENCHMARKS)!r}); import {file.stem}"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
