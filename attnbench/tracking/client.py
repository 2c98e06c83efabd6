"""MLflow, in the driver only: one experiment per grid, a parent run for the grid, a child run per cell.

Everything goes through `MlflowClient` with explicit run ids, so that nothing depends on an active run, and the
points of a cell go out in one batch. MLflow is imported on the first use: that alone takes seconds.
"""

import logging
import os
import shlex
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from http.client import HTTPException
from pathlib import Path
from ssl import CERT_NONE
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.parse import urlsplit

from attnbench.errors import fail
from attnbench.outcome import Alignments, Outcome
from attnbench.tracking.content import (
    IMAGE_KEY,
    KIND_TAG,
    MAX_DESCRIPTION,
    VIEW,
    AlignmentPictures,
    MetricPoint,
    comparison_texts,
    overview_files,
    params_of,
    result_points,
    run_name,
    saved_view,
    series_points,
)

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from attnbench.grid.expand import Plan, PlannedCell

CELL_TAG, ERROR_TAG, DIGEST_TAG = "attnbench.cell", "attnbench.error", "attnbench.digest"
VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"
PARENT_TAG, NOTE_TAG = "mlflow.parentRunId", "mlflow.note.content"
IMAGES_TAG = "mlflow.loggedImages"
# So that the UI shows training runs, and not the pages for language model applications.
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
ANSWER_TIMEOUT = 5.0  # seconds for a server's first answer
PARAMS_PER_BATCH = 100
POINTS_PER_BATCH = 800  # MLflow takes 1000 metrics, params and tags together
HINT = "repair it, give another --tracking-uri, or go without: --no-mlflow"


def store_uri(given: str | None, results: Path) -> str:
    """Where runs are logged: what is given, else MLFLOW_TRACKING_URI, else mlflow.db in the results folder."""
    return given or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{results.resolve() / 'mlflow.db'}"


