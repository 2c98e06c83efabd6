"""Trains packs in parallel, one process per core with one torch thread each.

The processes are reused for many packs, because importing torch takes as long as a small pack. They are spawned, not
forked, so that they inherit no threads and no locks. A process that dies is replaced, and its pack is tried once more
after all others, alone: if the machine ran out of memory, more of it is free then.

No two workers share a lock or a pipe, so killing one at any moment cannot block the others. pebble's pool shares both:
a worker killed at the wrong moment broke the pool or made it wait forever.
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

# Packs given to a worker at a time: one to train, and one to continue with while the driver writes results.
LOOKAHEAD = 2
# Number of workers that may die in a row before sending Ready, until the engine gives up.
FAILED_STARTS = 10


class Worker:
    """A process, the driver's end of its pipe, and the packs given to it; the first is in training or the next one."""

    def __init__(self, device: str, train: str) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        # A daemon, so that Python stops it at exit even if `close` was not called.
        self.process = context.Process(target=work, args=(theirs, device, train), daemon=True)
        try:
            with _uninterrupted():
                self.process.start()
        except OSError:
            self.connection.close()
            raise
        finally:
            theirs.close()  # so that reading the driver's end raises EOFError once the process has ended
        self.packs: deque[Pack] = deque()
        self.ready = self.training = False
        self.deadline: float | None = None

    def give(self, pack: Pack) -> None:
        """Sends a pack to the process; a dead process is noticed later, when its pipe is read."""
        self.packs.append(pack)
        with suppress(OSError):
            self.connection.send(Order(pack.ids, pack.seeds, pack.plugins, pickle.dumps(pack)))

    def begins(self) -> Pack:
        """Records that the process has started its next pack, and returns the pack."""
        limit = time_limit(self.packs[0])
        self.training, self.deadline = True, None if limit is None else time.monotonic() + limit
        return self.packs[0]

    def ends(self) -> Pack:
        """Records that the process has finished its pack, and returns the pack."""
        self.training, self.deadline = False, None
        return self.packs.popleft()

    def stop(self) -> int:
        """Kills the process; returns its exit code, negative for a signal."""
        # Not SIGTERM, which a plugin may ignore. The process has nothing to save: only the driver writes files.
        self.process.kill()
        self.process.join()
        self.connection.close()
        code = self.process.exitcode
        self.process.close()
        return code or 0


class ProcessEngine:
    """Trains packs in a pool of worker processes, each with its own pipe."""

    def __init__(self, workers: int, device: str, train: str = TRAIN) -> None:
        self.workers, self.device, self.train = workers, device, train
        self.pool: list[Worker] = []
        self.waiting: deque[Pack] = deque()
        self.again: deque[Pack] = deque()  # packs whose worker died
        self.alone: Pack | None = None  # the one of them that is being tried again
        self.started: set[str] = set()
        self.failed_starts = 0.0

    def prepare(self) -> None:
        """See Engine. Does not wait for the workers, which import torch; only --device cuda has to be checked first."""
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
        """Gives every worker a pack, then a second one as long as enough packs are left for all workers."""
        for worker in self.pool:
            if self.waiting and not worker.packs:
                worker.give(self.waiting.popleft())
        for worker in self.pool:
            if worker.ready and len(worker.packs) < LOOKAHEAD and len(self.waiting) >= self.workers:
                worker.give(self.waiting.popleft())
        # All others have finished: a pack whose worker died is tried again alone, with all memory.
        if self.again and not self.waiting and not any(worker.packs for worker in self.pool):
            self.alone = self.again.popleft()
            self.pool[0].give(self.alone)

    def _listen(self, report: Report) -> Iterator[Started | Finished]:
        """Handles the next messages of the workers; stops packs that exceed their time limit."""
        deadlines = [worker.deadline for worker in self.pool if worker.deadline is not None]
        timeout = max(0.0, min(deadlines) - time.monotonic()) if deadlines else None
        readable = wait([worker.connection for worker in self.pool], timeout)
        for worker in [worker for worker in self.pool if worker.connection in readable]:
            yield from self._receive(worker, report)
        now = time.monotonic()
        for worker in [worker for worker in self.pool if worker.deadline is not None and worker.deadline <= now]:
            if worker.connection.poll():  # its result may have arrived while the driver was busy
                continue
            pack = worker.ends()
            self._replace(worker)
            yield Finished(pack, failed(pack, too_long(pack)))

    def _receive(self, worker: Worker, report: Report) -> Iterator[Started | Finished]:
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
            if pack.ids[0] not in self.started:  # a second attempt is not announced again
                self.started.add(pack.ids[0])
                yield Started(pack)
        elif isinstance(message, Progress):
            report(message)
        else:
            yield Finished(worker.ends(), message)

    def _died(self, worker: Worker) -> Iterator[Finished]:
        """Replaces a dead worker. The pack it was training is tried again; packs it had not started go to others."""
        pack = worker.ends() if worker.training else None
        code = self._replace(worker)
        if not worker.ready:
            # An exit code means an error such as a failing import, which repeats; a signal may be bad luck.
            self.failed_starts += 1 if code < 0 else FAILED_STARTS / self.workers
            if self.failed_starts >= FAILED_STARTS:
                raise _cannot_start(code)
        if pack is not None and pack is self.alone:
            why = f"its process died twice, the second time with no other pack running{_cause(code)}"
            yield Finished(pack, failed(pack, why))
        elif pack is not None:
            self.again.append(pack)

    def _replace(self, worker: Worker) -> int:
        # To the front, in their order: the packs are sorted, the longest first.
        self.waiting.extendleft(reversed(worker.packs))
        self.pool.remove(worker)
        code = worker.stop()
        self._start()
        return code

    def _start(self) -> None:
        """Starts one more worker; if the system refuses, the existing workers continue without it."""
        try:
            self.pool.append(Worker(self.device, self.train))
        except OSError as error:
            if not self.pool:
                hint = "free some memory or processes, or train in this process: --engine serial"
                raise fail(f"no worker process can be started: {error.strerror}", hint=hint) from error


def _cause(exit_code: int) -> str:
    if exit_code >= 0:
        return f" (exit code {exit_code})"
    name = signal.Signals(-exit_code).name
    return f" ({name}{', perhaps out of memory' if name == 'SIGKILL' else ''})"


def _cannot_start(exit_code: int) -> AttnbenchError:
    return fail(
        f"the worker processes cannot be started: they end immediately{_cause(exit_code)}",
        hint='a script that calls attnbench.run needs the line `if __name__ == "__main__":` above the call; '
        "--engine serial trains without worker processes",
    )


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Processes started here ignore Ctrl-C, which a terminal sends to them too: the driver stops them instead."""
    if sys.platform == "win32":
        yield
        return
    resource_tracker.ensure_running()  # otherwise the first process starts it, and that unblocks the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
