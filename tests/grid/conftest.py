"""Grid files in a folder of their own, and registries that forget what a test's plugin added."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from attnbench.errors import AttnbenchError, Problem
from attnbench.grid.expand import expand
from attnbench.grid.load import load_grid
from attnbench.grid.plan import Plan
from attnbench.registry import REGISTRIES

SMALL = "name: g\nseeds: 1\ngrid: {score: [dot], task: [copy]}\n"


@pytest.fixture(autouse=True)
def _forget_plugins() -> Iterator[None]:
    before = {kind: dict(registry._added) for kind, registry in REGISTRIES.items()}
    yield
    for kind, registry in REGISTRIES.items():
        registry._added = before[kind]


Plans = Callable[..., Plan]
Complaints = Callable[..., list[Problem]]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a grid file."""

    def write(text: str) -> Path:
        path = tmp_path / "grid.yaml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def plan(write: Callable[[str], Path]) -> Plans:
    """The plan of a grid's text."""
    return lambda text, *overrides: expand(load_grid(write(text), overrides))


@pytest.fixture
def complaints(write: Callable[[str], Path]) -> Complaints:
    """The problems of a grid's text."""

    def complaints(text: str, *overrides: str) -> list[Problem]:
        path = write(text)
        with pytest.raises(AttnbenchError) as caught:
            expand(load_grid(path, overrides))
        return list(caught.value.problems)

    return complaints
