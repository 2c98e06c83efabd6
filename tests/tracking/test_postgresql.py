"""MLflow on PostgreSQL, as Debian packages it: the test starts and stops it."""

import sys
from dataclasses import replace
from pathlib import Path

import made_up_run
import pytest

from attnbench.tracking.client import Tracker

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from scale_mlflow import postgresql, postgresql_binaries


@pytest.mark.skipif(postgresql_binaries() is None, reason="PostgreSQL is not installed")
def test_cells_and_pictures_are_logged_once(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("psycopg2")
    plan = made_up_run.plan("on-postgresql", score=["dot", "additive"])
    outcomes = [
        replace(made_up_run.outcome(cell, exact_match=0.75), alignments=made_up_run.diagonal(["a", "b"]))
        for cell in plan.cells
    ]
    store = made_up_run.write_run(tmp_path, plan, outcomes)
    with postgresql() as uri:
        for logged in (2, 0):
            tracker = Tracker(store.name, uri, store.folder.parent)
            tracker.start(plan, "name: on-postgresql\n")
            cells = [(cell, summary.digest) for cell, (_, summary) in zip(plan.cells, store.summaries(), strict=True)]
            assert tracker.catch_up(cells, lambda cell: store.outcome(cell.id)) == (logged, 2 - logged)
            tracker.finish(store.frame())
        client = mlflow.MlflowClient(uri)
        experiment = client.get_experiment_by_name(store.name)
        runs = client.search_runs([experiment.experiment_id], "tags.`attnbench.kind` = 'cell'")
        assert sorted(run.data.metrics["exact_match"] for run in runs) == [0.75, 0.75]
        assert all(client.list_artifacts(run.info.run_id, "images") for run in runs)
        client._tracking_client.store.engine.dispose()
