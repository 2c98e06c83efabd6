"""Benchmarks take too long for a test to run them; this finds names that the package no longer has."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


# Imports each file by itself, in a fork: what one of them imports or changes must not help another. The large libraries
# are imported once, before that.
IMPORT = """
import os, sys, traceback
import matplotlib, pandas, scipy.stats, torch
sys.path.insert(0, sys.argv[1])
for name in sys.argv[2:]:
    child = os.fork()
    if child == 0:
        try:
            __import__(name)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        print(name)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
def test_each_can_be_imported():
    names = sorted(file.stem for file in BENCHMARKS.glob("*.py"))
    command = [sys.executable, "-c", IMPORT, str(BENCHMARKS), *names]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr


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


def test_the_benchmark_for_gpus_runs_on_a_cpu_at_a_reduced_size(tmp_path):
    out = tmp_path / "gpu.json"
    parts = ["card", "correctness", "steps", "packs", "command"]
    line = [sys.executable, str(BENCHMARKS / "gpu.py"), "--device", "cpu", "--reduced", "--out", str(out), *parts]
    subprocess.run(line, check=True, capture_output=True, timeout=120)
    found = json.loads(out.read_text())
    assert list(found) == parts
    assert all(one["float32"] < 1e-4 and one["graphs"] == 0 for one in found["correctness"].values())
    assert all(one["seconds"] > 0 for one in found["steps"].values())
    assert found["command"]["1 workers"]["models"] == 1


def test_the_page_of_speed_is_written_from_the_figures_in_the_repository(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import speed_page

    results = BENCHMARKS.parent / "results"
    figures = [json.loads((results / name).read_text(encoding="utf-8")) for name in ("speed.json", "gpu.json")]
    assert speed_page.page(*figures) == (results / "speed.md").read_text(encoding="utf-8")
    tracked = subprocess.run(["git", "ls-files", "results"], cwd=results.parent, capture_output=True, text=True).stdout
    assert not tracked or {"results/speed.json", "results/gpu.json"} <= {*tracked.splitlines()}
