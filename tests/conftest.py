"""What holds for every test."""

import sys
from typing import Any

import pytest
import torch
from xdist.scheduler import LoadGroupScheduling

from attnbench.registry import REGISTRIES


class _ByFile(LoadGroupScheduling):
    """Gives a worker whole files, whose module fixtures are then made once, or else the whole of an xdist_group."""

    def _split_scope(self, nodeid: str) -> str:
        return super()._split_scope(nodeid).partition("::")[0]


@pytest.hookimpl(optionalhook=True)  # with `-p no:xdist` there is no such hook
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadGroupScheduling | None:
    """Schedules the tests for `--dist loadgroup`, as in `make test`."""
    return _ByFile(config, log) if config.getoption("dist") == "loadgroup" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the groups first: they take longest, and no worker should start one when all other tests are done."""
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)


# The machine is shared, and small products gain nothing from more.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _forget_plugins():
    """What a test registers or loads is gone with it."""
    added = {kind: dict(registry._added) for kind, registry in REGISTRIES.items()}
    yield
    for kind, registry in REGISTRIES.items():
        registry._added.clear()
        registry._added.update(added[kind])
    for name in [name for name in sys.modules if name.startswith("attnbench_plugin_")]:
        del sys.modules[name]
