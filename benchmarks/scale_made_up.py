"""Plans a grid of up to 1,000,000 cells, makes up its results, and measures what is read again: time and memory.

    python benchmarks/scale_made_up.py [CELLS]

Each step is a process of its own, so that its memory is its own. The made-up results have curves but no alignments,
which are not read by these steps. A run itself is measured by benchmarks/scale.py.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import scale

from attnbench.fingerprint import fingerprint
from attnbench.grid.expand import expand
from attnbench.grid.load import load_grid
from attnbench.grid.packs import Composition, packs
from attnbench.outcome import Outcome
from attnbench.store.record import record_of
from attnbench.store.status import states_of
from attnbench.store.store import Store

CELLS = 1_000_000
UNIT = 10_000


def plan(grid: Path, results: Path) -> int:
    """Expands the grid and writes its plan, as a run does before it trains."""
    found = expand(load_grid(grid))
    together = [Composition.of(pack) for pack in packs(found.cells)]
    code = {cell.id: fingerprint(cell.cell) for cell in found.cells}
    Store(results / "large").start(found, grid.read_text(), together, code)
    return len(found.cells)


def make_up(grid: Path, results: Path) -> int:
    """Writes a file per cell, and the index; without waiting for the disk, as a run does for each pack."""
    found, store = expand(load_grid(grid)), Store(results / "large")
    planned = {cell.id: cell for cell in found.cells}
    for pack in packs(found.cells):
        code, together, records = fingerprint(pack.cell), Composition.of(pack), []
        for id_, seed in zip(pack.ids, pack.seeds, strict=True):
            outcome = Outcome(id_, "done", seed, scale.RESULT, scale.HISTORY)
            records.append(record_of(outcome, planned[id_], code, None, together))
            (store.folder / "cells" / f"{id_}.json").write_text(json.dumps(records[-1], indent=1, ensure_ascii=False))
        store._index.add(records)
    return len(planned)


def resume(grid: Path, results: Path) -> int:
    """Finds that all cells are done."""
    found = expand(load_grid(grid))
    states = states_of(found.cells, Store(results / "large"))
    assert {state.name for state in states.values()} == {"done"}
    return len(states)


def run_again(grid: Path, results: Path) -> int:
    """The same command again, with nothing to train: it resumes, and writes the plan and the table."""
    return scale.run(grid, results)


def table(grid: Path, results: Path) -> int:
    """The rows of all cells, as `attnbench table` reads them."""
    del grid
    return len(Store(results / "large").frame())


STEPS: dict[str, Callable[[Path, Path], int]] = {
    "plan": plan, "make up": make_up, "resume": resume, "table": table, "run again": run_again,
}  # fmt: skip


def measure(cells: int) -> dict[str, dict[str, float]]:
    """Seconds per 10,000 cells, and megabytes, of each step."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        scale.grid_of(Path(folder), cells)
        for name in STEPS:
            command = [sys.executable, __file__, "step", name, folder]
            printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=dict(os.environ))
            found[name] = json.loads(printed.stdout.splitlines()[-1])
            print(cells, name, found[name], file=sys.stderr, flush=True)
    return found


def step(name: str, folder: Path) -> None:
    """Measures one step in this process, and prints it."""
    begun = time.perf_counter()
    cells = STEPS[name](folder / "large.yaml", folder / "results")
    seconds = time.perf_counter() - begun
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000  # the process that started it is small
    print(json.dumps({"seconds": seconds, "seconds per 10,000": seconds * UNIT / cells, "megabytes": megabytes}))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    if sys.argv[1:2] == ["step"]:
        step(sys.argv[2], Path(sys.argv[3]))
    else:
        print(json.dumps(measure(int(sys.argv[1]) if sys.argv[1:] else CELLS), indent=1))
