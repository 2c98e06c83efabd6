"""Trainings that take no time, for testing what stands around a training. The task's name says what happens."""

import math
import os
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from attnbench.cell import Cell, Component, Data, Pack, Train
from attnbench.outcome import Outcome, Progress

FAKE = "fake_training:train"


class Unprintable(Exception):
    """Its message raises."""

    def __str__(self) -> str:
        raise RuntimeError


class Unreadable:
    """Can be pickled, but not unpickled."""

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return int, ("not a number",)


class Exiting:
    """Can be pickled; unpickling it calls sys.exit."""

    def __reduce__(self) -> tuple[Any, tuple[int]]:
        return sys.exit, (3,)


MADE_OF = {"unpicklable": lambda: None, "unreadable": Unreadable(), "unreadable, exits": Exiting()}
RAISES = {
    "raise unprintable": Unprintable(),
    "raise KeyboardInterrupt": KeyboardInterrupt("in a plugin"),
    "raise GeneratorExit": GeneratorExit("in a plugin"),
    "raise at length": ValueError(f"begin {'x' * 5_000_000} end"),
}


def train(pack: Pack, device: str, report: Callable[[Progress], None]) -> list[Outcome]:
    """Reports one step, then does what the task's option `does` asks for."""
    does = pack.cell.task.options.get("does", "finish")
    report(Progress(pack.ids[0], 1, pack.cell.train.steps, 0.5, None))
    if does == "raise":
        raise ValueError("the cell is\nbroken")
    if does == "exit":
        raise SystemExit(3)
    if does == "die" or (does.startswith("die once, ") and not _was_here(does.removeprefix("die once, "))):
        os.kill(os.getpid(), signal.SIGKILL)
    if does in MADE_OF:
        return [Outcome(pack.ids[0], "done", 0, versions={"made of": MADE_OF[does]})]
    if does in RAISES:
        raise RAISES[does]
    if does == "stop in a message":
        Connection._send = _stop_halfway
    if does.startswith("fork and die, "):
        _fork(does.removeprefix("fork and die, "))
        os.kill(os.getpid(), signal.SIGKILL)
    if does == "leave and print":
        print("printed in training")
        os.chdir(os.sep)
    if does == "change the process":
        import torch

        os.chdir("/")
        torch.set_default_dtype(torch.float64)
    if does == "nap":
        time.sleep(0.02)
    if does == "sleep":
        for _ in range(300):
            time.sleep(0.2)
            report(Progress(pack.ids[0], 1, pack.cell.train.steps, 0.5, None))
    metrics = {"exact_match": 1.0, "seconds": 0.1, "process": float(os.getpid())}
    versions = {"threads": _threads(), "device": device}
    return [Outcome(i, "done", s, metrics, versions=versions) for i, s in zip(pack.ids, pack.seeds, strict=True)]


def _stop_halfway(self: Connection, content: bytes, write: Any = os.write) -> None:
    """In place of Connection._send: the process stops in the middle of the message."""
    write(self.fileno(), content[: len(content) // 2])
    os.kill(os.getpid(), signal.SIGSTOP)


def _fork(file: str) -> None:
    """Forks a process that keeps all pipes open, and appends its id to the file."""
    child = os.fork()
    if child == 0:
        signal.pause()
    with Path(file).open("a") as ids:
        ids.write(f"{child}\n")


def _was_here(file: str) -> bool:
    """Whether the file was there already; it is from now on."""
    there = Path(file).exists()
    Path(file).touch()
    return there


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def pack(number: int, does: str = "finish", seeds: int = 2, timeout: float | None = None) -> Pack:
    """A pack whose cells are called <number>-<seed>."""
    cell = Cell(
        model=Component(name="rnn"),
        score=Component(name="dot"),
        scope=Component(name="global"),
        task=Component(name="copy", options={"does": does}),
        data=Data(),
        train=Train(steps=10, timeout=timeout),
        seed=0,
    )
    return Pack(cell=cell, seeds=tuple(range(seeds)), ids=tuple(f"{number}-{seed}" for seed in range(seeds)))


def train_all_but_dot(pack: Pack, device: str, report: Callable[[Progress], None]) -> list[Outcome]:
    """As `train`, but a pack with the score dot raises."""
    if pack.cell.score is not None and pack.cell.score.name == "dot":
        raise ValueError("dot is broken")
    return train(pack, device, report)


GRADES = {"additive": 0.9, "general": 0.6, "dot": 0.7, "cosine": 0.3}


def train_graded(pack: Pack, device: str, report: Callable[[Progress], None]) -> list[Outcome]:
    """As `train`, with an exact match by score and seed that is best at the score's own learning rate.

    That is 0.1 for dot and 0.01 for the others. general and dot win half of the seeds each. In tuning there are no test
    lengths, as in a real training.
    """
    report(Progress(pack.ids[0], 1, pack.cell.train.steps, 0.5, None))
    name = pack.cell.score.name if pack.cell.score else "none"
    best = 0.1 if name == "dot" else 0.01
    grade = GRADES[name] - 0.1 * abs(math.log10(pack.cell.train.learning_rate / best))
    found = []
    for id_, seed in zip(pack.ids, pack.seeds, strict=True):
        wins = 1 if (seed // 2) % 2 == (name == "dot") else -1
        exact_match = grade + (0.05 * wins if name in ("dot", "general") else 0.001 * (seed % 3))
        metrics = {"exact_match": exact_match, "loss": 1 - exact_match, "seconds": 0.1}
        found.append(Outcome(id_, "done", seed, metrics, versions={"device": device}))
    return found


def train_graded_but_general_fails(pack: Pack, device: str, report: Callable[[Progress], None]) -> list[Outcome]:
    """As `train_graded`, but a pack with the score general raises."""
    if pack.cell.score is not None and pack.cell.score.name == "general":
        raise ValueError("general is broken")
    return train_graded(pack, device, report)
