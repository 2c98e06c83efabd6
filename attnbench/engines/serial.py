"""Trains one pack after the other in this process: for debugging, and for systems without subprocesses."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from attnbench.cell import Pack
from attnbench.engines.base import TRAIN, Finished, Report, Started, attempt, resolve_device, time_limit, too_long
from attnbench.errors import fail
from attnbench.outcome import Progress


class SerialEngine:
    """Trains one pack at a time, with one torch thread as in a worker process, so that the numbers are the same."""

    def __init__(self, workers: int, device: str, train: str = TRAIN) -> None:  # noqa: ARG002
        self.workers = 1
        self.device = device
        self.train = train

    def prepare(self) -> None:
        """See Engine."""
        resolve_device(self.device)

    def run(self, packs: Sequence[Pack], report: Report) -> Iterator[Started | Finished]:
        """See Engine."""
        for pack in packs:
            yield Started(pack)
            with one_thread():
                outcomes = attempt(pack, self.device, self.train, _with_time_limit(pack, report))
            yield Finished(pack, outcomes)

    def close(self) -> None:
        """See Engine. Nothing runs in the background, so there is nothing to stop."""


def _with_time_limit(pack: Pack, report: Report) -> Report:
    """Returns a report function that also raises once the time limit is exceeded: there is no process to kill here."""
    limit, begun = time_limit(pack), time.monotonic()

    def checked(progress: Progress) -> None:
        if limit is not None and time.monotonic() - begun > limit:
            raise fail(too_long(pack))
        report(progress)

    return checked


@contextmanager
def one_thread() -> Iterator[None]:
    """Sets torch to one thread, and restores the number of threads afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
