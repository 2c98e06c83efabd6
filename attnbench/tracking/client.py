"""Logs a grid to MLflow, in the driver only: one experiment per grid, a run for the grid, and one below it per cell.

Everything is logged with `MlflowClient` and explicit run ids, because MLflow's active run is global state. The points
of a cell are sent in few batches. MLflow is imported on first use, because the import takes seconds.
"""

import os
import shlex
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeVar

from attnbench.analysis.fonts import missing_letters
from attnbench.errors import AttnbenchError
from attnbench.messages import message_of
from attnbench.outcome import Alignments, Outcome
from attnbench.store.atomic import make_writable
from attnbench.store.results_folder import RESULTS, results_folder
from attnbench.tracking.content import (
    MAX_DESCRIPTION,
    VIEW_TAG,
    MetricPoint,
    comparison_texts,
    overview_files,
    params_of,
    result_points,
    run_name,
    saved_view,
    series_points,
)
from attnbench.tracking.not_logged import NotLogged
from attnbench.tracking.pictures import IMAGES, AlignmentPictures, save
from attnbench.tracking.runs import DIGEST_TAG, ERROR_TAG, NOTE_TAG, GridRuns
from attnbench.tracking.server import (
    Refused,
    connect,
    is_database,
    mlflow_errors,
    offline_environment,
    probe,
    store_uri,
)

if TYPE_CHECKING:
    import pandas as pd

    from attnbench.grid.plan import Plan, PlannedCell

Drawn = TypeVar("Drawn")
PARAMS_PER_BATCH = 100  # MLflow's limit
POINTS_PER_BATCH = 800  # MLflow's limit is 1000 metrics, params and tags together


