"""The contract of every registered task: a new file in attnbench/tasks is tested here without a new test."""

import pytest
from task_contract import hold_to_the_contract

from attnbench import registry


@pytest.mark.parametrize("name", registry.task.names())
def test_every_task_keeps_its_promises(name):
    hold_to_the_contract(name)
