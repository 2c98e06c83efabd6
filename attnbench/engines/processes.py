"""Trains packs in parallel, one process per core with one torch thread each.

The processes are kept from pack to pack, since importing torch takes as long as a small pack does. They are started
afresh (spawn), so that they inherit no threads and no locks. One that dies is replaced, and its pack is tried once more
when all others are finished, alone: a machine that had run out of memory has more of it then.

No lock and no pipe is shared by two workers, so that one that is killed at any moment takes nothing with it. In
pebble's pool, which shares both, a worker killed at the wrong moment broke the pool or left it waiting for ever.
"""

import pickle
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import wait

from attnbench.cell import Pack
from attnbench.engines.base import TRAIN, Finished, Report, Started, failed, time_limit, too_long
from attnbench.engines.worker import Order, Ready, work
from attnbench.errors import AttnbenchError, fail
from attnbench.outcome import Progress

# Packs a worker has at a time: one to train, one to go on with while the driver writes the results.
LOOKAHEAD = 2
# Workers that die one after the other without a word, until it is clear that none can be started.
FAILED_STARTS = 10


class Worker:
    """A process, the driver's end of its pipe, and the packs it was given, the first of them the next or under way."""

    def __init__(self, device: str, train: str) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, device, train), daemon=True)
        try:
            with _uninterrupted():
                self.process.start()
        except OSError:
            self.connection.close()
            raise
        finally:
            theirs.close()  # once the process is gone, nobody holds this end, and the driver's reads its end
        self.packs: deque[Pack] = deque()
        self.ready = self.training = False
        self.deadline: float | None = None

    def give(self, pack: Pack) -> None:
        """Hands a pack over; whether the process still lives shows when its pipe is read."""
        self.packs.append(pack)
        with suppress(OSError):
            self.connection.send(Order(pack.ids, pack.seeds, pack.plugins, pickle.dumps(pack)))

    def begins(self) -> Pack:
        """The pack that it says it has taken up."""
        limit = time_limit(self.packs[0])
        self.training, self.deadline = True, None if limit is None else time.monotonic() + limit
        return self.packs[0]

    def ends(self) -> Pack:
        """The pack that it has finished."""
        self.training, self.deadline = False, None
        return self.packs.popleft()

    def stop(self) -> int:
        """Ends the process at once; its exit code, negative for a signal."""
        self.process.kill()
        self.process.join()
        self.connection.close()
        code = self.process.exitcode
        self.process.close()
        return code or 0


class ProcessEngine:
    """As many workers as were asked for, each with a pipe of its own."""

    def __init__(self, workers: int, device: str, train: str = TRAIN) -> None:
        self.workers, self.device, self.train = workers, device, train
        self.pool: list[Worker] = []
        self.waiting: deque[Pack] = deque()
        self.again: deque[Pack] = deque()  # those whose worker died
        self.alone: Pack | None = None  # the one of them that is tried at the moment
        self.started: set[str] = set()
        self.failed_starts = 0.0

    def prepare(self) -> None:
        """See Engine. The workers import torch meanwhile; only a GPU that was asked for is waited for."""
        for _ in range(self.workers - len(self.pool)):
            self._start()
        while self.device == "cuda" and not any(worker.ready for worker in self.pool):
            for _ in self._listen(lambda _: None):
                pass

    def run(self, packs: Sequence[Pack], report: Report) -> Iterator[Started | Finished]:
        """See Engine."""
        if not packs:
            return
        self.waiting = deque(packs)
        self.prepare()
        while self.waiting or self.again or any(worker.packs for worker in self.pool):
            self._hand_out()
            yield from self._listen(report)

    def close(self) -> None:
        """See Engine."""
        while self.pool:
            self.pool.pop().stop()

    def _hand_out(self) -> None:
        """Gives every worker a pack, then a second one while there are enough left for all."""
        for worker in self.pool:
            if self.waiting and not worker.packs:
                worker.give(self.waiting.popleft())
        for worker in self.pool:
            if worker.ready and len(worker.packs) < LOOKAHEAD and len(self.waiting) >= self.workers:
                worker.give(self.waiting.popleft())
        if self.again and not self.waiting and not any(worker.packs for worker in self.pool):
            self.alone = self.again.popleft()
            self.pool[0].give(self.alone)

    def _listen(self, report: Report) -> Iterator[Started | Finished]:
        """What the workers say next; stops those whose time is over."""
        deadlines = [worker.deadline for worker in self.pool if worker.deadline is not None]
        patience = max(0.0, min(deadlines) - time.monotonic()) if deadlines else None
        heard = wait([worker.connection for worker in self.pool], patience)
        for worker in [worker for worker in self.pool if worker.connection in heard]:
            yield from self._hear(worker, report)
        now = time.monotonic()
        for worker in [worker for worker in self.pool if worker.deadline is not None and worker.deadline <= now]:
            if worker.connection.poll():  # the driver was away, and may not have heard that it has finished
                continue
            pack = worker.ends()
            self._replace(worker)
            yield Finished(pack, failed(pack, too_long(pack)))

    def _hear(self, worker: Worker, report: Report) -> Iterator[Started | Finished]:
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            yield from self._died(worker)
            return
        if isinstance(message, Ready):
            if message.error is not None:
                raise message.error
            worker.ready, self.failed_starts = True, 0
        elif isinstance(message, str):
            pack = worker.begins()
            if pack.ids[0] not in self.started:
                self.started.add(pack.ids[0])
                yield Started(pack)
        elif isinstance(message, Progress):
            report(message)
        else:
            yield Finished(worker.ends(), message)

    def _died(self, worker: Worker) -> Iterator[Finished]:
        """Its pack is tried again, if it had begun one; what it had not begun goes to others."""
        pack = worker.ends() if worker.training else None
        code = self._replace(worker)
        if not worker.ready:
            self.failed_starts += 1 if code < 0 else FAILED_STARTS / self.workers
            if self.failed_starts >= FAILED_STARTS:
                raise _cannot_start(code)
        if pack is not None and pack is self.alone:
            yield Finished(pack, failed(pack, f"its process died twice, the second time alone{_cause(code)}"))
        elif pack is not None:
            self.again.append(pack)

    def _replace(self, worker: Worker) -> int:
        self.waiting.extendleft(reversed(worker.packs))
        self.pool.remove(worker)
        code = worker.stop()
        self._start()
        return code

    def _start(self) -> None:
        """One more worker; where the system has no room for it, those that there are go on."""
        try:
            self.pool.append(Worker(self.device, self.train))
        except OSError as error:
            if not self.pool:
                hint = "make room, or train in this process: --engine serial"
                raise fail(f"no worker process can be started: {error.strerror}", hint=hint) from error


def _cause(exit_code: int) -> str:
    if exit_code >= 0:
        return f", with exit code {exit_code}"
    name = signal.Signals(-exit_code).name
    return f", of {name}" + (": perhaps the machine ran out of memory" if name == "SIGKILL" else "")


def _cannot_start(exit_code: int) -> AttnbenchError:
    return fail(
        f"the worker processes cannot be started: they end at once{_cause(exit_code)}",
        hint='a script that calls attnbench.run needs the line `if __name__ == "__main__":` above the call; '
        "the engine serial trains without processes",
    )


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Processes started here inherit that Ctrl-C is not for them: the driver hears it, and stops them."""
    if sys.platform == "win32":
        yield
        return
    resource_tracker.ensure_running()  # it unblocks the signal when it is first started, which it is with a process
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
