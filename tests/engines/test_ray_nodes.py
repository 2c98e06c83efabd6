"""A node that is lost in the middle of a run on Ray costs its running packs only, and they are trained elsewhere."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="Ray is not installed: pip install 'attnbench[ray]'")
sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from reliability_ray import CPUS, measure


def test_a_killed_node_loses_no_cell_and_changes_no_number():
    figures = measure()
    assert figures["nodes killed"] == 1
    assert 1 <= figures["packs retried"] <= CPUS
    assert figures["cells lost"] == 0
    assert figures["table equal"]
