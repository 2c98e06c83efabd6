"""Trains packs in parallel, one process per core with one torch thread each.

The processes are kept from pack to pack, since importing torch takes as long as a small pack does. They are started
afresh (spawn), so that they inherit no threads and no locks. One that dies is replaced, and its pack is tried once more
when all others are finished, alone: a machine that had run out of memory has more of it then.
"""

import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.queues import Queue
from queue import Empty
from threading import Thread
from typing import TypeVar

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from attnbench.cell import Pack
from attnbench.engines.base import (
    TRAIN,
    Finished,
    Report,
    Started,
    attempt,
    failed,
    reason,
    resolve_device,
    time_limit,
    too_long,
)
from attnbench.errors import AttnbenchError, fail
from attnbench.outcome import Outcome, Progress

# Packs handed to the pool per worker: one to train, one to go on with while the driver writes the results.
LOOKAHEAD = 2
POLL_SECONDS = 0.05

# What a worker tells while it trains: the first cell's id of the pack it took up, then how far it is.
Message = str | Progress
Result = TypeVar("Result")


class ProcessEngine:
    """A pool of kept processes, and a queue on which they tell how far they are."""

    def __init__(self, workers: int, device: str, train: str = TRAIN) -> None:
        self.workers = workers
        self.device = device
        self.train = train
        context = get_context("spawn")
        self.messages: Queue[Message] = context.Queue()
        self.pool = ProcessPool(workers, initializer=_begin, initargs=(self.messages,), context=context)

    def prepare(self) -> None:
        """See Engine. The workers import torch meanwhile; only a GPU that was asked for is waited for."""
        checked = self._schedule(resolve_device, self.device)
        if self.device == "cuda":
            checked.result()

    def run(self, packs: Sequence[Pack], report: Report) -> Iterator[Started | Finished]:
        """See Engine."""
        unseen = {pack.ids[0]: pack for pack in packs}
        died: list[Pack] = []
        yield from self._run(packs, LOOKAHEAD * self.workers, unseen, report, died.append)
        for pack in died:
            yield from self._run([pack], 1, unseen, report, None)

    def _run(
        self,
        packs: Sequence[Pack],
        at_once: int,
        unseen: dict[str, Pack],
        report: Report,
        put_off: Callable[[Pack], None] | None,
    ) -> Iterator[Started | Finished]:
        """Trains these packs, at most so many in the pool at once; `put_off` is given those whose process died."""
        waiting = deque(packs)
        running: dict[ProcessFuture[list[Outcome]], Pack] = {}
        while waiting or running:
            while waiting and len(running) < at_once:
                pack = waiting.popleft()
                running[self._schedule(_train, pack, self.device, self.train, timeout=time_limit(pack))] = pack
            done = [future for future in running if future.done()]
            for message in self._messages():
                if isinstance(message, str):
                    if message in unseen:
                        yield Started(unseen.pop(message))
                else:
                    report(message)
            for future in done:
                pack = running.pop(future)
                if unseen.pop(pack.ids[0], None):
                    yield Started(pack)
                if put_off and isinstance(future.exception(), ProcessExpired):
                    put_off(pack)
                else:
                    yield Finished(pack, _outcomes(future, pack))

    def _schedule(
        self, function: Callable[..., Result], *arguments: object, timeout: float | None = None
    ) -> "ProcessFuture[Result]":
        with _uninterrupted():  # the pool starts its processes with the first task
            try:
                return self.pool.schedule(function, args=arguments, timeout=timeout)
            except RuntimeError as error:
                raise _cannot_start() from error

    def _messages(self) -> Iterator[Message]:
        """What the workers told until now; waits a moment for the first."""
        try:
            yield self.messages.get(timeout=POLL_SECONDS)
            while True:
                yield self.messages.get_nowait()
        except Empty:
            return

    def close(self) -> None:
        """See Engine."""
        self.pool.stop()
        self.pool.join()
        self.messages.close()


# --- in the worker process

_driver: "Queue[Message]"


def _begin(messages: "Queue[Message]") -> None:
    """Prepares a new worker: one thread, said before torch and its libraries are loaded, and the way to the driver."""
    global _driver
    _driver = messages
    _driver.cancel_join_thread()  # a worker that is stopped does not wait until its last words are read
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
    Thread(target=_end_with_the_driver, daemon=True).start()


def _end_with_the_driver() -> None:
    """A driver that was killed cannot stop its workers: they notice by themselves."""
    driver = parent_process()
    if driver is not None:
        driver.join()
        os._exit(1)


def _train(pack: Pack, device: str, train: str) -> list[Outcome]:
    _driver.put(pack.ids[0])
    return attempt(pack, device, train, _driver.put)


# --- in the driver


def _outcomes(future: "ProcessFuture[list[Outcome]]", pack: Pack) -> list[Outcome]:
    """What the worker gave back, or failed outcomes when it died or could not give it back."""
    try:
        return future.result()
    except ProcessExpired as error:
        return failed(pack, f"its process died twice, the second time alone{_cause(error.exitcode)}")
    except TimeoutError:
        return failed(pack, too_long(pack))
    except BrokenProcessPool as error:
        raise _cannot_start() from error
    except Exception as error:
        return failed(pack, reason(error))


def _cause(exit_code: int) -> str:
    if exit_code >= 0:
        return f", with exit code {exit_code}"
    name = signal.Signals(-exit_code).name
    return f", of {name}" + (": perhaps the machine ran out of memory" if name == "SIGKILL" else "")


def _cannot_start() -> AttnbenchError:
    return fail(
        "the worker processes cannot be started",
        hint='a script that calls attnbench.run needs the line `if __name__ == "__main__":` above the call; '
        "the engine serial trains without processes",
    )


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Processes started here inherit that Ctrl-C is not for them: the driver hears it, and stops them."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
