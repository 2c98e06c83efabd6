"""What a worker process of the engine `processes` does: trains the packs that come through its pipe."""

import os
import pickle
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread

from attnbench.cell import Pack
from attnbench.engines.base import Report, attempt, failed, reason, resolve_device
from attnbench.errors import AttnbenchError
from attnbench.outcome import Outcome, Progress
from attnbench.plugins import load_plugin


@dataclass(frozen=True)
class Ready:
    """A worker is there; or the device that was asked for is not."""

    error: AttnbenchError | None = None


@dataclass(frozen=True)
class Order:
    """A pack to train, as bytes: it may hold what only its plugins know, so they are loaded before it is read."""

    ids: tuple[str, ...]
    seeds: tuple[int, ...]
    plugins: tuple[str | Path, ...]
    pack: bytes


# What a worker says: that it is ready; the first cell's id of the pack it takes up; how far it is; what came of it.
Message = Ready | str | Progress | list[Outcome]


def work(driver: "Connection[Message, Order]", device: str, train: str) -> None:
    """Trains pack after pack, until the driver is gone or ends this process.

    Args:
        driver: the pipe to the driver.
        device: where to train.
        train: the training, by name.
    """
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = (
        "1"  # said before torch and its libraries are loaded
    )
    Thread(target=_end_with_the_driver, daemon=True).start()
    import torch

    torch.set_num_threads(1)
    try:
        driver.send(Ready(_missing(device)))
        while True:
            order = driver.recv()
            driver.send(order.ids[0])
            _send(driver, order, _carry_out(order, device, train, driver.send))
    except (EOFError, OSError):
        return  # the driver is gone


def _carry_out(order: Order, device: str, train: str, report: Report) -> list[Outcome]:
    try:
        for plugin in order.plugins:
            load_plugin(plugin)
        pack: Pack = pickle.loads(order.pack)
    except AttnbenchError as error:
        return failed(order, str(error))
    except Exception as error:
        return failed(order, reason(error))
    return attempt(pack, device, train, report)


def _missing(device: str) -> AttnbenchError | None:
    try:
        resolve_device(device)
    except AttnbenchError as error:
        return error
    return None


def _send(driver: "Connection[Message, Order]", order: Order, outcomes: list[Outcome]) -> None:
    try:
        driver.send(outcomes)
    except OSError:
        raise
    except Exception as error:  # something in them cannot be sent; nothing of them was
        driver.send(failed(order, reason(error)))


def _end_with_the_driver() -> None:
    """A driver that was killed cannot stop its workers: they notice by themselves, also while they train."""
    driver = parent_process()
    if driver is not None:
        driver.join()
        os._exit(1)
