"""A cell knows the code that trained it: a change of that, and of no other, makes it stale."""

import csv
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_grid import write_grid

import attnbench
from attnbench.fingerprint import changed, describe_changes

PACKAGE = Path(attnbench.__file__).parent


class Copy:
    """A copy of attnbench whose files can be changed, and what its command says."""

    def __init__(self, folder: Path, grid: Path) -> None:
        self.folder = folder
        self.grid = grid

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.folder / "attnbench" / file
        text = path.read_text()
        assert text.count(old) == 1
        assert len(old) != len(new), "compiled code of the same second is used again for a file of the same size"
        path.write_text(text.replace(old, new))

    def type(self, *arguments: str) -> str:
        environment = os.environ | {"PYTHONPATH": str(self.folder)}
        command = [sys.executable, "-P", "-m", "attnbench", *arguments, "--results", str(self.folder / "results")]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=100).stdout

    def run(self, *options: str) -> None:
        self.type("run", str(self.grid), "--engine", "serial", "--no-mlflow", "--quiet", *options)

    def states(self) -> dict[str, set[tuple[str, str]]]:
        """State and reason by score."""
        found: dict[str, set[tuple[str, str]]] = {}
        for row in csv.DictReader(io.StringIO(self.type("expand", str(self.grid), "--format", "csv"))):
            found.setdefault(row["score"], set()).add((row["state"], row["reason"]))
        return found


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """A copy whose grid has been trained; not to be changed."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copytree(PACKAGE, folder / "attnbench", ignore=shutil.ignore_patterns("__pycache__"))
    made = Copy(folder, write_grid(folder))
    made.run()
    return made


@pytest.fixture
def copy(trained: Copy, tmp_path: Path) -> Copy:
    """The trained copy, for one test to change."""
    shutil.copytree(trained.folder, tmp_path, dirs_exist_ok=True)
    return Copy(tmp_path, tmp_path / trained.grid.name)


DONE = {("done", "")}


def test_a_changed_score_makes_its_own_cells_stale(copy):
    assert copy.states() == {"additive": DONE, "dot": DONE}
    copy.edit("scores/hidden_layer.py", "inputs.sigmoid_()", "inputs.sin_()")
    copy.edit("scores/dot.py", '"""The dot product', '"""Said otherwise: the dot product')
    copy.edit("errors.py", "did you mean", "is it")
    stale = {("stale", "changed since: scores/hidden_layer.py")}
    assert copy.states() == {"additive": stale, "dot": DONE}
    copy.run("--keep-stale")
    assert copy.states() == {"additive": stale, "dot": DONE}
    copy.run()
    assert copy.states() == {"additive": DONE, "dot": DONE}


def test_changed_training_makes_all_cells_stale(copy):
    copy.edit("training/batches.py", "constant_values=EOS)", "constant_values=EOS + 0)")
    stale = {("stale", "changed since: training/batches.py")}
    assert copy.states() == {"additive": stale, "dot": stale}


def test_new_and_lost_files_are_changes_too():
    assert changed({"a": "1", "b": "1", "c": "1"}, {"a": "1", "b": "2", "d": "1"}) == ["b", "c", "d"]
    assert describe_changes([]) == ""
    assert describe_changes(["a.py", "b.py", "c.py"]) == "changed since: a.py, b.py, c.py"
    assert describe_changes(["a.py", "b.py", "c.py", "d.py"]) == "changed since: a.py, b.py and 2 more"
