"""Planted faults are found, each by the check that the page names, and right attentions pass."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from attnbench.guarding.checks import ALL
from attnbench.guarding.guard import dtypes_of
from attnbench.guarding.probe import run_check
from tests.guarding.examining import examined, failed, target_of
from tests.guarding.faults import FAULTS
from tests.guarding.known_good import KNOWN_GOOD

PAGE = Path(__file__).parents[2] / "docs" / "guard.md"
WITHOUT = {(make, *options.items()): (make, options) for make, options, _ in FAULTS.values()}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault):
    make, options, expected = FAULTS[fault]
    torch.manual_seed(0)
    if not expected:
        assert failed(make(fault), **options) == [], "the page says that no check finds it"
        return
    target = target_of(make(fault), **options)
    checks = [check for check in ALL if check.name in expected]
    assert [run_check(check, target, dtypes_of(target), 0).outcome for check in checks] == ["failed"] * len(expected)


@pytest.mark.parametrize(("make", "options"), WITHOUT.values())
def test_the_same_without_a_fault_passes(make, options):
    torch.manual_seed(0)
    assert failed(make(), **options) == []


@pytest.mark.parametrize("name", KNOWN_GOOD)
@pytest.mark.filterwarnings("ignore::UserWarning")  # of PyTorch, that masks of two types are deprecated
def test_a_right_attention_passes(name):
    make, options = KNOWN_GOOD[name]
    torch.manual_seed(0)
    results = examined(make(), **options)
    assert [each for each, result in results.items() if result.outcome == "failed"] == []
    assert sum(result.outcome == "passed" for result in results.values()) >= 10


def test_the_page_has_every_fault_and_every_check():
    rows = dict(re.findall(r"^\| (.+?) \| (.+?) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    for fault, (_, _, expected) in FAULTS.items():
        assert rows[fault] == (", ".join(expected) or "not found")
    for check in ALL:
        assert rows[check.name] == check.law


@pytest.mark.parametrize("fault", ["mask ignored", "the next position is seen", "wrong gradient of the softmax"])
def test_the_script_of_a_counterexample_prints_its_two_numbers(fault, tmp_path, monkeypatch):
    """In a new process, without attnbench."""
    from attnbench.guarding.guard import asked_for, examine
    from attnbench.guarding.load import load
    from attnbench.guarding.search import find_target

    file = tmp_path / "planted.py"
    file.write_bytes((Path(__file__).parent / "faults.py").read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "planted", raising=False)
    make, options, expected = FAULTS[fault]
    loaded = load(f"planted.py:{make.__name__}", f"{make.__name__}({fault!r})")
    report, _ = examine(find_target(loaded, asked_for(**options)), train=False, strict=False, seed=0)
    case = next(result.counterexample for result in report.results if result.name in expected)
    assert "attnbench" not in case.snippet
    printed = subprocess.run([sys.executable, "-c", case.snippet], capture_output=True, text=True, check=True).stdout
    assert [float(number) for number in printed.split()] == pytest.approx([case.first, case.second], rel=1e-5)


def test_the_smallest_counterexample_is_reported():
    torch.manual_seed(0)
    result = examined(FAULTS["the triangle ends at 64 positions"][0]("the triangle ends at 64 positions"), causal=True)
    assert result["future"].counterexample.size.keys == 65
    assert examined(FAULTS["mask ignored"][0]("mask ignored"))["padding"].counterexample.size.keys == 2
