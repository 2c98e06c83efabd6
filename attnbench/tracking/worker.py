"""Logs to MLflow in a separate thread: training neither waits for MLflow nor fails with it."""

import traceback
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from attnbench.errors import AttnbenchError
from attnbench.grid.plan import Plan, PlannedCell
from attnbench.outcome import Outcome
from attnbench.tracking.client import Tracker

if TYPE_CHECKING:
    import pandas as pd

NOT_LOGGED = "The results are complete on disk, but not in MLflow"


class TrackerThread:
    """A tracker and the thread that runs it. After the first failure nothing more is logged; `finish` reports it."""

    def __init__(self, tracker: Tracker, plan: Plan, grid_text: str) -> None:
        self.tracker = tracker
        self._plan = plan
        self._grid_text = grid_text
        self._connected = False
        self._failure: str | None = None
        self._queue: SimpleQueue[Callable[[], object] | None] = SimpleQueue()  # None ends the thread
        # A daemon, so that a second Ctrl-C ends the process even if MLflow does not answer.
        self._thread = Thread(target=self._work, name="tracker", daemon=True)

    def connect(self) -> None:
        """Connects now, in the caller's thread, so that an unreachable server is found before training.

        Raises:
            AttnbenchError: if the tracking server does not answer.
        """
        self.tracker.start(self._plan, self._grid_text)
        self._connected = True

    def start(self, earlier: Iterable[tuple[PlannedCell, str]], read: Callable[[PlannedCell], Outcome]) -> None:
        """Starts the thread, which connects if necessary, and logs the cells that earlier runs did not log.

        Args:
            earlier: the cells that were finished before, each with the digest of its file.
            read: returns the outcome of one of these cells.
        """
        self.catch_up(earlier, read)
        self._thread.start()

    def catch_up(self, earlier: Iterable[tuple[PlannedCell, str]], read: Callable[[PlannedCell], Outcome]) -> None:
        """Queues the cells that earlier runs did not log."""
        self._queue.put(lambda: self.tracker.catch_up(earlier, read))

    def log_cell(self, outcome: Outcome, planned: PlannedCell, digest: str) -> None:
        """Queues a cell to be logged."""
        self._queue.put(lambda: self.tracker.log_cell(outcome, planned, digest))

    def finish(self, frame: "pd.DataFrame", status: str) -> str | None:
        """Queues the end of the grid, waits until everything is logged, and returns a message if not all could be."""
        self._queue.put(lambda: self.tracker.finish(frame, status))
        self._queue.put(None)
        self._thread.join()
        lines = [*([self._failure] if self._failure else []), *self.tracker.not_logged.lines()]
        return "\n".join(lines) or None

    def _work(self) -> None:
        try:
            if not self._connected:
                self.connect()
            while job := self._queue.get():
                job()
        except AttnbenchError as error:
            self._failure = f"{NOT_LOGGED}. To log them: {self.tracker.catch_up_command}\n{error}"
        except Exception:  # a bug in attnbench loses the log, but must not stop the training
            bug = "because of a bug in attnbench: please report it with these lines."
            self._failure = f"{NOT_LOGGED}, {bug}\n{traceback.format_exc()}"
