"""What a GPU does with attnbench: correctness, and the speed of stacked seeds; writes results/gpu.json.

    python benchmarks/gpu.py [--device cpu] [--reduced] [--out FILE] [PART ...]

Parts: card, correctness, steps, packs, command, compiled; all unless some are named. All take at most eight minutes on
one GPU. It needs PyTorch and what `make gpu-wheels` brings to a machine without a package registry. `--reduced` is for
a test of this script on a CPU; its figures mean nothing. `python benchmarks/speed.py page` writes results/speed.md.
"""

import argparse
import json
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from attnbench.cell import Cell, Component, Data, Pack, Train  # noqa: E402
from attnbench.registry import REGISTRIES  # noqa: E402
from attnbench.tasks.base import source_positions  # noqa: E402
from attnbench.tasks.build import build_task  # noqa: E402
from attnbench.training import step  # noqa: E402
from attnbench.training.batches import Batch  # noqa: E402
from attnbench.training.build import build_model  # noqa: E402
from attnbench.training.stack import Stack  # noqa: E402
from attnbench.training.train import Training  # noqa: E402

Figures = dict[str, Any]
Parts = Iterator[tuple[str, Any]]  # the figures of a part, each as soon as it has been measured
QUICKSTART = ROOT / "experiments" / "quickstart.yaml"


@dataclass(frozen=True)
class Scale:
    """The sizes of a measurement."""

    device: torch.device
    seeds: tuple[int, ...] = (1, 8, 64, 512)
    widths: tuple[int, ...] = (256, 1024)
    matrix: int = 8192
    step_seconds: float = 1.5
    steps: int = 400
    examples: int = 500
    combinations: int | None = None
    command_seeds: int = 64
    workers: int = 8
    patience: float = 120.0  # of compiling


def reduced(device: torch.device) -> Scale:
    """Sizes with which every part runs in seconds on a CPU."""
    return Scale(device, (1, 2), (16,), 64, 0.0, 2, 6, 2, 1, 1, 120.0)


def card(scale: Scale) -> Parts:
    """The card, and its rates: matrix products of each precision, and copies in its memory."""
    size = scale.matrix
    yield "torch", torch.__version__
    yield "python", sys.version.split()[0]
    yield "date", time.strftime("%Y-%m-%d")
    yield "commit", _commit()
    if scale.device.type == "cuda":
        yield "name", torch.cuda.get_device_name(scale.device)
    for name, dtype, precision in (
        ("float32", torch.float32, "highest"),
        ("tf32", torch.float32, "high"),
        ("bfloat16", torch.bfloat16, "high"),
    ):
        with step.matrix_products(scale.device, precision):
            a, b = (torch.randn(size, size, device=scale.device, dtype=dtype) for _ in range(2))
            yield name, 2 * size**3 / seconds_of(lambda a=a, b=b: a @ b, scale)
    block = torch.randn(size, size, device=scale.device)
    copy = torch.empty_like(block)
    yield "bytes per second", 2 * block.nbytes / seconds_of(lambda: copy.copy_(block), scale)


def _commit() -> str:
    """The commit of the code; "unknown" where the tree was copied without its repository."""
    line = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def synchronise(scale: Scale) -> None:
    """Waits for the GPU."""
    if scale.device.type == "cuda":
        torch.cuda.synchronize()


def seconds_of(function: Callable[[], Any], scale: Scale, warm: int = 3) -> float:
    """The median time of a call, each waited for; of 5 to 200."""
    for _ in range(warm):
        function()
    synchronise(scale)
    times: list[float] = []
    end = time.perf_counter() + scale.step_seconds
    while len(times) < 5 or (time.perf_counter() < end and len(times) < 200):
        begun = time.perf_counter()
        function()
        synchronise(scale)
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def correctness(scale: Scale) -> Parts:
    """Every score, scope, normaliser and model: the GPU against float64 on the CPU, and graphs against single kernels.

    Each figure is ‖found − expected‖/‖expected‖ over the gradients of all parameters, or over the weights after steps.
    """
    from company import COMBINATIONS

    with multiprocessing.get_context("spawn").Pool(scale.workers) as pool:
        yield from pool.imap_unordered(partial(_tried, scale=scale), COMBINATIONS[: scale.combinations])


