"""What every engine does with a pack, and the events that tell of it."""

import os
import sysconfig
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

from attnbench.cell import Pack
from attnbench.errors import AttnbenchError, fail
from attnbench.outcome import Outcome, Progress
from attnbench.plugins import load_entry_points, load_plugin
from attnbench.registry import REGISTRIES

Report = Callable[[Progress], None]
Train = Callable[[Pack, str, Report], list[Outcome]]

# The training that every engine runs, by name: a worker imports it, and torch with it; the driver never does.
TRAIN = "attnbench.training.train:train"
DEVICES = ("auto", "cpu", "cuda")
NVIDIA = Path("/dev/nvidiactl")

# Where other people's code stands; attnbench itself may be installed there too.
PACKAGE = str(Path(__file__).parents[1])
LIBRARIES = ("<frozen", *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")))


@dataclass(frozen=True)
class Started:
    """A worker took up a pack."""

    pack: Pack


@dataclass(frozen=True)
class Finished:
    """A pack ended: one outcome per cell, in the order of its ids."""

    pack: Pack
    outcomes: list[Outcome]


Event = Started | Progress | Finished


class Engine(Protocol):
    """Trains packs, each to its end or its time limit, and tells of it; a pack that fails takes no other with it."""

    workers: int

    def __init__(self, workers: int, device: str, train: str = TRAIN) -> None:
        """Takes what is asked for; `workers` is then how many packs are trained at a time."""

    def prepare(self) -> None:
        """Makes sure that the device is there.

        Raises:
            AttnbenchError: when the device that was asked for is absent, or no worker can be started.
        """

    def run(self, packs: Sequence[Pack], report: Report) -> Iterator[Started | Finished]:
        """Trains these packs: a Started and a Finished for each, as they happen; `report` hears of the steps between.

        Raises:
            AttnbenchError: when no worker can be started.
        """

    def close(self) -> None:
        """Stops what still runs, without waiting for it to finish."""


def attempt(pack: Pack, device: str, train: str, report: Report) -> list[Outcome]:
    """The outcomes of a pack; whatever is raised on the way makes all its cells failed ones, with the reason."""
    try:
        for plugin in pack.plugins:
            load_plugin(plugin)
        if not all(part.name in REGISTRIES[kind] for kind, part in pack.cell.components().items()):
            load_entry_points()  # an installed package that this pack has no part of may be broken
        return _train_function(train)(pack, resolve_device(device), report)
    except AttnbenchError as error:
        return failed(pack, str(error))
    except (Exception, SystemExit) as error:
        return failed(pack, reason(error))


def _train_function(path: str) -> Train:
    module, name = path.split(":")
    function: Train = getattr(import_module(module), name)
    return function


class Seeded(Protocol):
    """What has cells: a pack, or an order to train one."""

    @property
    def ids(self) -> tuple[str, ...]: ...
    @property
    def seeds(self) -> tuple[int, ...]: ...


def failed(pack: Seeded, why: str) -> list[Outcome]:
    """One failed outcome per cell of the pack."""
    why = why.encode(errors="replace").decode()  # a name of a file may have what no text file can hold
    return [Outcome(cell, "failed", seed, error=why) for cell, seed in zip(pack.ids, pack.seeds, strict=True)]


def time_limit(pack: Pack) -> float | None:
    """The seconds that a pack may take, all its cells together; None for any number."""
    per_cell = pack.cell.train.timeout
    return None if per_cell is None else per_cell * len(pack.ids)


def too_long(pack: Pack) -> str:
    """Why a pack was stopped."""
    seeds = len(pack.ids)
    together = f" for each of {seeds} seeds" if seeds > 1 else ""
    return f"stopped: it took longer than train.timeout, {pack.cell.train.timeout:g} s{together}"


def reason(error: BaseException) -> str:
    """The exception in one line: its type, its message, and the innermost line of attnbench's or a plugin's code."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if f.filename.startswith(PACKAGE) or not f.filename.startswith(LIBRARIES)]
    place = f" ({Path(ours[-1].filename).name}, line {ours[-1].lineno})" if ours else ""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}{place}" if message else f"{type(error).__name__}{place}"


def resolve_device(device: str) -> str:
    """ "auto" is a GPU where torch finds one, else the CPU.

    Raises:
        AttnbenchError: when a GPU is asked for and there is none.
    """
    if device == "cpu":
        return device
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "auto":
        return "cpu"
    raise fail("--device cuda: torch finds no GPU here", hint="use --device cpu, or --device auto")


def may_use_gpu(device: str) -> bool:
    """Whether workers are likely to train on a GPU, told without torch: by what the driver of NVIDIA's leaves here."""
    return device == "cuda" or (device == "auto" and NVIDIA.exists())


def available_cores() -> int:
    """The cores that this process may use: its affinity, and the share that a container grants."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = Path("/sys/fs/cgroup/cpu.max")
    share, period = quota.read_text().split() if quota.is_file() else ("max", "1")
    return cores if share == "max" else max(1, min(cores, round(int(share) / int(period))))
