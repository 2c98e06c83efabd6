"""The files that `attnbench init --score NAME` and its like write: they pass the contract of their kind, and train."""

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from task_contract import check_contract

import attnbench
from attnbench.cli import main
from attnbench.cli.init import COMPARISONS
from attnbench.plugins import load_plugin
from attnbench.registry import REGISTRIES

TESTS = Path(__file__).parent
# The contract tests that loop over the registered names of a kind.
CONTRACTS = {
    "score": ["test_attention.py", "scores/test_scores.py"],
    "scope": ["test_attention.py", "scopes/test_scopes.py"],
    "model": ["models/test_every_model.py"],
}
FEWEST = {"score": 100, "scope": 100, "model": 30}
QUICK = ["--set", "train.steps=4", "--set", "train.valid_every=2", "--set", "seeds=1"]


def run(*arguments: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code in (0, None), arguments


@pytest.fixture
def template(tmp_path, monkeypatch, capsys):
    """Writes the files of a kind into the working folder."""
    monkeypatch.chdir(tmp_path)

    def write(kind: str, name: str = "brand_new") -> str:
        run("init", f"--{kind}", name)
        return capsys.readouterr().err

    return write


@pytest.mark.parametrize("kind", CONTRACTS)
def test_a_template_passes_the_contract_tests_of_its_kind(kind, template):
    template(kind)
    files = [str(TESTS / file) for file in CONTRACTS[kind]]
    options = ["-p", "with_template", "-p", "no:cacheprovider", "-k", "brand_new", "--rootdir", str(TESTS.parent)]
    path = os.pathsep.join([str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-c", str(TESTS.parent / "pyproject.toml"), *files],
        env=os.environ | {"ATTNBENCH_TEMPLATE": str(Path("brand_new.py").resolve()), "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None, done.stdout[-2000:]
    assert int(passed[1]) >= FEWEST[kind]


def test_the_normalisers_template_has_what_it_declares_and_obeys_the_mask(template):
    template("normaliser")
    load_plugin("brand_new.py")
    entry = REGISTRIES["normaliser"].entry("brand_new")
    assert entry.declares("sums_to_one")
    assert entry.declares("positive")
    logits = torch.tensor([[[0.0, 3.0, -2.0, 7.0], [1e4, -1e4, 1e4, 0.0], [1.0, 2.0, 3.0, 4.0]]])
    mask = torch.tensor([[[True, True, False, False], [True, True, True, False], [False, False, False, False]]])
    for temperature in (0.5, 2.0):
        built = attnbench.build_normaliser("brand_new", temperature=temperature)
        for given in (logits, logits.masked_fill(~mask, -torch.inf)):
            weights = built(given, mask)
            assert (weights[~mask] == 0).all()
            assert weights.sum(-1).tolist() == [pytest.approx([1.0, 1.0, 0.0])]
        ratio = float(weights[0, 0, 1] / weights[0, 0, 0])
        assert ratio == pytest.approx(math.exp(3 / temperature))
        assert (weights[0, 1, [0, 2]] == 0.5).all()


def test_the_scopes_template_goes_with_every_normaliser(template):
    template("scope")
    load_plugin("brand_new.py")
    logits = torch.tensor([[[0.0, 2.0, 1.9, 1.0]]])
    for name in REGISTRIES["normaliser"].names():
        attend = attnbench.Attention("dot", "brand_new", name, width=4, max_source_length=4, keep=2)
        weights = attend.scope(logits, None, logits, torch.tensor([4]), 0)
        expected = attend.normaliser(logits, torch.tensor([[[False, True, True, False]]]))
        assert torch.equal(weights, expected), name
        assert (weights[0, 0, 1:3] > 0).all(), name


def test_the_tasks_template_passes_the_contract_of_tasks(template):
    template("task")
    load_plugin("brand_new.py")
    check_contract("brand_new")


@pytest.mark.parametrize("kind", COMPARISONS)
def test_a_template_trains_by_the_commands_that_init_prints(kind, template, capsys):
    printed = template(kind)
    commands = [line.split("#")[0].split()[1:] for line in printed.splitlines() if line.startswith("  attnbench ")]
    assert [command[0] for command in commands] == ["expand", "run", "compare"]
    run(*commands[0])
    run(*commands[1], *QUICK, "--no-mlflow", "--engine", "serial", "--quiet")
    capsys.readouterr()
    run(*commands[2])
    assert "brand_new" in capsys.readouterr().out
    frame = pd.read_csv("results/brand_new/table.csv")
    assert set(frame["status"]) == {"done"}
    column = frame[kind.removeprefix("image-")].str.partition(" ")[0]
    assert {"brand_new"} < set(column), "beside a built-in for comparison"


@pytest.mark.parametrize("kind", COMPARISONS)
def test_a_template_teaches(kind, template):
    """What `attnbench list` prints of it, its options, and comments on what comes in and goes out."""
    template(kind, "x")
    text = Path("x.py").read_text()
    load_plugin("x.py")
    entry = REGISTRIES[kind.removeprefix("image-")].entry("x")
    assert entry.options, "at least one option of its own"
    assert "Source: " in entry.doc
    assert kind == "task" or "Formula: " in entry.doc
    shapes = {"task": ("(N,S)", "(N,T)", "(N,T,S)"), "model": ("(B,S)", "(B,V)"), "image-model": ("(B,H,W)", "(B,V)")}
    for shape in shapes.get(kind, ("(B,T,S)", "(B,T,D)")):
        assert shape in text
    assert "option of the grid file" in text or "option in `model:`" in text
    assert "$" not in text


def test_the_templates_are_formatted_as_the_code_is(template):
    ruff = Path(sys.executable).with_name("ruff")
    if not ruff.exists():
        pytest.skip("ruff is not installed beside this Python")
    for kind in COMPARISONS:
        template(kind, f"my_{kind.replace('-', '_')}")
    settings = ["--config", str(TESTS.parent / "pyproject.toml")]
    # attnbench is installed for its users, and of their own project here: imports are sorted either way.
    for command in (["check", "--ignore", "I001"], ["format", "--check"]):
        done = subprocess.run([ruff, *command, *settings, "."], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
