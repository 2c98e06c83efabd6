"""`make` says which Python is needed before it installs anything."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def make(folder: Path, python: object) -> subprocess.CompletedProcess[str]:
    command = ["make", "--file", str(ROOT / "Makefile"), f"PYTHON={python}", f"VENV={folder}/venv", "demo"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def stand_in(file: Path, version: str) -> Path:
    """A Python that takes itself for this version, and refuses to create an environment."""
    pretend = f"import sys; sys.version_info = {tuple(map(int, version.split('.')))}; exec(sys.argv[1])"
    file.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && echo "Python {version}" && exit\n[ "$1" = -m ] && exit 7\n'
        f"exec {sys.executable} -c '{pretend}' \"$2\"\n"
    )
    file.chmod(0o755)
    return file


@pytest.mark.parametrize("there", [True, False])
def test_a_python_that_is_too_old_or_missing_is_named_with_what_is_needed(tmp_path, there):
    old = tmp_path / "python3.10"
    if there:
        stand_in(old, "3.10.12")
    found = make(tmp_path, old)
    assert found.returncode == 2
    assert f"Python 3.11, 3.12 or 3.13 is needed; {old}: {'Python 3.10.12' if there else 'not found'}." in found.stderr
    assert "make PYTHON=python3.12 demo" in found.stderr
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize("version", ["3.11.0", "3.12.3", "3.13.1"])
def test_the_versions_that_are_named_pass(tmp_path, version):
    """It gets as far as creating the environment, which the stand-in refuses."""
    found = make(tmp_path, stand_in(tmp_path / "python", version))
    assert "is needed" not in found.stderr
    assert "Installing into" in found.stdout
