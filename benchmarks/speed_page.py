"""Writes what was measured as results/speed.md."""

from collections.abc import Callable
from statistics import median
from typing import Any

import gpu_page
import speed_peers_page

Figures = dict[str, Any]


def page(measured: Figures, on_gpu: Figures | None) -> str:
    """The page of the parts that were measured, and of what benchmarks/gpu.py measured."""
    lines = [
        "# How fast",
        "",
        "`python benchmarks/speed.py` (or `make bench`). Medians of what was repeated; each ratio is of two "
        "measurements in one run, on the machine that its section names.",
    ]
    for name, write in PARTS.items():
        if name in measured:
            lines += ["", *write(measured[name]), "", f"Measured on {measured[name]['on']}."]
    if "ours" in measured:
        lines += ["", *speed_peers_page.section(measured)]
    lines += ["", *gpu_page.section(on_gpu)] if on_gpu else ["", "On a GPU: not measured."]
    return "\n".join(lines) + "\n"


def _quickstart(f: Figures) -> list[str]:
    walls, plain_walls = f["walls"], f["plain walls"]
    ours, plain = (
        3600 * f[cells] / median(f[times]) for cells, times in (("cells", "walls"), ("plain cells", "plain walls"))
    )
    ratios = [f["cells"] / wall / (f["plain cells"] / other) for wall, other in zip(walls, plain_walls, strict=True)]
    return [
        "## quickstart.yaml",
        "",
        "The same cells, data, steps, validations and tests by attnbench (two workers, MLflow and pictures included) "
        "and by [the loop that a user would write](../benchmarks/plain_loop.py) (torch.nn.GRU and GRUCell, one seed "
        f"after the other, torch's default threads, nothing logged). In turn, {len(walls)} times; the plain loop "
        "trained one seed of each combination, attnbench all.",
        "",
        "| | cells | wall time | spread | cells per hour | mean exact match |",
        "|---|---:|---:|---:|---:|---:|",
        f"| attnbench | {f['cells']} | {median(walls):.0f} s | {min(walls):.0f}–{max(walls):.0f} | {ours:,.0f} "
        f"| {f['exact match']:.3f} |",
        f"| plain loop | {f['plain cells']} | {median(plain_walls):.0f} s | {min(plain_walls):.0f}–"
        f"{max(plain_walls):.0f} | {plain:,.0f} | {f['plain exact match']:.3f} |",
        "",
        f"That is {median(ratios):.1f} times the cells per hour ({min(ratios):.1f} to {max(ratios):.1f}).",
    ]


PHASES = ("training steps", "validation", "test", "preparing")


def _profile(f: Figures) -> list[str]:
    shown = {"before": f["before"], "now": f} if "before" in f else {"now": f}
    rows = {
        "wall time": [one["wall"] for one in shown.values()],
        "until the first pack trains": [one["until the first pack trains"] for one in shown.values()],
        **{
            f"{name}, of both workers": [one["phases, of all workers"][name] for one in shown.values()]
            for name in PHASES
        },
        "of the test: counting operations": [
            one["phases, of all workers"]["counting operations"] for one in shown.values()
        ],
        "a worker without a pack at the end": [one["idle at the end, of all workers"] for one in shown.values()],
        "MLflow and pictures, processor time beside the workers": [
            one["logging to MLflow, processor time"] for one in shown.values()
        ],
        "after the last pack: end of MLflow, tables": [one["after the last pack"] for one in shown.values()],
    }
    return [
        "## Where quickstart's time goes",
        "",
        "Seconds of one run with MLflow, two workers on two cores (`python benchmarks/speed_profile.py`)."
        + (f" Before: commit {f['before']['commit']}." if "before" in f else ""),
        "",
        f"| | {' | '.join(shown)} |",
        f"|---|{'---:|' * len(shown)}",
        *(f"| {name} | {' | '.join(f'{value:.1f}' for value in values)} |" for name, values in rows.items()),
    ]


def _start(f: Figures) -> list[str]:
    times = {name: walls for name, walls in f.items() if isinstance(walls, list)}
    rows = [f"| {name} | {median(walls):.1f} s | {min(walls):.1f}–{max(walls):.1f} |" for name, walls in times.items()]
    return [
        "## 72 cells that train for one step each",
        "",
        "The whole command, from its start to the printed tables, MLflow included.",
        "",
        "| tests | wall time | of three |",
        "|---|---:|---:|",
        *rows,
    ]


