"""Tells the tracker of the cells in a thread of its own, so that training never waits for it nor dies with it."""

import traceback
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from attnbench.errors import AttnbenchError
from attnbench.grid.expand import Plan, PlannedCell
from attnbench.outcome import Outcome
from attnbench.tracking.client import Tracker

if TYPE_CHECKING:
    import pandas as pd

NOT_LOGGED = "The results are complete on disk, but not in MLflow"


class TrackerThread:
    """A tracker with its thread. Once something fails nothing more is logged, and `finish` says why."""

    def __init__(self, tracker: Tracker, plan: Plan, grid_text: str) -> None:
        self.tracker = tracker
        self._plan = plan
        self._grid_text = grid_text
        self._connected = False
        self._failure: str | None = None
        self._orders: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="tracker", daemon=True)

    def connect(self) -> None:
        """Connects at once.

        Raises:
            AttnbenchError: when the tracking server does not answer.
        """
        self.tracker.start(self._plan, self._grid_text)
        self._connected = True

    def start(self, earlier: Iterable[tuple[PlannedCell, str]], read: Callable[[PlannedCell], Outcome]) -> None:
        """Starts the thread, which connects unless that is done, and logs what earlier runs left unlogged.

        Args:
            earlier: the cells that were finished before, each with the digest of its file.
            read: gives the outcome of one of them.
        """
        self._orders.put(lambda: self._catch_up(earlier, read))
        self._thread.start()

    def log_cell(self, outcome: Outcome, planned: PlannedCell, digest: str) -> None:
        """Has a cell logged, soon."""
        self._orders.put(lambda: self.tracker.log_cell(outcome, planned, digest))

    def finish(self, frame: "pd.DataFrame", status: str) -> str | None:
        """Has the end of the grid logged, waits until all is logged, and returns a message if that failed."""
        self._orders.put(lambda: self.tracker.finish(frame, status))
        self._orders.put(None)
        self._thread.join()
        return self._failure

    def _catch_up(self, earlier: Iterable[tuple[PlannedCell, str]], read: Callable[[PlannedCell], Outcome]) -> None:
        for planned, digest in earlier:
            if not self.tracker.has(planned.id, digest):
                self.tracker.log_cell(read(planned), planned, digest)

    def _work(self) -> None:
        try:
            if not self._connected:
                self.connect()
            while order := self._orders.get():
                order()
        except AttnbenchError as error:
            self._failure = f"{NOT_LOGGED}: {self.tracker.catch_up_command} brings them there.\n{error}"
        except Exception:  # a bug: it may cost the log, never the training
            bug = "because of a bug in attnbench: please report it with these lines."
            self._failure = f"{NOT_LOGGED}, {bug}\n{traceback.format_exc()}"
