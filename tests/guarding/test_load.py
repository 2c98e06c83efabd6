"""An attention is imported by its name and built; what cannot be is told."""

import os
import sys

import pytest
import torch

from attnbench import AttnbenchError
from attnbench.guarding.load import load, load_again, passed

SOURCE = """
import torch

class Attention(torch.nn.Module):
    def __init__(self, dim, heads=2):
        super().__init__()
        self.proj = torch.nn.Linear(dim, dim)

    def forward(self, query, key, value, mask=None):
        return query

class Config:
    dim = 8

class Failing(torch.nn.Module):
    def __init__(self):
        raise ValueError("no weights")

def attend(query, key, value, mask=None):
    return query

def make(dim):
    return Attention(dim)

NUMBER = 3
print("imported")
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    (tmp_path / "guarded.py").write_text(SOURCE)
    (tmp_path / "broken.py").write_text("import guarded_missing\n")
    (tmp_path / "exits.py").write_text(
        "import os, sys, torch\nos.chdir('/')\ntorch.set_grad_enabled(False)\nsys.exit(0)\n"
    )
    for name in ("copy.py", "my-attention.py"):
        (tmp_path / name).write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("guarded", "broken"):
        sys.modules.pop(name, None)
    yield
    sys.modules.pop("guarded", None)


@pytest.mark.parametrize("name", ["guarded:attend", "guarded.py:attend", "guarded.attend"])
def test_a_function_by_module_and_by_file(name, capsys):
    loaded = load(name)
    assert loaded.attention.__name__ == "attend"
    assert not loaded.is_module
    assert capsys.readouterr().out == "", "what an import prints goes to stderr"


def test_a_class_with_its_arguments_and_its_imports():
    loaded = load("guarded.py:Attention", "Attention(Config.dim, heads=torch.tensor(1).item())")
    assert loaded.attention.proj.in_features == 8
    assert loaded.imports[-1] == "from guarded import Attention, Config"
    assert load("guarded.py:make", " make(4) ").attention.proj.in_features == 4


def test_it_is_built_again_from_another_seed():
    loaded = load("guarded:Attention", "Attention(4)")
    first = loaded.attention.proj.weight
    torch.manual_seed(5)
    assert not torch.equal(load_again(loaded).proj.weight, first)
    given = passed(loaded.attention)
    copied = load_again(given)
    assert copied is not loaded.attention
    assert torch.equal(copied.proj.weight, first)


WRONG = [
    ("nowhere:X", None, ["there is no module 'nowhere'", "MODULE:NAME"]),
    ("nowhere", None, ["does not name an attention", "MODULE:NAME"]),
    ("nowhere.py:X", None, ["there is no file nowhere.py"]),
    ("broken:X", None, ["importing broken raised ModuleNotFoundError", "guarded_missing"]),
    ("guarded:Atention", None, ["no 'Atention'", "did you mean 'Attention'?"]),
    ("guarded:Attention", None, ["needs dim", "--build 'Attention(dim=…)'"]),
    ("guarded:", None, ["'guarded:' does not name an attention"]),
    ("my-attention.py:X", None, ["my-attention.py cannot be imported"]),
    ("copy.py:X", None, ["import copy gives", "not this file", "another name"]),
    ("exits:X", None, ["importing exits raised SystemExit: 0"]),
    ("guarded:Attention", "", ["SyntaxError", "--build"]),
    ("guarded:Attention", "Attention(4", ["SyntaxError", "--build"]),
    ("guarded:Attention", "Attention(size=4)", ["Attention(size=4) raised TypeError", "size"]),
    ("guarded:Attention", "Atention(4)", ["NameError"]),
    ("guarded:Failing", None, ["Failing() raised ValueError: no weights"]),
    ("guarded:NUMBER", None, ["is 3, which cannot be called"]),
    ("guarded:attend", "7", ["7 returned 7, which cannot be called"]),
]


@pytest.mark.parametrize(("name", "build", "expected"), WRONG)
def test_a_mistake_is_told(name, build, expected):
    folder = os.getcwd()
    with pytest.raises(AttnbenchError) as error:
        load(name, build)
    assert (os.getcwd(), torch.is_grad_enabled()) == (folder, True)
    assert all(part in str(error.value) for part in expected), str(error.value)


@pytest.mark.parametrize("given", [torch.nn.Linear, 3])
def test_what_is_passed_must_be_built(given):
    with pytest.raises(AttnbenchError, match="expected"):
        passed(given)
