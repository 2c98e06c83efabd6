"""`make` says which Python is needed before it installs anything."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def make(folder: Path, python: object) -> subprocess.CompletedProcess[str]:
    command = ["make", "--file", str(ROOT / "Makefile"), f"PYTHON={python}", f"VENV={folder}/venv", "demo"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("there", [True, False])
def test_a_python_that_is_too_old_or_missing_is_named_with_what_is_needed(tmp_path, there):
    old = tmp_path / "python3.10"
    if there:
        old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.10.12" && exit\nexit 1\n')
        old.chmod(0o755)
    found = make(tmp_path, old)
    assert found.returncode == 2
    assert f"Python 3.11, 3.12 or 3.13 is needed; {old}: {'Python 3.10.12' if there else 'not found'}." in found.stderr
    assert "make PYTHON=python3.12 demo" in found.stderr
    assert not (tmp_path / "venv").exists()


def test_this_python_passes(tmp_path):
    """It gets as far as creating the environment, which a stand-in for `-m venv` refuses."""
    stand_in = tmp_path / "python"
    stand_in.write_text(f'#!/bin/sh\n[ "$1" = -m ] && exit 7\nexec {sys.executable} "$@"\n')
    stand_in.chmod(0o755)
    found = make(tmp_path, stand_in)
    assert "is needed" not in found.stderr
    assert "Installing into" in found.stdout
