"""Settings and fixtures of all tests."""

import sys
from typing import Any

import pytest
import torch
from xdist.scheduler import LoadScopeScheduling

from attnbench.registry import REGISTRIES

# With several test processes (`pytest --numprocesses 2`), one of them runs these files, one after the other, and starts
# with them. They start Ray, or kill processes at work: run at the same time, they would exceed their time limits, and
# some check which processes of Ray run on this machine. This is not done with @pytest.mark.xdist_group because
# pytest-xdist 3.8 ignores it under pytest 9.2.
ONE_AFTER_THE_OTHER = {
    "tests/cli/test_run.py",
    "tests/engines/test_engines.py",
    "tests/engines/test_ray.py",
    "tests/engines/test_ray_command.py",
    "tests/engines/test_ray_nodes.py",
    "tests/engines/test_working_folder.py",
    "tests/store/test_kills.py",
    "tests/test_resume.py",
}


def _file_of(test: str) -> str:
    return test.partition("::")[0]


class _ByFile(LoadScopeScheduling):
    """Gives a test process whole files, so that their module fixtures are made once."""

    def _split_scope(self, nodeid: str) -> str:
        return "one after the other" if _file_of(nodeid) in ONE_AFTER_THE_OTHER else _file_of(nodeid)


@pytest.hookimpl(optionalhook=True)  # with `-p no:xdist` there is no such hook
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Schedules the tests, whatever `--dist` says, in the order in which they were collected."""
    config.option.loadscopereorder = False
    return _ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts long files first: started last, they would keep one process busy after the others are done.

    After those above come the files of tests/ itself, several of which run the command as a user does.
    """

    def place(item: pytest.Item) -> tuple[bool, int]:
        file = _file_of(item.nodeid)
        return file not in ONE_AFTER_THE_OTHER, file.count("/")

    items.sort(key=place)


# The machine is shared, and small products gain nothing from more.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _forget_plugins():
    """Removes the parts that a test registers and the plugins that it loads, when it ends."""
    added = {kind: dict(registry._added) for kind, registry in REGISTRIES.items()}
    yield
    for kind, registry in REGISTRIES.items():
        registry._added.clear()
        registry._added.update(added[kind])
    for name in [name for name in sys.modules if name.startswith("attnbench_plugin_")]:
        del sys.modules[name]


@pytest.fixture(autouse=True)
def _no_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """The width of output must not depend on the terminal in which the tests are started."""
    monkeypatch.delenv("COLUMNS", raising=False)