def offline_environment() -> None:
    """Settings for MLflow, to be made before it is imported: no usage reports, no minutes of waiting for a server."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")


class Tracker:
    """Logs one grid. Use it from one thread at a time.

    A cell that is trained anew takes the place of its old run, which goes to MLflow's trash: MLflow keeps every
    point ever logged, and two trainings in one curve are neither.
    """

    def __init__(self, name: str, tracking_uri: str | None, results: Path) -> None:
        self.name = name
        self.uri = store_uri(tracking_uri, results)
        self.results = results.resolve()
        self._given = tracking_uri
        self._finished: dict[str, str] = {}  # after start: the cells whose runs are complete, and what they hold
        self._own_store = self.uri == store_uri(None, results) and not os.environ.get("MLFLOW_TRACKING_URI")
        self._pictures = AlignmentPictures()

    def probe(self) -> None:
        """Asks a tracking server whether it is there, without importing MLflow; databases are not asked.

        Raises:
            AttnbenchError: when it does not answer within a few seconds, or answers with a failure of its own.
        """
        try:
            scheme = urlsplit(self.uri).scheme
        except ValueError as error:
            raise fail(f"the tracking URI cannot be read: {error}", self.uri, HINT) from error
        if scheme in ("http", "https"):
            _expect_answer(self.uri)

    def start(self, plan: "Plan", grid_text: str) -> None:
        """Connects, and finds or makes the experiment and the grid's run. A deleted experiment is restored.

        Raises:
            AttnbenchError: when the server does not answer or the store cannot be used.
        """
        self.probe()
        offline_environment()
        self._varying = {
            axis for axis in ("model", "scope") if len({planned.labels[axis] for planned in plan.cells}) > 1
        }
        with self._mlflow_errors():
            self._client = self._connect()
            self._experiment = self._find_experiment()
            self._parent = self._find_parent()
            self._children = self._find_children()
            over = {cell: run for cell, run in self._children.items() if _is_over(run)}
            self._finished = {cell: run.data.tags.get(DIGEST_TAG, "") for cell, run in over.items()}
            self._client.log_text(self._parent, grid_text, "grid.yaml")

    def has(self, cell: str, digest: str) -> bool:
        """Whether the run of a cell is complete, and holds what the file with this digest does."""
        return self._finished.get(cell) == digest

    @property
    def catch_up_command(self) -> str:
        """What the user types to bring here what is on disk."""
        where = "" if self.results == Path("results").resolve() else f" --results {shlex.quote(str(self.results))}"
        uri = f" --tracking-uri {shlex.quote(self._given)}" if self._given else ""
        return f"attnbench sync {self.name}{where}{uri}"

    def log_cell(self, outcome: Outcome, planned: "PlannedCell", digest: str) -> None:
        """Logs a finished or failed cell: params, metrics, step series, and the alignment as it formed.

        Args:
            outcome: what training gave.
            planned: the cell.
            digest: of the cell's file, by which `has` knows it again.

        Raises:
            AttnbenchError: when MLflow does not take it.
        """
        now = int(time.time() * 1000)
        start = now - int(1000 * (outcome.metrics.get("seconds") or 0))
        params, title = params_of(planned.cell), run_name(planned.labels, self._varying)
        last = int(outcome.history[-1]["step"]) if outcome.history else 0
        points = [*series_points(outcome.history, start), *result_points(outcome.metrics, now, last)]
        error = (outcome.error or "")[:MAX_DESCRIPTION]
        tags = {DIGEST_TAG: digest} | (
            {ERROR_TAG: error, NOTE_TAG: f"Failed: {error}"} if outcome.status == "failed" else {}
        )
        with self._mlflow_errors():
            run = self._run_of(planned, params, start)
        if outcome.alignments is not None:
            self._log_images(run, outcome.alignments, title)
        with self._mlflow_errors():
            self._log_batches(run, points, params, tags)
            self._client.set_terminated(run, "FAILED" if outcome.status == "failed" else "FINISHED")

    def finish(self, frame: "pd.DataFrame", status: str = "FINISHED") -> None:
        """Logs the comparison on the grid's run: the table, and pictures of accuracy and alignments.

        Args:
            frame: the rows of table.csv, of this and of earlier runs.
            status: how the grid ended, in MLflow's word: FINISHED, FAILED or KILLED.

        Raises:
            AttnbenchError: when MLflow does not take it.
        """
        if not frame.empty:
            self._log_comparison(frame)
        with self._mlflow_errors():
            self._client.set_terminated(self._parent, status)

    @contextmanager
    def _mlflow_errors(self) -> Iterator[None]:
        """Reports what MLflow's client raises as an error of MLflow.

        Only calls of MLflow belong in this block. What attnbench computes or draws is ready before: an OSError of its
        own, such as a missing template, would be blamed on the tracking server.
        """
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise fail(f"MLflow fails: {reason}", self.uri, HINT) from error

    def _connect(self) -> "MlflowClient":
        from mlflow import MlflowClient

        if "MLFLOW_LOGGING_LEVEL" not in os.environ:
            logging.getLogger("mlflow").setLevel(logging.WARNING)
        self.results.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            # MLflow's tables use what SQLAlchemy 2.1 has deprecated.
            warnings.filterwarnings("ignore", "The ``noload`` loader strategy", DeprecationWarning)
            return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def _find_experiment(self) -> str:
        # Without a server MLflow would put artifacts into the folder the command was typed in.
        serverless = urlsplit(self.uri).scheme.partition("+")[0] in ("sqlite", "postgresql", "mysql", "mssql")
        location = (self.results / "mlartifacts" / self.name).as_uri() if serverless else None
        experiment = self._client.get_experiment_by_name(self.name)
        if experiment is None:
            return str(self._client.create_experiment(self.name, location, EXPERIMENT_TAGS))
        if self._own_store and experiment.artifact_location != location:
            # The results folder was moved or copied, and MLflow looks for its files where they were: all is logged anew
            # from the cells' files. The old experiment stays, for the notes in it, and since MLflow would delete the
            # pictures of a folder that was copied with it.
            before = f"{self.name}, before the folder was moved, {time.strftime('%Y-%m-%d %H:%M:%S')}"
            self._client.rename_experiment(experiment.experiment_id, before)
            return str(self._client.create_experiment(self.name, location, EXPERIMENT_TAGS))
        if experiment.lifecycle_stage == "deleted":
            self._client.restore_experiment(experiment.experiment_id)
        return str(experiment.experiment_id)

    def _find_parent(self) -> str:
        for run in self._search("grid"):
            self._client.update_run(run.info.run_id, status="RUNNING")
            return str(run.info.run_id)
        return str(self._client.create_run(self._experiment, run_name=self.name, tags={KIND_TAG: "grid"}).info.run_id)

    def _find_children(self) -> dict[str, "Run"]:
        """The newest run of every cell. Older ones come back with a restored experiment, and go again."""
        found: dict[str, Run] = {}
        for run in self._search("cell"):
            tags = run.data.tags
            if tags[CELL_TAG] in found:
                self._client.delete_run(run.info.run_id)
                continue
            found[tags[CELL_TAG]] = run
            if tags.get(PARENT_TAG) != self._parent:
                self._client.set_tag(run.info.run_id, PARENT_TAG, self._parent)
        return found

    def _search(self, kind: str) -> list["Run"]:
        """All runs of the experiment of this kind, the newest first."""
        where, order = f"tags.`{KIND_TAG}` = '{kind}'", ["attributes.start_time DESC"]
        search = partial(self._client.search_runs, [self._experiment], where, max_results=1000, order_by=order)
        page = search()
        runs = list(page)
        while page.token:
            page = search(page_token=page.token)
            runs += page
        return runs

    def _run_of(self, planned: "PlannedCell", params: dict[str, str], start: int) -> str:
        """The run to write the cell to: the one it has if that holds no training yet, else a new one in its place."""
        old = self._children.pop(planned.id, None)
        if old is not None and _holds_no_training(old, params):
            for tag in {ERROR_TAG, NOTE_TAG} & old.data.tags.keys():
                self._client.delete_tag(old.info.run_id, tag)
            return str(old.info.run_id)
        if old is not None:
            self._client.delete_run(old.info.run_id)
        name = run_name(planned.labels, self._varying)
        tags = {KIND_TAG: "cell", CELL_TAG: planned.id, PARENT_TAG: self._parent}
        return str(self._client.create_run(self._experiment, start, tags, name).info.run_id)

    def _log_images(self, run: str, alignments: Alignments, title: str) -> None:
        for step, picture in self._pictures.forming(alignments, title):
            with self._mlflow_errors():
                self._client.log_image(run, picture, key=IMAGE_KEY, step=step)

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

    def _log_comparison(self, frame: "pd.DataFrame") -> None:
        description, page = comparison_texts(frame, self.name)
        view = saved_view(frame)
        counts = frame["status"].value_counts()
        now = int(time.time() * 1000)
        points = [(f"cells_{status}", float(counts.get(status, 0)), now, 0) for status in ("done", "failed")]
        self._log_file("comparison.html", page.encode())
        for name, content in overview_files(frame, self.results / self.name):
            self._log_file(name, content)
        with self._mlflow_errors():
            self._client.set_experiment_tag(self._experiment, VIEW_TAG, view)
            self._log_batches(self._parent, points, {}, {NOTE_TAG: description})

    def _log_file(self, name: str, content: bytes) -> None:
        # MLflow takes a file, not bytes: a full disk here is reported as the failure to log that it is.
        with self._mlflow_errors(), TemporaryDirectory() as folder:
            file = Path(folder) / name
            file.write_bytes(content)
            self._client.log_artifact(self._parent, str(file))


def _expect_answer(uri: str) -> None:
    from ssl import create_default_context
    from urllib.request import urlopen

    context = create_default_context()
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
        context.check_hostname, context.verify_mode = False, CERT_NONE
    try:
        urlopen(f"{uri.rstrip('/')}/health", timeout=ANSWER_TIMEOUT, context=context).close()
    except HTTPError as answer:
        # Any other status is an answer too: a server may ask for a password, or not know this page.
        if answer.code >= 500:
            raise fail(f"the tracking server answers with {answer.code} {answer.reason}", uri, HINT) from answer
    except (OSError, ValueError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise fail(f"the tracking server does not answer: {reason}", uri, f"start it, {HINT}") from error


def _is_over(run: "Run") -> bool:
    return run.info.status in ("FINISHED", "FAILED")


def _holds_no_training(run: "Run", params: Mapping[str, str]) -> bool:
    """Whether a cell can be logged to this run as if it were new: no points, no images, no other params."""
    logged = run.data.params
    same = all(params.get(name) == value for name, value in logged.items())
    return same and not run.data.metrics and IMAGES_TAG not in run.data.tags