class Tracker:
    """Logs one grid. Use it from one thread at a time; call `start` first.

    Attributes:
        not_logged: the cells and pictures that MLflow did not take, or that could not be drawn.
    """

    def __init__(self, name: str, tracking_uri: str | None, results: Path) -> None:
        """Does not connect yet.

        Args:
            name: the grid's name.
            tracking_uri: an MLflow server or database; default as for `store_uri`.
            results: the folder that holds all runs.
        """
        self.name = name
        self.uri = store_uri(tracking_uri, results)
        self.results = Path(os.path.realpath(results))
        self._given_uri = tracking_uri
        self.not_logged = NotLogged()
        self._pictures = AlignmentPictures()

    def start(self, plan: "Plan", grid_text: str) -> None:
        """Connects, and finds or creates the experiment and the grid's run. A deleted experiment is restored.

        Raises:
            AttnbenchError: if the server does not answer or the database cannot be used.
        """
        probe(self.uri)
        offline_environment()
        cells = [*plan.tuning, *plan.reported]
        self._varying = {axis for axis in ("model", "scope") if len({planned.labels[axis] for planned in cells}) > 1}
        self._last_step = max((planned.cell.train.steps for planned in cells), default=0)
        location = None
        if is_database(self.uri):
            # By default, MLflow would store the artifacts of a database in the current working directory. A server
            # stores its own, so that only the folder of the run has to be writable.
            make_writable(self.results)
            location = (self.results / "mlartifacts" / self.name).as_uri()
        own_store = self.uri == store_uri(None, self.results) and not os.environ.get("MLFLOW_TRACKING_URI")
        with mlflow_errors(self.uri):
            self._client = connect(self.uri)
            self._runs = GridRuns(self._client, self.name, location, own_store)
            self._client.log_text(self._runs.grid, grid_text, "grid.yaml")

    def has(self, cell: str, digest: str) -> bool:
        """Whether, at the start, a cell's run was complete and logged from the file with this digest."""
        return self._runs.finished.get(cell) == digest

    @property
    def catch_up_command(self) -> str:
        """The command by which the user logs the results on disk to this server or database."""
        found = self.results == Path(os.path.realpath(RESULTS)) == Path(os.path.realpath(results_folder()))
        where = "" if found else f" --results {shlex.quote(str(self.results))}"
        uri = f" --tracking-uri {shlex.quote(self._given_uri)}" if self._given_uri else ""
        return f"attnbench sync {self.name}{where}{uri}"

    def catch_up(
        self, cells: "Iterable[tuple[PlannedCell, str]]", read: "Callable[[PlannedCell], Outcome]"
    ) -> tuple[int, int]:
        """Logs the stored cells that MLflow did not have at the start.

        Args:
            cells: each with the digest of its file.
            read: returns the outcome of one of them.

        Returns:
            The number of cells that were logged, and of those that MLflow already had.

        Raises:
            AttnbenchError: if MLflow fails.
        """
        logged = there = 0
        for planned, digest in cells:
            if self.has(planned.id, digest):
                there += 1
                continue
            try:
                outcome = read(planned)
            except AttnbenchError as error:
                self.not_logged.cell(self._name(planned), str(error))
            else:
                logged += self.log_cell(outcome, planned, digest)
        return logged, there

    def log_cell(self, outcome: Outcome, planned: "PlannedCell", digest: str) -> bool:
        """Logs a done or failed cell: params, metrics, step series, and how the alignment formed.

        If MLflow does not take it, it is noted in `not_logged`: the others are logged all the same.

        Args:
            outcome: the result of training.
            planned: the cell.
            digest: the digest of the cell's file, for `has`.

        Returns:
            Whether MLflow took the cell.

        Raises:
            AttnbenchError: if MLflow fails.
        """
        try:
            self._log_cell(outcome, planned, digest)
        except Refused as error:
            self.not_logged.cell(self._name(planned), str(error))
            return False
        return True

    def _name(self, planned: "PlannedCell") -> str:
        return run_name(planned.labels, self._varying)

    def _log_cell(self, outcome: Outcome, planned: "PlannedCell", digest: str) -> None:
        now = int(time.time() * 1000)
        start = now - int(1000 * (outcome.metrics.get("seconds") or 0))
        params, name = params_of(planned.cell), self._name(planned)
        last = int(outcome.history[-1]["step"]) if outcome.history else 0
        points = [*series_points(outcome.history, start), *result_points(outcome.metrics, now, last)]
        tags = {DIGEST_TAG: digest}
        if outcome.status == "failed":
            error = (outcome.error or "")[:MAX_DESCRIPTION]
            tags |= {ERROR_TAG: error, NOTE_TAG: f"Failed: {error}"}
        with mlflow_errors(self.uri):
            run = self._runs.of_cell(planned, name, params, start, pictures=outcome.alignments is not None)
        if outcome.alignments is not None:
            self._log_pictures(run, outcome.alignments, name)
        try:
            with mlflow_errors(self.uri):
                self._log_batches(run, points, params, tags)
        except Refused:
            # Or MLflow would show it as running for ever. Not FAILED, which `has` takes for complete.
            with mlflow_errors(self.uri):
                self._client.set_terminated(run, "KILLED")
            raise
        with mlflow_errors(self.uri):
            # Last: `has` takes a run with this status for complete.
            self._client.set_terminated(run, "FAILED" if outcome.status == "failed" else "FINISHED")

    def finish(self, frame: "pd.DataFrame", status: str = "FINISHED") -> None:
        """Logs the comparison to the grid's run: the table, and pictures of accuracy and alignments.

        Args:
            frame: the rows of table.csv, including the cells of earlier runs.
            status: how the grid ended, as MLflow names it: FINISHED, FAILED or KILLED.

        Raises:
            AttnbenchError: if MLflow fails.
        """
        if not frame.empty:
            self._log_comparison(frame)
        with mlflow_errors(self.uri):
            self._client.set_terminated(self._runs.grid, status)

    def _log_pictures(self, run: str, alignments: Alignments, title: str) -> None:
        words = (*alignments.forming_source, *alignments.forming_target, title)
        self.not_logged.letters(missing_letters("".join(words)))
        now, step, picture = int(time.time() * 1000), 0, None
        try:
            # Written one by one: all pictures of a long training with many heads would take much memory.
            with mlflow_errors(self.uri), TemporaryDirectory() as folder:
                pictures = self._pictures.forming(alignments, title)
                while (drawn := self._drawn(title, lambda: next(pictures, None))) is not None:
                    step, picture = drawn
                    save(picture, Path(folder), step, now)
                # A cell that stopped early has its last picture at the last step of the grid as well: MLflow's slider
                # shows pictures of exactly one step, and opens there.
                if picture is not None and step < self._last_step:
                    save(picture, Path(folder), self._last_step, now)
                if picture is not None:
                    self._client.log_artifacts(run, folder, IMAGES)
        except Refused as error:
            self.not_logged.picture(title, str(error))

    def _drawn(self, name: str, draw: "Callable[[], Drawn | None]") -> "Drawn | None":
        """The result of drawing; None, with a note, if that fails: a picture is no reason to lose the numbers."""
        try:
            return draw()
        except AttnbenchError as error:
            self.not_logged.picture(name, str(error))
        except Exception as error:  # matplotlib raises many types
            reason = f"{type(error).__name__}: {message_of(error)}. This is a bug in attnbench: please report it"
            self.not_logged.picture(name, reason)
        return None

    def _log_comparison(self, frame: "pd.DataFrame") -> None:
        description, page = comparison_texts(frame, self.results / self.name)
        view = saved_view(frame, self._last_step)
        counts = frame["status"].value_counts()
        now = int(time.time() * 1000)
        points = [(f"cells_{status}", float(counts.get(status, 0)), now, 0) for status in ("done", "failed")]
        self._log_file("comparison.html", page.encode())
        for name, make in overview_files(frame, self.results / self.name):
            if (content := self._drawn(name, make)) is not None:
                self._log_file(name, content)
        with mlflow_errors(self.uri):
            self._client.set_experiment_tag(self._runs.experiment, VIEW_TAG, view)
            self._log_batches(self._runs.grid, points, {}, {NOTE_TAG: description})

    def _log_file(self, name: str, content: bytes) -> None:
        # MLflow takes a file, not bytes. If the temporary file cannot be written, logging has failed as well.
        with mlflow_errors(self.uri), TemporaryDirectory() as folder:
            file = Path(folder) / name
            file.write_bytes(content)
            self._client.log_artifact(self._runs.grid, str(file))

    def _log_batches(
        self, run: str, points: Sequence[MetricPoint], params: Mapping[str, str], tags: Mapping[str, str]
    ) -> None:
        from mlflow.entities import Metric, Param, RunTag

        named = [Param(name, value) for name, value in params.items()]
        labels = [RunTag(name, value) for name, value in tags.items()]
        for first in range(PARAMS_PER_BATCH, len(named), PARAMS_PER_BATCH):
            self._client.log_batch(run, params=named[first : first + PARAMS_PER_BATCH])
        metrics = [Metric(*point) for point in points]
        for first in range(POINTS_PER_BATCH, len(metrics), POINTS_PER_BATCH):
            self._client.log_batch(run, metrics=metrics[first : first + POINTS_PER_BATCH])
        self._client.log_batch(run, metrics[:POINTS_PER_BATCH], named[:PARAMS_PER_BATCH], labels)