def _tried(combination: Any, scale: Scale) -> tuple[str, Figures]:
    torch.set_num_threads(1)
    kind, score, scope, normaliser, options = combination
    name = " ".join([kind, score, scope, normaliser, *options.values()])
    try:
        return name, _compared(combination, scale)
    except Exception as error:
        return name, {"error": f"{type(error).__name__}: {error}"[:300]}


def _compared(combination: Any, scale: Scale) -> Figures:
    from company import task_of
    from small_packs import DATA, pack

    kind, score, scope, normaliser, options = combination
    data = DATA.model_copy(update={"min_length": 5})  # one length: one graph
    of_scope = dict(options)
    described = pack(
        (3, 4, 5), score, scope, task_of(kind), data, kind=kind, normaliser=normaliser, scope_options=of_scope
    )
    cell, cpu = described.cell, torch.device("cpu")
    task = build_task(cell.task, data)

    def stack(dtype: torch.dtype, device: torch.device) -> Stack:
        return Stack(
            lambda seed: build_model(cell, task, source_positions(task, 5), seed).to(dtype), described.seeds, device
        )

    batch = Training(described, cpu, lambda _: None).next_batch()
    exact = batch._replace(source=batch.source.double()) if batch.source.is_floating_point() else batch
    expected = gradients(stack(torch.float64, cpu), exact)
    moved = Batch(*(tensor.to(scale.device) for tensor in batch))
    figures = {}
    for name, precision in (("float32", "highest"), ("tf32", "high")):
        with step.matrix_products(scale.device, precision):
            figures[name] = relative(gradients(stack(torch.float32, scale.device), moved), expected)
    return figures | _replayed(described, scale)


def _replayed(described: Pack, scale: Scale) -> Figures:
    """Four steps of training, of which graphs replay three, against four without; and why there was no graph."""
    remarks: list[str] = []

    def trained(graphs: bool) -> Training:
        training = Training(described, scale.device, lambda p: remarks.append(p.note) if p.note else None)
        if not graphs:
            training.taking.graphs = None
        for _ in range(4):
            training._step()
        return training

    with_graphs, without = trained(True), trained(False)
    found = {"graphs": relative(list(with_graphs.stack.state().values()), list(without.stack.state().values()))}
    return found | ({"remark": remarks[0]} if remarks else {})


def gradients(stack: Stack, batch: Batch) -> list[Tensor]:
    """The gradients of all parameters on a batch, those without one left out."""
    objective, _ = stack.loss(batch)
    found = torch.autograd.grad(objective.sum(), list(stack.parameters.values()), allow_unused=True)
    return [gradient for gradient in found if gradient is not None]


def relative(found: list[Tensor], expected: list[Tensor]) -> float:
    """‖found − expected‖/‖expected‖ over all tensors."""
    a, b = (torch.cat([t.detach().double().cpu().flatten() for t in tensors]) for tensors in (found, expected))
    return float((a - b).norm() / b.norm())


def training_of(
    scale: Scale,
    seeds: int,
    task: str = "copy",
    length: int | None = None,
    width: int | None = None,
) -> Training:
    """A training of quickstart's cell with this many seeds; of one source length if given."""
    import yaml

    grid = yaml.safe_load(QUICKSTART.read_text(encoding="utf-8"))
    options = {name: value for name, value in grid["model"].items() if name != "kind"}
    options |= {} if width is None else {"width": width}
    few = {"validation_examples": min(200, scale.examples), "test_examples": scale.examples}
    lengths = {} if length is None else {"min_length": length, "max_length": length}
    data = grid["data"] | few | lengths
    cell = Cell(
        model=_component("model", grid["model"]["kind"], options),
        score=_component("score", "additive", {}),
        scope=_component("scope", "global", {}),
        task=_component("task", task, {}),
        data=Data(**(data | {"test_lengths": tuple(data["test_lengths"])})),
        train=Train(**(grid["train"] | {"steps": scale.steps})),
        seed=0,
    )
    pack = Pack(cell=cell, seeds=tuple(range(seeds)), ids=tuple(f"cell-{seed}" for seed in range(seeds)))
    return Training(pack, scale.device, lambda _: None)


def _component(kind: str, name: str, options: Figures) -> Component:
    return Component(name=name, options=REGISTRIES[kind].entry(name).resolve(options))


MODES = {
    "graphs": ("high", False, True),
    "graphs, float32": ("highest", False, True),
    "graphs, bfloat16": ("high", True, True),
    "single kernels": ("high", False, False),
}  # precision of matrix products, whether they are in bfloat16, and whether steps are captured


