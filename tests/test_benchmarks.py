"""Benchmarks take too long for a test to run them; this finds names that the package no longer has."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize("file", sorted(BENCHMARKS.glob("*.py")), ids=lambda file: file.stem)
def test_it_can_be_imported(file):
    code = f"import sys; sys.path.insert(0, {str(BENCHMARKS)!r}); import {file.stem}"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def names_of_attnbench(file: Path) -> set[tuple[str, str]]:
    """The modules of attnbench, each with a name that the file imports from it, also inside functions."""
    nodes = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ImportFrom)]
    ours = [node for node in nodes if (node.module or "").partition(".")[0] == "attnbench"]
    return {(node.module or "", alias.name) for node in ours for alias in node.names}


def test_every_name_imported_from_attnbench_exists():
    """Also inside functions, and in peers/, whose files need packages that are not installed here."""
    missing = []
    for file in [*BENCHMARKS.glob("*.py"), *(BENCHMARKS / "peers").rglob("*.py")]:
        for module, name in sorted(names_of_attnbench(file)):
            try:
                exec(f"from {module} import {name}", {})
            except ImportError as error:
                missing.append(f"{file.relative_to(BENCHMARKS)}: {error}")
    assert missing == []
