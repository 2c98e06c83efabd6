"""The contract of every registered task: a new file in attnbench/tasks is tested here without a new test."""

import pytest
from task_contract import check_contract

from attnbench import registry


@pytest.mark.parametrize("name", registry.task.names())
def test_every_task_meets_the_contract(name):
    check_contract(name)