def _workers(f: Figures) -> list[str]:
    one, two = (median(f["walls"][number]) for number in ("1", "2"))
    return [
        "## Two workers",
        "",
        f"Half of quickstart with 250 steps, twice: {one:.1f} s on one worker, {two:.1f} s on two, start and tables "
        f"included: {f['ratio']:.2f} times as fast.",
    ]


def _arithmetic(f: Figures) -> list[str]:
    rows = [
        f"| {replicas} | {1000 * one['seconds']:.1f} ms | {one['of the equations'] / 1e6:,.0f} million | "
        f"{100 * one['share of the equations']:.0f} % | {one['operations'] / 1e6:,.0f} million | "
        f"{100 * one['share']:.0f} % |"
        for replicas, one in f.items()
        if isinstance(one, dict)
    ]
    top = max(one["peak"] for one in f.values() if isinstance(one, dict))
    return [
        "## Arithmetic",
        "",
        "A training step of the default cell (GRU, width 64, additive, length 10) at batch 64 on one core, as a share "
        f"of what a product of two 1024 × 1024 matrices reaches on that core ({top / 1e9:.0f} GFLOP/s): the operations "
        "of the equations, every product of every word; and the matrix products that are computed, which are fewer, as "
        "each word of the vocabulary is projected once a batch, and thin products are elementwise work, which counts "
        "as nothing.",
        "",
        "| seeds side by side | step | of the equations | share | products computed | share |",
        "|---:|---:|---:|---:|---:|---:|",
        *rows,
    ]


def _cost(f: Figures) -> list[str]:
    lines = [
        "## Cost against size",
        "",
        "Milliseconds of a training step on one core, and the most memory of the process in MB; what is not named is "
        "at its default (GRU, width 64, additive, batch 32, three seeds, copy of 10 words; scope self for transformer "
        "and lstmn).",
    ]
    for axis, values in f["axes"].items():
        lines += ["", f"| {axis} | {' | '.join(values)} |", f"|---|{'---:|' * len(values)}"]
        lines += [f"| ms | {' | '.join(_number(v, 'milliseconds') for v in values.values())} |"]
        lines += [f"| MB | {' | '.join(_number(v, 'megabytes') for v in values.values())} |"]
    for kind, rows in f["crossed"].items():
        columns = list(next(iter(rows.values())))
        for unit, name in (("ms", "milliseconds"), ("MB", "megabytes")):
            lines += ["", f"| {kind}, {unit} | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
            lines += [
                f"| {row} | {' | '.join(_number(v, name) for v in cells.values())} |" for row, cells in rows.items()
            ]
    return [*lines, "", f["note"]] if "note" in f else lines


def _memory(f: Figures) -> list[str]:
    lines = [
        "## Memory against length",
        "",
        "The most memory of a process in MB after one training step, torch itself included (some 280 MB); "
        "seeds × words. What is not named is at its default, as above. With 400 words, the median of three processes: "
        "the allocator's share differs from one to the next.",
    ]
    for kind in ("score", "model"):
        columns = list(next(iter(f[kind].values())))
        lines += ["", f"| {kind} | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
        lines += [
            f"| {name} | {' | '.join(_number(value, 'megabytes') for value in sizes.values())} |"
            for name, sizes in f[kind].items()
        ]
    return lines


def _parts(f: Figures) -> list[str]:
    sizes = {label: one for label, one in f.items() if isinstance(one, dict)}
    names = list(next(iter(sizes.values()))["ratios"])
    baseline = " | ".join(f"{one['milliseconds']:,.0f} ms" for one in sizes.values())
    ratios = {name: [f"{one['ratios'][name]:.2f}×" for one in sizes.values()] for name in names}
    rows = [f"| {name} | {' | '.join(of_sizes)} |" for name, of_sizes in ratios.items()]
    return [
        "## Normalisers, and attention that depends on the previous step",
        "",
        "The time of a training step, as a multiple of that with additive, softmax and the scope global (first row; "
        "GRU, batch 32, three seeds, copy). The parts took their steps in turn, on one core; medians of at least "
        f"{min(one['steps'] for one in sizes.values())} steps.",
        "",
        f"| | {' | '.join(sizes)} |",
        f"|---|{'---:|' * len(sizes)}",
        f"| additive, softmax | {baseline} |",
        *rows,
    ]


def _number(value: Figures | str, name: str) -> str:
    return value if isinstance(value, str) else f"{value[name]:,.0f}"


PARTS: dict[str, Callable[[Figures], list[str]]] = {
    "quickstart": _quickstart,
    "profile": _profile,
    "start": _start,
    "workers": _workers,
    "arithmetic": _arithmetic,
    "cost": _cost,
    "memory": _memory,
    "parts": _parts,
}
