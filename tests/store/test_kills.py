"""A run that is killed at any moment loses no finished cell, and ends with the same table."""

import sys

import pytest
from kills import kill_runs


@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc")
@pytest.mark.timeout(600)
def test_kills_at_twenty_random_moments_lose_nothing(tmp_path):
    found = kill_runs(tmp_path, kills=20, seed=0, mlflow=False)
    assert found.kills >= 20
    assert found.drivers > 3
    assert found.workers > 3
    assert (found.lost, found.corrupt, found.different) == ([], [], [])
