"""The engine protocol, its events, and what all engines share: running a pack, time limits, devices, cores."""

import os
import sysconfig
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

from attnbench.cell import Pack
from attnbench.contained import contained
from attnbench.engines.inputs import check_data, checked_after_reading, load_code
from attnbench.errors import AttnbenchError, fail
from attnbench.messages import message_of, shortened
from attnbench.outcome import Outcome, Progress

Report = Callable[[Progress], None]
Train = Callable[[Pack, str, Report], list[Outcome]]

# The training function, by name: workers import it, and torch with it; the driver never imports torch.
TRAIN = "attnbench.training.train:train"
DEVICES = ("auto", "cpu", "cuda")
NVIDIA = Path("/dev/nvidiactl")  # created by NVIDIA's kernel driver

# Folders of third-party code. attnbench itself may be installed in one of them, so PACKAGE is checked first.
PACKAGE = str(Path(__file__).parents[1])
LIBRARIES = ("<frozen", *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")))


@dataclass(frozen=True)
class Started:
    """A worker has started to train a pack."""

    pack: Pack


@dataclass(frozen=True)
class Finished:
    """A pack has ended, with one outcome per cell in the order of its ids."""

    pack: Pack
    outcomes: list[Outcome]


class Engine(Protocol):
    """Trains packs and reports events; a pack that fails or exceeds its time limit does not affect the others."""

    workers: int

    def __init__(self, workers: int, device: str, train: str = TRAIN) -> None:
        """Stores the settings; the attribute `workers` is the number of packs trained at a time."""

    def prepare(self) -> None:
        """Starts the workers and checks that the device exists.

        Raises:
            AttnbenchError: if the requested device is absent, or no worker can be started.
        """

    def run(self, packs: Sequence[Pack], report: Report) -> Iterator[Started | Finished]:
        """Trains packs; yields a Started and a Finished for each, and calls `report` with the progress in between.

        Raises:
            AttnbenchError: if no worker can be started.
        """

    def close(self) -> None:
        """Stops running packs without waiting for them to finish."""


def attempt(pack: Pack, device: str, train: str, report: Report) -> list[Outcome]:
    """Trains a pack and returns its outcomes; after any exception all its cells are failed, with the reason.

    Raises:
        KeyboardInterrupt: if training is interrupted, or a plugin raises it: they cannot be told apart here.
    """
    try:
        load_code(pack)
        check_data(pack)
        with contained(), checked_after_reading(pack, report) as reporting:
            return _train_function(train)(pack, resolve_device(device), reporting)
    except AttnbenchError as error:
        return failed(pack, message_of(error))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may call sys.exit, or raise GeneratorExit
        return failed(pack, reason(error))


def _train_function(path: str) -> Train:
    module, name = path.split(":")
    function: Train = getattr(import_module(module), name)
    return function


class Seeded(Protocol):
    """Anything with cells: a pack, or an order to train one."""

    @property
    def ids(self) -> tuple[str, ...]: ...
    @property
    def seeds(self) -> tuple[int, ...]: ...


def failed(pack: Seeded, why: str) -> list[Outcome]:
    """Returns one failed outcome per cell of the pack, with a shortened reason."""
    why = shortened(why).encode(errors="replace").decode()  # file names may contain bytes that are not UTF-8
    return [Outcome(cell, "failed", seed, error=why) for cell, seed in zip(pack.ids, pack.seeds, strict=True)]


def time_limit(pack: Pack) -> float | None:
    """Returns the time limit of a pack in seconds, for all its cells together; None for no limit."""
    per_cell = pack.cell.train.timeout
    return None if per_cell is None else per_cell * len(pack.ids)


def too_long(pack: Pack) -> str:
    """Returns the reason for stopping a pack that exceeded its time limit."""
    seeds = len(pack.ids)
    together = f" for each of {seeds} seeds" if seeds > 1 else ""
    return f"stopped: it took longer than train.timeout, {pack.cell.train.timeout:g} s{together}"


def reason(error: BaseException) -> str:
    """Describes an exception in one line: type, message, and the innermost line in attnbench's or the user's code."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if f.filename.startswith(PACKAGE) or not f.filename.startswith(LIBRARIES)]
    place = f" ({Path(ours[-1].filename).name}, line {ours[-1].lineno})" if ours else ""
    message = " ".join(message_of(error).split())
    return f"{type(error).__name__}: {message}{place}" if message else f"{type(error).__name__}{place}"


def resolve_device(device: str) -> str:
    """Returns "cuda" or "cpu"; "auto" is a GPU if torch finds one, else the CPU.

    Raises:
        AttnbenchError: if a GPU is requested and there is none.
    """
    if device == "cpu":
        return device
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "auto":
        return "cpu"
    raise fail("--device cuda: torch finds no GPU on this machine", hint="use --device cpu, or --device auto")


def may_use_gpu(device: str) -> bool:
    """Whether workers are likely to train on a GPU, judged by the device file of NVIDIA's driver, without torch."""
    return device == "cuda" or (device == "auto" and NVIDIA.exists())


def available_cores() -> int:
    """Returns the number of cores that this process may use: its affinity, limited by the container's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # os.cpu_count() ignores the quota of a container, where it would start far too many workers.
    quota = Path("/sys/fs/cgroup/cpu.max")
    share, period = quota.read_text(encoding="ascii").split() if quota.is_file() else ("max", "1")
    return cores if share == "max" else max(1, min(cores, round(int(share) / int(period))))
