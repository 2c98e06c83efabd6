"""A worker process of the engine `processes`: trains the packs that it receives through its pipe."""

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
from attnbench.messages import message_of
from attnbench.outcome import Outcome, Progress
from attnbench.plugins import load_plugin


@dataclass(frozen=True)
class Ready:
    """A worker has started; `error` if the requested device does not exist."""

    error: AttnbenchError | None = None


@dataclass(frozen=True)
class Order:
    """A pack to train, pickled: it may contain classes of its plugins, which have to be loaded before unpickling."""

    ids: tuple[str, ...]
    seeds: tuple[int, ...]
    plugins: tuple[str | Path, ...]
    pack: bytes


# Messages of a worker: it is ready; the id of the first cell of the pack it starts; progress; the outcomes.
Message = Ready | str | Progress | list[Outcome]


def work(driver: "Connection[Message, Order]", device: str, train: str) -> None:
    """Trains one pack after the other, until the driver ends or kills this process.

    Args:
        driver: the pipe to the driver.
        device: "auto", "cpu" or "cuda".
        train: the training function, by name.
    """
    # Before torch is imported, which reads these once.
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
    Thread(target=_end_with_the_driver, daemon=True).start()
    import torch

    torch.set_num_threads(1)
    try:
        driver.send(Ready(_device_error(device)))
        while True:
            order = driver.recv()
            driver.send(order.ids[0])
            _send(driver, order, _carry_out(order, device, train, driver.send))
    except (EOFError, OSError):
        return  # the driver has ended


def _carry_out(order: Order, device: str, train: str, report: Report) -> list[Outcome]:
    try:
        for plugin in order.plugins:
            load_plugin(plugin, keep=True)  # `attempt` checks the version
        pack: Pack = pickle.loads(order.pack)
        return attempt(pack, device, train, report)
    except AttnbenchError as error:
        return failed(order, message_of(error))
    except BaseException as error:  # also a plugin's KeyboardInterrupt: Ctrl-C does not reach this process
        return failed(order, reason(error))


def _device_error(device: str) -> AttnbenchError | None:
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
    except Exception as error:  # an outcome cannot be pickled, so nothing was sent
        driver.send(failed(order, reason(error)))


def _end_with_the_driver() -> None:
    """Exits when the driver has ended: a driver that was killed cannot stop its workers, which may be training."""
    driver = parent_process()
    if driver is not None:
        driver.join()
        # sys.exit would end this thread only.
        os._exit(1)
