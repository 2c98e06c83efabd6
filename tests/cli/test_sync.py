"""`attnbench sync` logs the results on disk to MLflow."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import made_up_run
import pytest
from mlflow import MlflowClient

from attnbench import cli
from attnbench.errors import Problem
from attnbench.grid.plan import Plan
from attnbench.grid.tune import Tuned
from attnbench.store.store import Store
from attnbench.tracking.client import Tracker
from attnbench.tracking.server import Refused


def sync(results: Path, *options: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["sync", "made-up", "--results", str(results), *options])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def write(results: Path, cells: int) -> Store:
    plan = made_up_run.plan(score=["dot", "general"], seed=[0, 1])
    outcomes = [made_up_run.outcome(cell, exact_match=0.75, seconds=2.0) for cell in plan.cells]
    outcomes[0] = made_up_run.failed(plan.cells[0])
    return made_up_run.write_run(results.parent, plan, outcomes[:cells])


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return f"sqlite:///{tmp_path / 'other.db'}"


@pytest.mark.parametrize(
    ("missing", "waiting", "status"),
    [(None, False, "FINISHED"), (0, False, "KILLED"), (2, False, "KILLED"), (None, True, "KILLED")],
    ids=["complete", "a tuning cell is missing", "a reported cell is missing", "cells wait"],
)
def test_a_run_is_finished_if_its_tuning_is(results, uri, missing, waiting, status):
    every = made_up_run.plan(seed=range(5)).cells
    tuning = [replace(c, cell=c.cell.model_copy(update={"tuning": True})) for c in every[2:4]]
    tuned = Tuned({"score": "dot"}, ({"train.clip": 5.0},), (tuple(c.id for c in tuning),), 0)
    plan = Plan("made-up", (), every[:2], [], tuning, [tuned], waiting=every[4:] if waiting else [])
    store = Store(results / "made-up")
    store.start(plan, "name: made-up\n")
    for number, cell in enumerate(plan.trained):
        if number != missing:
            store.write_pack([made_up_run.outcome(cell, exact_match=0.5)], [cell], {})
    assert sync(results, "--tracking-uri", uri) == 0
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("made-up").experiment_id
    (run,) = client.search_runs([experiment], "tags.`attnbench.kind` = 'grid'")
    assert run.info.status == status


def test_missing_cells_and_the_comparison_are_logged_once(results, uri, capsys):
    store = write(results, cells=3)
    assert sync(results, "--tracking-uri", uri) == 0
    assert capsys.readouterr().out == "made-up: 3 cells logged, 0 were already in MLflow\n"
    write(results, cells=4)
    assert sync(results, "--tracking-uri", uri) == 0
    assert capsys.readouterr().out == "made-up: 1 cell logged, 3 were already in MLflow\n"
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("made-up")
    runs = client.search_runs([experiment.experiment_id])
    cells = {run.data.tags["attnbench.cell"]: run for run in runs if run.data.tags["attnbench.kind"] == "cell"}
    assert set(cells) == set(store.states())
    assert sorted(run.info.status for run in cells.values()) == ["FAILED", "FINISHED", "FINISHED", "FINISHED"]
    done = next(run for run in cells.values() if run.info.status == "FINISHED")
    assert done.data.metrics["exact_match"] == 0.75
    (parent,) = [run for run in runs if run.data.tags["attnbench.kind"] == "grid"]
    assert "table.csv" in {artifact.path for artifact in client.list_artifacts(parent.info.run_id)}


def test_an_error_in_what_attnbench_draws_is_named_as_its_own(results, uri, capsys, monkeypatch):
    def overview_files(*_):
        raise FileNotFoundError("page.css is missing")

    write(results, cells=4)
    monkeypatch.setattr("attnbench.tracking.client.overview_files", overview_files)
    assert sync(results, "--tracking-uri", uri) == 1
    printed = capsys.readouterr().err
    assert "FileNotFoundError: page.css is missing" in printed
    assert "This is a bug in attnbench" in printed
    assert "MLflow fails" not in printed


def test_cells_that_cannot_be_logged_are_listed(results, uri, capsys, monkeypatch):
    log_cell = Tracker._log_cell

    def refuse_one(self, outcome, planned, digest):
        if planned.id == "000000000002":
            raise Refused(Problem("MLflow does not take it: a long name", uri))
        log_cell(self, outcome, planned, digest)

    write(results, cells=4)
    monkeypatch.setattr(Tracker, "_log_cell", refuse_one)
    assert sync(results, "--tracking-uri", uri) == 1
    printed = capsys.readouterr()
    assert printed.out == "made-up: 3 cells logged, 0 were already in MLflow\n"
    assert printed.err == f"not logged: general · copy · seed 0: {uri}: MLflow does not take it: a long name\n"


def test_a_running_grid_is_not_synced(results, uri, capsys):
    store = write(results, cells=4)
    code = (
        "from pathlib import Path; from attnbench.store.lock import held\n"
        f"with held(Path({str(store.folder)!r})): input()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as other:
        while not (store.folder / ".lock.json").exists():
            time.sleep(0.05)
        assert sync(results, "--tracking-uri", uri) == 2
        other.communicate(b"\n")
    assert f"another process is running this grid: process {other.pid}" in capsys.readouterr().err
