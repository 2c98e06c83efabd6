"""The faults that benchmarks/gate_power.py plants are lines of the package as it is now."""

import sys
from pathlib import Path

import pytest

import attnbench

PACKAGE = Path(attnbench.__file__).parent
sys.path.insert(0, str(PACKAGE.parent / "benchmarks"))
from faults import FAULTS, HELD_OUT  # noqa: E402


@pytest.mark.parametrize("fault", [*FAULTS, *HELD_OUT], ids=lambda fault: fault.name)
def test_it_stands_once_and_still_compiles_when_planted(fault):
    text = (PACKAGE / fault.file).read_text()
    assert text.count(fault.old) == 1
    compile(text.replace(fault.old, fault.new), fault.file, "exec")


def test_there_are_enough_and_none_twice():
    assert len({fault.name for fault in [*FAULTS, *HELD_OUT]}) == len(FAULTS) + len(HELD_OUT) >= 40
