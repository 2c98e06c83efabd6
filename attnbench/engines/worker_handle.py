"""The driver's side of a worker process: its start, the messages, its deadline and its end."""

import errno
import os
import pickle
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context, resource_tracker
from queue import SimpleQueue
from threading import Thread

from attnbench.cell import Pack
from attnbench.engines.allocator import kept_memory
from attnbench.engines.base import failed, reason, time_limit
from attnbench.engines.worker import Message, Order, work
from attnbench.safe_path import safe_path

# A process that takes longer to import torch, or to start the next pack, has been stopped or hangs.
START_SECONDS = 300.0
NEVER = float("inf")

Received = Message | None  # None: the process sends nothing more


class Worker:
    """A process, and the packs given to it; the first of them is in training or the next one.

    It is spawned, not forked, so that it inherits no threads and no locks. A thread sends the packs and receives the
    messages: the process may be stopped in the middle of a large message, and the driver must not wait for its rest.
    """

    def __init__(self, device: str, train: str, inbox: "SimpleQueue[tuple[Worker, Received]]") -> None:
        """Starts the process.

        Args:
            device: "auto", "cpu" or "cuda".
            train: the training function, by name.
            inbox: where its messages go; after the last one, None.

        Raises:
            OSError: if the system refuses another process or thread.
        """
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        # A daemon, so that Python stops it at exit even if `close` was not called.
        self.process = context.Process(target=work, args=(theirs, device, train), daemon=True)
        self._thread = Thread(target=self._converse, name="worker", daemon=True)
        self._orders: SimpleQueue[Order | None] = SimpleQueue()  # None ends the thread
        self._inbox = inbox
        try:
            with safe_path(), kept_memory(), _uninterrupted():
                self.process.start()
        except OSError:
            self.connection.close()
            raise
        finally:
            theirs.close()  # so that reading the driver's end raises EOFError once the process has ended
        self.packs: deque[Pack] = deque()
        self.ready = self.training = False
        self.deadline = time.monotonic() + START_SECONDS
        try:
            self._thread.start()
        except RuntimeError as error:
            self.stop()
            raise OSError(errno.EAGAIN, str(error)) from error

    def give(self, pack: Pack) -> None:
        """Gives a pack to the process; a dead process is noticed by the end of its messages."""
        self.packs.append(pack)
        self._orders.put(Order(pack.ids, pack.seeds, pack.plugins, pickle.dumps(pack)))
        if self.ready and len(self.packs) == 1:
            self.deadline = time.monotonic() + START_SECONDS

    def becomes_ready(self) -> None:
        """Records that the process has imported torch."""
        self.ready = True
        self._expect_next()

    def begins(self) -> Pack:
        """Records that the process has started its next pack, and returns the pack."""
        limit = time_limit(self.packs[0])
        self.training, self.deadline = True, NEVER if limit is None else time.monotonic() + limit
        return self.packs[0]

    def ends(self) -> Pack:
        """Records that the process has finished its pack, and returns the pack."""
        pack = self.packs.popleft()
        self.training = False
        self._expect_next()
        return pack

    def hang_up(self) -> None:
        """Ends the messages, also if the pipe is kept open by a process that a plugin has forked."""
        self._orders.put(None)
        if sys.platform != "win32":  # there, a pipe is no socket, and nothing is forked
            with suppress(OSError), socket.socket(fileno=os.dup(self.connection.fileno())) as pipe:
                pipe.shutdown(socket.SHUT_RDWR)

    def stop(self) -> int:
        """Kills the process; returns its exit code, negative for a signal."""
        # Not SIGTERM, which a plugin may ignore. The process has nothing to save: only the driver writes files.
        self.process.kill()
        self.process.join()
        self.hang_up()
        if self._thread.is_alive():
            self._thread.join()
        self.connection.close()
        code = self.process.exitcode
        self.process.close()
        return code or 0

    def _expect_next(self) -> None:
        """The process should start its next pack at once."""
        self.deadline = time.monotonic() + START_SECONDS if self.packs else NEVER

    def _converse(self) -> None:
        """Runs in the thread."""
        with suppress(Exception):  # the pipe was closed, or a plugin has written to it
            self._inbox.put((self, self.connection.recv()))  # Ready
            while order := self._orders.get():
                self.connection.send(order)
                while not isinstance(message := self._message(order), list):
                    self._inbox.put((self, message))
                self._inbox.put((self, message))
        self._inbox.put((self, None))

    def _message(self, order: Order) -> Message:
        content = self.connection.recv_bytes()
        try:
            message: Message = pickle.loads(content)
        # For example an object of a module that only the worker can import. A plugin's class may also call sys.exit,
        # which would end this thread, and the driver would wait for ever.
        except BaseException as error:
            return failed(order, f"the results cannot be read: {reason(error)}")
        return message


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
