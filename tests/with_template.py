"""A pytest plugin: what the file of ATTNBENCH_TEMPLATE registers is there when tests are collected, and in each test.

The contract tests are parametrized by what is registered when they are imported, and tests forget plugins again.
"""

import os

import pytest

from attnbench.plugins import load_plugin
from attnbench.registry import REGISTRIES

load_plugin(os.environ["ATTNBENCH_TEMPLATE"])
ADDED = {kind: dict(registry._added) for kind, registry in REGISTRIES.items()}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:  # noqa: ARG001
    """Registers the template again, before any fixture."""
    for kind, registry in REGISTRIES.items():
        registry._added.update(ADDED[kind])
