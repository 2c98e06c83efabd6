"""Ctrl-C, a closed terminal and `kill` end a run in the same way: finished cells are saved, workers are stopped."""

import signal
from _thread import interrupt_main
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from threading import Timer, get_ident
from types import FrameType

IMPORTING = "<frozen importlib"  # how the file names of Python's own import code begin
AGAIN_AFTER = 0.05  # seconds
MOST_TRIES = 100


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Raises KeyboardInterrupt for SIGINT, SIGTERM and SIGHUP, in the main thread.

    Python's own code for imports is not interrupted, only the modules that it executes: it would leave locks that the
    thread of MLflow waits for, and some of it swallows the exception. The signal is sent again a moment later.
    """
    tries, main = count(1), get_ident()

    def interrupt(number: int, frame: FrameType | None) -> None:
        importing = frame is not None and frame.f_code.co_filename.startswith(IMPORTING)
        if importing and next(tries) < MOST_TRIES:
            again = Timer(AGAIN_AFTER, _send, (main, signal.Signals(number)))
            again.daemon = True
            again.start()
            return
        raise KeyboardInterrupt

    present = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    # Ignored signals stay ignored: with nohup, closing the terminal must not end the run.
    before = {number: handler for number in present if (handler := signal.getsignal(number)) is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _send(thread: int, number: signal.Signals) -> None:
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(thread, number)  # also ends a wait
    else:
        interrupt_main(number)
