"""Trains packs in parallel, one process per core with one torch thread each.

The processes are reused for many packs, because importing torch takes as long as a small pack. A process that dies is
replaced, and its pack is tried once more after all others, alone: if the machine ran out of memory, more of it is free
then.

No two workers share a lock or a pipe, so killing one at any moment cannot block the others. pebble's pool shares both:
a worker killed at the wrong moment broke the pool or made it wait forever.
"""

import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue

from attnbench.cell import Pack
from attnbench.engines.base import TRAIN, Finished, Report, Started, failed, too_long
from attnbench.engines.worker import Ready
from attnbench.engines.worker_handle import START_SECONDS, Received, Worker
from attnbench.errors import AttnbenchError, fail
from attnbench.outcome import Progress

# Packs given to a worker at a time: one to train, and one to continue with while the driver writes results.
LOOKAHEAD = 2
# Number of workers that may die in a row before sending Ready, until the engine gives up.
FAILED_STARTS = 10
# The same for workers that do not send Ready in time, per worker of the pool: each may take START_SECONDS.
SILENT_STARTS = 3
# The longest wait for a message. In between, the driver looks for processes that have ended and for exceeded limits.
POLL_SECONDS = 1.0


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
        self.inbox: SimpleQueue[tuple[Worker, Received]] = SimpleQueue()  # of all workers

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
        messages, now = self._messages()
        for worker, message in messages:
            if worker in self.pool:  # else it was stopped
                yield from self._receive(worker, message, report)
        # Later messages are not handled yet, so that later limits are not either.
        for worker in [worker for worker in self.pool if worker.deadline <= now]:
            yield from self._overdue(worker)
        for worker in self.pool:
            if worker.process.exitcode is not None:
                worker.hang_up()

    def _messages(self) -> tuple[list[tuple[Worker, Received]], float]:
        """Waits for a message, but not for long; returns all that arrived, and the time until which they did."""
        limit = min(worker.deadline for worker in self.pool) - time.monotonic()
        messages = []
        with suppress(Empty):
            messages.append(self.inbox.get(timeout=max(0.0, min(limit, POLL_SECONDS))))
        now = time.monotonic()
        messages += [self.inbox.get() for _ in range(self.inbox.qsize())]
        return messages, now

    def _receive(self, worker: Worker, message: Received, report: Report) -> Iterator[Started | Finished]:
        if message is None:
            yield from self._died(worker)
        elif isinstance(message, Ready):
            if message.error is not None:
                raise message.error
            worker.becomes_ready()
            self.failed_starts = 0
        elif isinstance(message, str):
            pack = worker.begins()
            if pack.ids[0] not in self.started:  # a second attempt is not announced again
                self.started.add(pack.ids[0])
                yield Started(pack)
        elif isinstance(message, Progress):
            report(message)
        else:
            yield Finished(worker.ends(), message)

    def _overdue(self, worker: Worker) -> Iterator[Finished]:
        """Replaces a worker that exceeded the time limit of its pack, or that does not start one, as if stopped."""
        if worker.training:
            pack = worker.ends()
            self._replace(worker)
            yield Finished(pack, failed(pack, too_long(pack)))
            return
        self._replace(worker)
        if not worker.ready:
            found = f"they are not ready after {START_SECONDS:.0f} s"
            self._count_failed_start(FAILED_STARTS / (SILENT_STARTS * self.workers), found)

    def _died(self, worker: Worker) -> Iterator[Finished]:
        """Replaces a dead worker. The pack it was training is tried again; packs it had not started go to others."""
        pack = worker.ends() if worker.training else None
        code = self._replace(worker)
        if not worker.ready:
            # An exit code means an error such as a failing import, which repeats; a signal may be bad luck.
            weight = 1 if code < 0 else FAILED_STARTS / self.workers
            self._count_failed_start(weight, f"they end immediately{_cause(code)}")
        if pack is not None and pack is self.alone:
            why = f"its process died twice, the second time with no other pack running{_cause(code)}"
            yield Finished(pack, failed(pack, why))
        elif pack is not None:
            self.again.append(pack)

    def _count_failed_start(self, weight: float, found: str) -> None:
        self.failed_starts += weight
        if round(self.failed_starts, 6) >= FAILED_STARTS:
            raise _cannot_start(found)

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
            self.pool.append(Worker(self.device, self.train, self.inbox))
        except OSError as error:
            if not self.pool:
                hint = "free some memory or processes, or train in this process: --engine serial"
                raise fail(f"no worker process can be started: {error.strerror}", hint=hint) from error


def _cause(exit_code: int) -> str:
    if exit_code >= 0:
        return f" (exit code {exit_code})"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:  # most real-time signals have no name
        name = f"signal {-exit_code}"
    return f" ({name}{', perhaps out of memory' if name == 'SIGKILL' else ''})"


def _cannot_start(found: str) -> AttnbenchError:
    return fail(
        f"the worker processes cannot be started: {found}",
        hint='a script that calls attnbench.run needs the line `if __name__ == "__main__":` above the call; '
        "--engine serial trains without worker processes",
    )