def steps(scale: Scale) -> Parts:
    """A training step of quickstart's additive on copy, at length 10, with each number of seeds, in each mode."""
    sizes: list[tuple[int, int | None]] = [(seeds, None) for seeds in scale.seeds]
    for seeds, width in [*sizes, *((8, width) for width in scale.widths)]:
        for name, mode in MODES.items():
            label = f"{seeds} seeds" + (f", width {width}" if width else "") + f", {name}"
            yield label, _step(scale, seeds, width, *mode)


def _step(scale: Scale, seeds: int, width: int | None, precision: str, half: bool, graphs: bool) -> Figures:
    on_gpu = scale.device.type == "cuda"
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    training = training_of(scale, seeds, length=10, width=width)
    if not graphs:
        training.taking.graphs = None
    with in_precision(training, precision, half):
        first, second = (_seconds(training._step, scale) for _ in range(2))
        # As in training: the next batch is made while the GPU computes.
        seconds = _in_a_row(training, scale)
        batch, rate = training.next_batch(), 0.001
        alone = seconds_of(lambda: training.taking.take(batch, rate), scale)
        kernels = _kernels(training, batch) if on_gpu and name_is_default(precision, half, graphs) else None
    flops = training.stack.flops(Batch(*(tensor[0] for tensor in batch))) * seeds
    return {
        "first": first,
        "second": second,
        "seconds": seconds,
        "seconds without data": alone,
        "words per second": batch.target.numel() / seconds,
        "flops": flops,
        "flops per second": flops / alone,
        "megabytes": torch.cuda.max_memory_allocated() / 1e6 if on_gpu else None,
        "kernels": kernels,
    }


def name_is_default(precision: str, half: bool, graphs: bool) -> bool:
    """Whether this is how attnbench trains."""
    return (precision, half, graphs) == MODES["graphs"]


@contextmanager
def in_precision(training: Training, precision: str, half: bool) -> Iterator[None]:
    """Trains with another precision than attnbench does."""
    kept, loss = step.PRECISION, training.stack.loss

    def in_half(batch: Batch) -> Any:
        with torch.autocast(batch.source.device.type, torch.bfloat16):
            return loss(batch)

    step.PRECISION = precision
    if half:
        training.stack.loss = in_half  # type: ignore[method-assign]
    try:
        yield
    finally:
        step.PRECISION = kept


def _seconds(function: Callable[[], Any], scale: Scale) -> float:
    begun = time.perf_counter()
    function()
    synchronise(scale)
    return time.perf_counter() - begun


def _in_a_row(training: Training, scale: Scale, count: int = 20) -> float:
    """Seconds per step of several in a row, the median of five rows."""
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        for _ in range(count if scale.step_seconds else 1):
            training._step()
        synchronise(scale)
        times.append((time.perf_counter() - begun) / (count if scale.step_seconds else 1))
    return statistics.median(times)


def _kernels(training: Training, batch: Batch) -> Figures:
    """The number of kernels of a step, and the time of those that take most of it, by name."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        training.taking.take(batch, 0.001)
        torch.cuda.synchronize()
    times: dict[str, list[float]] = {}
    for event in profiled.events():
        if event.device_type.name == "CUDA":
            times.setdefault(event.name[:110], []).append(event.device_time)
    longest = sorted(times, key=lambda name: -sum(times[name]))[:14]
    return {
        "number": sum(map(len, times.values())),
        "microseconds": sum(map(sum, times.values())),
        "longest": {name: [len(times[name]), sum(times[name])] for name in longest},
    }


def packs(scale: Scale) -> Parts:
    """Whole packs in one process: trained, validated and tested as quickstart's, on copy and translate."""
    for task, counts in (("copy", scale.seeds), ("translate", scale.seeds[-2:-1])):
        for seeds in counts:
            yield f"{seeds}, {task}", _pack(scale, seeds, task)


def _pack(scale: Scale, seeds: int, task: str) -> Figures:
    begun = time.perf_counter()
    training = training_of(scale, seeds, task=task)
    parts = {"building": time.perf_counter() - begun}
    # Of training, validation and the tests; greedy decoding and forced passes are parts of the last two.
    for owner, name in ((training, "_validate"), (training.stack, "greedy"), (training.stack, "forced")):
        setattr(owner, name, _timed(getattr(owner, name), name, parts, scale))
    outcomes = training.run()
    wall = time.perf_counter() - begun
    return {
        "seconds": wall,
        "models per hour": 3600 * seeds / wall,
        "exact match": statistics.mean(outcome.metrics.get("exact_match") or 0.0 for outcome in outcomes),
        "training": training.training_seconds,
        "parts": parts,
    }


