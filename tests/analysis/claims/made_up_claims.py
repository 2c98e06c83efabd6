"""A made-up run of a grid with claims: the accuracy of each cell is a function of its labels."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from made_up_run import failed, outcome, plan, write_run

from attnbench.store.store import Store

GRID = """\
name: made-up
seeds: {seeds}
grid:
  score: [dot, additive]
  task: [copy, reverse]
  model.width: [16, 128]
data: {{test_lengths: [9, 20]}}
claims:
{claims}
"""
A, B = "{score: additive}", "{score: dot}"
WHERE = "{task: copy, model.width: 16}"


def claim(*parts: str, says: str = "so it is", source: str = "ours") -> str:
    """A claim in YAML."""
    listed = "".join(f"      - {part}\n" for part in parts)
    return f"  - says: {says}\n    source: {source}\n    parts:\n{listed}"


def run_with(
    folder: Path,
    claims: Iterable[str],
    accuracy: Callable[[dict[str, Any]], float | None],
    seeds: int = 12,
    without: Callable[[dict[str, Any]], bool] = lambda _: False,
    metric: str = "exact_match",
) -> Store:
    """A run whose cells have this accuracy; None for one that failed; cells for which `without` holds are missing."""
    text = GRID.format(seeds=seeds, claims="".join(claims))
    made = plan(score=["dot", "additive"], task=["copy", "reverse"], model__width=[16, 128], seed=range(seeds))
    outcomes = []
    for cell in made.cells:
        if not without(cell.labels):
            value = accuracy(cell.labels)
            outcomes.append(failed(cell) if value is None else outcome(cell, **{metric: value}))
    store = write_run(folder, made, outcomes)
    (store.folder / "grid.yaml").write_text(text)
    return store
