"""The experiment and the runs of a grid in MLflow: one run for the grid and, below it, one per cell."""

import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from attnbench.tracking.content import KIND_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from attnbench.grid.plan import PlannedCell

# Tags of a cell's run: the cell's id, the reason if it failed, and the digest of the file that was logged.
CELL_TAG, ERROR_TAG, DIGEST_TAG = "attnbench.cell", "attnbench.error", "attnbench.digest"
# Tags that MLflow defines: the run above, the description, and whether images were logged.
PARENT_TAG, NOTE_TAG, IMAGES_TAG = "mlflow.parentRunId", "mlflow.note.content", "mlflow.loggedImages"
# Without it, the UI shows the pages for language model applications instead of training runs.
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}


class GridRuns:
    """Finds the experiment and the runs of a grid, or creates them. Every method calls MLflow.

    A cell that is trained again gets a new run, and its old run goes to MLflow's trash: MLflow keeps every point ever
    logged, and would draw two trainings as one curve.

    Attributes:
        experiment: the experiment's id.
        grid: the id of the grid's run.
        finished: the digest of the logged file, by cell, of all runs that were complete.
    """

    def __init__(self, client: "MlflowClient", name: str, location: str | None, results_own_store: bool) -> None:
        """Finds or creates the experiment and the grid's run. A deleted experiment is restored.

        Args:
            client: connected to the server or database.
            name: the grid's name, which becomes the experiment's.
            location: the URI of the artifacts; None if the server chooses it.
            results_own_store: whether the database lies in the results folder, and moves with it.
        """
        self._client = client
        self.experiment = self._find_experiment(name, location, results_own_store)
        self.grid = self._find_grid(name)
        self._cells = self._find_cells()
        complete = {cell: run for cell, run in self._cells.items() if run.info.status in ("FINISHED", "FAILED")}
        self.finished = {cell: run.data.tags.get(DIGEST_TAG, "") for cell, run in complete.items()}

    def of_cell(self, planned: "PlannedCell", name: str, params: Mapping[str, str], start: int, pictures: bool) -> str:
        """The id of the run to log a cell to: its present run if that has no training yet, else a new one.

        Args:
            planned: the cell.
            name: the display name of a new run.
            params: the params that will be logged; MLflow does not allow to change params.
            start: the start of training, in milliseconds since 1970.
            pictures: whether pictures will be logged.
        """
        # Marked before they are there: a run that is left in between is then not taken for one without training.
        marks = {IMAGES_TAG: "True"} if pictures else {}
        old = self._cells.pop(planned.id, None)
        if old is not None and _has_no_training(old, params):
            for tag in {ERROR_TAG, NOTE_TAG} & old.data.tags.keys():
                self._client.delete_tag(old.info.run_id, tag)
            for tag, value in marks.items():
                self._client.set_tag(old.info.run_id, tag, value)
            return str(old.info.run_id)
        if old is not None:
            self._client.delete_run(old.info.run_id)
        kind = "tuning" if planned.cell.tuning else "cell"
        tags = {KIND_TAG: kind, CELL_TAG: planned.id, PARENT_TAG: self.grid} | marks
        return str(self._client.create_run(self.experiment, start, tags, name).info.run_id)

    def _find_experiment(self, name: str, location: str | None, results_own_store: bool) -> str:
        experiment = self._client.get_experiment_by_name(name)
        if experiment is None:
            return str(self._client.create_experiment(name, location, EXPERIMENT_TAGS))
        if results_own_store and experiment.artifact_location != location:
            # The results folder was moved or copied, but MLflow still looks for artifacts in the old place: everything
            # is logged again from the cells' files. The old experiment is kept, because it may have the user's notes,
            # and because deleting it would delete the pictures in the folder that was copied.
            before = f"{name}, before the folder was moved, {time.strftime('%Y-%m-%d %H:%M:%S')}"
            self._client.rename_experiment(experiment.experiment_id, before)
            return str(self._client.create_experiment(name, location, EXPERIMENT_TAGS))
        if experiment.lifecycle_stage == "deleted":
            # The name of a deleted experiment stays taken, so a new one cannot be created.
            self._client.restore_experiment(experiment.experiment_id)
        return str(experiment.experiment_id)

    def _find_grid(self, name: str) -> str:
        for run in self._search("grid"):
            self._client.update_run(run.info.run_id, status="RUNNING")
            return str(run.info.run_id)
        return str(self._client.create_run(self.experiment, run_name=name, tags={KIND_TAG: "grid"}).info.run_id)

    def _find_cells(self) -> dict[str, "Run"]:
        """The newest run of every cell. Older ones, which a restored experiment brings back, are deleted again."""
        found: dict[str, Run] = {}
        for run in [*self._search("cell"), *self._search("tuning")]:
            tags = run.data.tags
            if tags[CELL_TAG] in found:
                self._client.delete_run(run.info.run_id)
                continue
            found[tags[CELL_TAG]] = run
            if tags.get(PARENT_TAG) != self.grid:
                self._client.set_tag(run.info.run_id, PARENT_TAG, self.grid)
        return found

    def _search(self, kind: str) -> list["Run"]:
        """All runs of this kind in the experiment, the newest first."""
        where, order = f"tags.`{KIND_TAG}` = '{kind}'", ["attributes.start_time DESC"]
        search = partial(self._client.search_runs, [self.experiment], where, max_results=1000, order_by=order)
        page = search()
        runs = list(page)
        while page.token:
            page = search(page_token=page.token)
            runs += page
        return runs


def _has_no_training(run: "Run", params: Mapping[str, str]) -> bool:
    """Whether a cell can be logged to this run as if it were new: no points, no images, no conflicting params."""
    same = all(params.get(name) == value for name, value in run.data.params.items())
    return same and not run.data.metrics and IMAGES_TAG not in run.data.tags
