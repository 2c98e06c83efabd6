"""What holds for every test."""

import sys

import pytest
import torch

from attnbench.registry import REGISTRIES

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
