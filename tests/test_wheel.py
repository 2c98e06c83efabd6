"""The wheel is complete: installed outside the checkout, every verb works.

The other tests run an editable installation, in which a file that the wheel lacks is found all the same.
"""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from attnbench import __version__
from attnbench.cli import VERBS

CHECKOUT = Path(__file__).parents[1]
# Two test lengths, because the page of accuracy against length is drawn from two on.
GRID = """
name: small
seeds: 3
grid: {score: [additive, dot], task: [copy]}
data: {vocabulary: 6, min_length: 2, max_length: 4, test_lengths: [4, 6], validation_examples: 8, test_examples: 8}
model: {kind: rnn, width: 4, embedding: 4}
train: {steps: 4, batch_size: 4, valid_every: 2}
claims:
  - says: additive is better than dot
    parts: [{better: {score: additive}, than: {score: dot}}]
"""


def pip(*arguments: str) -> None:
    """Runs pip without a network."""
    command = [sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check", "--no-index"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources: setuptools leaves a build folder among the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    sources = folder / "sources"
    shutil.copytree(CHECKOUT / "attnbench", sources / "attnbench", ignore=shutil.ignore_patterns("__pycache__"))
    for file in CHECKOUT.iterdir():  # pyproject.toml, and the files that it refers to
        if file.is_file():
            shutil.copyfile(file, sources / file.name)
    pip("wheel", str(sources), "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder))
    (found,) = folder.glob("*.whl")
    return found


class Installed:
    """The installed wheel, and a working folder that has nothing to do with the checkout."""

    def __init__(self, wheel: Path, folder: Path) -> None:
        self.packages, self.work = folder / "packages", folder / "work"
        self.verbs: set[str] = set()  # that were run
        self.work.mkdir()
        pip("install", str(wheel), "--no-deps", "--target", str(self.packages))

    def python(self, *arguments: str) -> str:
        """Runs Python with the installed package, and returns its standard output."""
        return self._output([sys.executable, "-P", *arguments])

    def script(self, *arguments: str) -> str:
        """Runs the console script `attnbench` that pip created, and returns its standard output."""
        return self._output([str(self.packages / "bin" / "attnbench"), *arguments])

    def attnbench(self, verb: str, *arguments: str) -> str:
        """Runs a verb, and returns its standard output."""
        self.verbs.add(verb)
        return self.python("-m", "attnbench", verb, *arguments)

    def _output(self, command: list[str]) -> str:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        # A wide "terminal": no message is wrapped in the middle of what is searched for.
        environment |= {"PYTHONPATH": str(self.packages), "COLUMNS": "300"}
        done = subprocess.run(command, cwd=self.work, env=environment, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        assert "not in MLflow" not in done.stdout + done.stderr, command
        return done.stdout


def test_every_file_of_the_package_is_in_the_wheel(wheel: Path) -> None:
    sources = {
        file.relative_to(CHECKOUT).as_posix()
        for file in (CHECKOUT / "attnbench").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    missing = sources - set(ZipFile(wheel).namelist())
    assert missing == set(), "add them to [tool.setuptools.package-data] in pyproject.toml"


@pytest.mark.timeout(600)
def test_every_verb_works_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    installed = Installed(wheel, tmp_path)
    used = installed.python("-c", "import attnbench; print(attnbench.__file__)").strip()
    assert Path(used).is_relative_to(installed.packages)
    attnbench, work = installed.attnbench, installed.work
    attnbench("init")
    assert "todo" in attnbench("expand", "grid.yaml")
    (work / "small.yaml").write_text(GRID)
    assert "additive" in attnbench("run", "small.yaml", "--engine", "serial")
    with (work / "results" / "small" / "table.csv").open() as file:
        cells = [row["cell"] for row in csv.DictReader(file)]
    assert len(cells) == 6
    assert "additive" in attnbench("table", "small")
    assert "additive" in attnbench("compare", "small")
    assert "exact_match" in attnbench("show", "small", cells[0])
    attnbench("report", "small")
    assert "<style>" in (work / "results" / "small" / "report.html").read_text()
    assert "undecided" in attnbench("verify", "small")
    attnbench("baseline", "small", "-o", "baseline.csv")
    attnbench("check", "small", "--baseline", "baseline.csv")
    assert attnbench("sync", "small") == "small: 0 cells logged, 6 were already in MLflow\n"
    assert "--port" in attnbench("ui", "--help")  # starting MLflow's server takes half a minute: test_ui.py does it
    assert "scaled_dot" in attnbench("list")
    assert "small" in attnbench("runs")
    assert "passed" in attnbench("guard", "torch.nn:MultiheadAttention", "--no-train", "--longest", "5")
    assert '"properties"' in attnbench("schema")
    assert f"attnbench {__version__}" in installed.script("--version")
    # The worker processes are new Python processes, which have to find the installed package as well.
    attnbench("init", "--scope", "mine")
    quick = ["--set", "train.steps=4", "--set", "train.valid_every=2", "--set", "seeds=1"]
    assert "mine" in attnbench("run", "mine.yaml", "--engine", "processes", *quick)
    assert set(VERBS) == installed.verbs, "every verb is run from the wheel: add the new one above"