def _timed(function: Callable[..., Any], name: str, parts: dict[str, float], scale: Scale) -> Callable[..., Any]:
    def timed(*arguments: Any) -> Any:
        begun = time.perf_counter()
        found = function(*arguments)
        synchronise(scale)
        parts[name] = parts.get(name, 0.0) + time.perf_counter() - begun
        return found

    return timed


def command(scale: Scale) -> Parts:
    """The command: quickstart with many seeds, without MLflow; start and tables included."""
    few = [f"train.steps={scale.steps}", f"data.test_examples={scale.examples}"]
    few += [f"data.validation_examples={min(200, scale.examples)}"]
    if scale.combinations:
        few += ["grid.task=[copy]", "grid.score=[dot]"]
    for workers in dict.fromkeys((scale.workers, max(1, scale.workers // 2))):
        with tempfile.TemporaryDirectory() as folder:
            line = [sys.executable, "-m", "attnbench", "run", str(QUICKSTART), "--results", folder, "--no-mlflow"]
            line += ["--device", scale.device.type, "--workers", str(workers)]
            for change in [f"seeds={scale.command_seeds}", *few]:
                line += ["--set", change]
            begun = time.perf_counter()
            ended = subprocess.run(line, capture_output=True, text=True, cwd=ROOT)
            wall = time.perf_counter() - begun
            table = Path(folder) / "quickstart" / "table.csv"
            rows = len(table.read_text(encoding="utf-8").splitlines()) - 1 if table.is_file() else 0
        ending = {"status": ended.returncode, "end": (ended.stdout + ended.stderr)[-1500:]} if ended.returncode else {}
        yield (
            f"{workers} workers",
            {"models": rows, "seconds": wall, "models per hour": 3600 * rows / wall, **ending},
        )


def compiled(scale: Scale) -> Parts:
    """A step compiled by torch.compile(mode="reduce-overhead"), in a process of its own that may take `patience`."""
    line = [sys.executable, __file__, "--device", scale.device.type, "compile-step"]
    if scale.combinations:
        line.insert(2, "--reduced")
    try:
        ended = subprocess.run(line, capture_output=True, text=True, timeout=scale.patience)
    except subprocess.TimeoutExpired:
        yield "error", f"not compiled after {scale.patience:.0f} s"
        return
    if ended.returncode:
        yield "error", ended.stderr[-600:]
        return
    yield from json.loads(ended.stdout.splitlines()[-1]).items()


def compile_step(scale: Scale) -> None:
    """Prints the figures of `compiled`."""
    training = training_of(scale, scale.seeds[-2], length=10)
    batch = training.next_batch()
    step = torch.compile(lambda *ids: training.stack.loss(Batch(*ids))[0].sum(), mode="reduce-overhead", dynamic=False)

    def take() -> None:
        training.adam.step(step(*batch), 0.001, 1.0)

    begun = time.perf_counter()
    take()
    synchronise(scale)
    first = time.perf_counter() - begun
    print(json.dumps({"compiling": first, "seconds without data": seconds_of(take, scale)}))


PARTS: dict[str, Callable[[Scale], Parts]] = {
    "card": card,
    "steps": steps,
    "packs": packs,
    "command": command,
    "correctness": correctness,
    "compiled": compiled,
}


def main() -> None:
    """Measures the parts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--reduced", action="store_true")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "gpu.json")
    parser.add_argument("parts", nargs="*")
    asked = parser.parse_args()
    device = torch.device(asked.device)
    scale = reduced(device) if asked.reduced else Scale(device)
    torch.set_num_threads(1)
    if asked.parts == ["compile-step"]:
        compile_step(scale)
        return
    measured: Figures = json.loads(asked.out.read_text()) if asked.out.is_file() else {}
    for name in asked.parts or PARTS:
        measured[name] = {}
        for label, figures in PARTS[name](scale):
            print(f"{name}, {label}: {figures}", flush=True)
            measured[name][label] = figures
            # At once: a lent machine may be taken back at any moment.
            asked.out.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
