"""A grid of very many cells, without training them: what it costs to expand, finish, resume and tabulate it.

    python benchmarks/scale.py [CELLS]

The outcomes are made up, of the size that real ones have, and go the way real ones go: through `attnbench.run` with a
training that takes no time. Each step is a process of its own, whose time and peak memory are those of the command.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

CELLS = 100_000
SEEDS, COMBINATIONS = 10, 100  # of a learning rate: 5 scores, 4 tasks, 5 widths
PART = 10_000  # cells, of which the time is told
WAITED = 200  # cells that are written with fsync
SENTENCES, LENGTH, VALIDATIONS = 8, 10, 8
MEASURED = ("exact_match", "token_accuracy", "loss", "aer", "alignment_mass", "alignment_entropy")
GRID = """
name: scale
seeds: {seeds}
grid:
  score: [additive, general, dot, scaled_dot, cosine]
  task: [copy, reverse, sort, translate]
  model.width: [32, 48, 64, 96, 128]
  train.learning_rate: [{rates}]
data: {{test_lengths: [10, 20]}}
"""


def write_grid(folder: Path, cells: int) -> Path:
    """The grid file; `cells` is rounded up to whole thousands, for the learning rates are what it has more of."""
    rates = ", ".join(f"{0.001 + 0.0001 * n:.4f}" for n in range(-(-cells // (SEEDS * COMBINATIONS))))
    file = folder / "scale.yaml"
    file.write_text(GRID.format(seeds=SEEDS, rates=rates))
    return file


def train(pack: Any, device: str, report: Callable[[Any], None]) -> list[Any]:  # noqa: ARG001
    """What the engine calls in place of training: outcomes of the usual size, at once, the same for the same cell."""
    import numpy as np

    from attnbench.outcome import METRICS, Outcome, Progress

    outcomes = []
    for cell, seed in zip(pack.ids, pack.seeds, strict=True):
        draw = np.random.default_rng(zlib.crc32(cell.encode()))
        names = [*METRICS[:-1], *(f"{name}@{length}" for name in MEASURED for length in (10, 20))]
        metrics: dict[str, float | None] = {name: float(draw.random()) for name in names}
        metrics |= {"bleu": None, "steps_to_95": 400, "parameters": 155707, "seconds": 5.2}
        history = [
            {"step": 100.0 * (n + 1), "train/loss": draw.random(), "seconds": 0.6 * n}
            | {f"valid/{name}": draw.random() for name in MEASURED[:4]}
            for n in range(VALIDATIONS)
        ]
        report(Progress(pack.ids[0], 100, pack.cell.train.steps, 0.5, 0.5))
        outcomes.append(Outcome(cell, "done", seed, metrics, history, None, _alignments(seed), {"torch": "2.13.0"}))
    return outcomes


@lru_cache
def _alignments(seed: int) -> Any:
    import numpy as np

    from attnbench.outcome import Alignments

    words = [[f"s{n}" for n in range(LENGTH)] + ["</s>"]] * SENTENCES
    shape = (SENTENCES, LENGTH + 1, LENGTH + 1)
    weights = np.random.default_rng(seed).random(shape).astype(np.float32)
    links, steps = np.broadcast_to(np.eye(LENGTH + 1, dtype=bool), shape), 100 * np.arange(1, VALIDATIONS + 1)
    return Alignments(words, words, weights, links, words[0], words[0], links[0], weights, steps)


def finish(grid: Path, results: Path) -> dict[str, Any]:
    """Finishes every cell as a run does, but for waiting for the disk; gives the seconds of every PART of the cells.

    The live view's standing and lines are part of it. What waiting costs depends on the disk alone, and has its own
    figure.
    """
    from rich.console import Console

    from attnbench import runner
    from attnbench.cli.live import PlainView
    from attnbench.engines.base import Finished
    from attnbench.engines.serial import SerialEngine

    times, ended = [time.perf_counter()], 0
    os.fsync = lambda _: None
    runner.ENGINES["serial"] = partial(SerialEngine, train="scale:train")  # type: ignore[assignment]
    with Path(os.devnull).open("w") as nowhere:
        view = PlainView(Console(file=nowhere))

        def listen(event: Any) -> None:
            nonlocal ended
            view(event)
            if isinstance(event, runner.Planned):
                times.append(time.perf_counter())
            if isinstance(event, Finished):
                ended += len(event.outcomes)
                if ended % PART == 0:
                    times.append(time.perf_counter())

        frame = runner.run(grid, results=results, engine="serial", mlflow=False, listener=listen)
    times.append(time.perf_counter())
    spans = [after - before for before, after in zip(times, times[1:], strict=False)]
    return {"before": spans[0], "parts": spans[1:-1], "after": spans[-1], "rows": len(frame)}


def resume(grid: Path, results: Path) -> dict[str, Any]:
    """The scan that a run begins with, once the grid is expanded."""
    from attnbench.grid.expand import expand
    from attnbench.grid.load import load_grid
    from attnbench.states import states_of
    from attnbench.store import Store

    plan = expand(load_grid(grid))
    start, busy = time.perf_counter(), time.process_time()
    states = states_of(plan.cells, Store(results / plan.name))
    found = {"scan": time.perf_counter() - start, "scan_busy": time.process_time() - busy}
    return found | {"done": sum(state.name == "done" for state in states.values())}


def write_table(grid: Path, results: Path) -> dict[str, Any]:  # noqa: ARG001
    """Reads all cells and writes table.csv."""
    from attnbench.store import Store

    store = Store(results / "scale")
    store.write_table()
    return {"bytes": (store.folder / "table.csv").stat().st_size}


def fsync(grid: Path, results: Path) -> dict[str, Any]:
    """Milliseconds that the disk is waited for, per cell: two files of 6 kB, as `files.write_atomically` does it."""
    from attnbench.files import write_atomically

    del grid
    start = time.perf_counter()
    for n in range(2 * WAITED):
        write_atomically(results / f"{n}.waited", "x" * 6000)
    waited = time.perf_counter() - start
    for n in range(2 * WAITED):
        (results / f"{n}.waited").unlink()
    return {"per_cell": 1000 * waited / WAITED}


STEPS = {"finish": finish, "resume": resume, "write_table": write_table, "fsync": fsync}
COMMANDS = {
    "expand": ["expand", "{grid}", "--results", "{results}"],
    "expand csv": ["expand", "{grid}", "--results", "{results}", "--format", "csv"],
    "table": ["table", "scale", "--results", "{results}"],
    "table csv": ["table", "scale", "--results", "{results}", "--format", "csv"],
    "compare": ["compare", "scale", "--results", "{results}"],
    "baseline": ["baseline", "scale", "--results", "{results}", "-o", "{results}/baseline.csv"],
    "check": ["check", "scale", "--results", "{results}", "--baseline", "{results}/baseline.csv"],
}


def measure(cells: int, folder: Path | None = None) -> dict[str, dict[str, Any]]:
    """Figures of each step, by its name.

    Args:
        cells: of the grid, rounded up to thousands.
        folder: where it is made, and stays; a temporary one unless given.

    Returns:
        Of each step: seconds on the wall, busy (seconds of processor time), megabytes at its peak, and what it says
        itself. `expand before` is the grid before anything is done.
    """
    if folder is None:
        with tempfile.TemporaryDirectory() as temporary:
            return measure(cells, Path(temporary))
    folder.mkdir(parents=True, exist_ok=True)
    grid, results = write_grid(folder, cells), folder / "results"
    results.mkdir(exist_ok=True)
    names = {"grid": str(grid), "results": str(results)}
    commands = {name: [word.format(**names) for word in words] for name, words in COMMANDS.items()}
    found = {"expand before": _attnbench(commands["expand"])}
    found |= {name: _run([__file__, "--step", name, str(grid), str(results)], says=True) for name in STEPS}
    return found | {name: _attnbench(words) for name, words in commands.items()}


def _attnbench(words: list[str]) -> dict[str, Any]:
    return _run(["-m", "attnbench", *words], says=False)


def _run(words: list[str], says: bool) -> dict[str, Any]:
    """Runs a process of its own; `says`: whether its last line of output is JSON."""
    start = time.perf_counter()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen([sys.executable, *words], stdout=out)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - start
        out.seek(0)
        text = out.read().decode()
    if process.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {process.returncode}")
    found = {"seconds": seconds, "busy": used.ru_utime + used.ru_stime, "megabytes": used.ru_maxrss / 1000}
    return found | (json.loads(text.splitlines()[-1]) if says else {})


def report(cells: int, found: dict[str, dict[str, Any]]) -> str:
    """The figures as lines to read."""
    lines = [f"{cells:,} cells", "", f"{'step':14} {'seconds':>8} {'busy':>8} {'MB':>7}"]
    for name, of in found.items():
        lines.append(f"{name:14} {of['seconds']:8.1f} {of['busy']:8.1f} {of['megabytes']:7.0f}")
    finishing, scan = found["finish"], found["resume"]
    lines += [
        "",
        f"seconds for each {PART:,} cells while they are finished: {' '.join(f'{s:.1f}' for s in finishing['parts'])}",
        f"before the first {finishing['before']:.1f} s, after the last {finishing['after']:.1f} s",
        f"the scan of {scan['done']:,} finished cells: {scan['scan']:.1f} s ({scan['scan_busy']:.1f} s busy)",
        f"waiting for the disk, left out above: {found['fsync']['per_cell']:.1f} ms per cell",
    ]
    return "\n".join(lines)


def main() -> None:
    """Prints the figures; or, with --step, what one step says of itself."""
    if sys.argv[1:2] == ["--step"]:
        sys.path.insert(0, str(Path(__file__).parent))
        name, grid, results = sys.argv[2:]
        print(json.dumps(STEPS[name](Path(grid), Path(results))))
        return
    cells = int(sys.argv[1]) if len(sys.argv) > 1 else CELLS
    print(report(cells, measure(cells)))


if __name__ == "__main__":
    main()
