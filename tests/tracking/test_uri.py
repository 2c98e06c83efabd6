"""A results folder may have any name: MLflow's database lies in it, and printed commands can be pasted."""

import shlex
from pathlib import Path

import made_up_run
import pandas as pd
import pytest
from grid.yard import call
from mlflow import MlflowClient
from sqlalchemy.engine import make_url

from attnbench.cell import LABELS
from attnbench.cli.run import _pointers
from attnbench.store.store import Store
from attnbench.tracking.client import Tracker
from attnbench.tracking.server import database_uri

NOTHING = pd.DataFrame(columns=["cell", "status", *LABELS, "exact_match"])
NAMES = ["what?x=1", "50%25 off", "a#b", "it's; here", "é"]


@pytest.fixture(autouse=True)
def no_server_from_outside(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.mark.parametrize("name", [*NAMES, "a:b@c", "a&b=c", "+ ;"])
def test_the_uri_is_read_back_as_the_path(tmp_path, name):
    assert make_url(database_uri(tmp_path / name)).database == str(tmp_path / name / "mlflow.db")


@pytest.mark.parametrize("name", NAMES[:3])
def test_the_database_and_the_artifacts_lie_in_a_folder_of_any_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    grid = made_up_run.plan()
    outcomes = [made_up_run.outcome(cell, exact_match=0.5) for cell in grid.cells]
    made_up_run.write_run(tmp_path, grid, outcomes).folder.parent.rename(name)
    told = call("sync", "made-up", "--results", name)
    assert told.status == 0, told.errors
    assert [path.name for path in tmp_path.iterdir()] == [name]
    client = MlflowClient(tracking_uri=database_uri(Path(name)))
    experiment = client.get_experiment_by_name("made-up")
    (parent,) = client.search_runs([experiment.experiment_id], "tags.`attnbench.kind` = 'grid'")
    assert (tmp_path / name / "mlartifacts").is_dir()
    assert "table.csv" in {artifact.path for artifact in client.list_artifacts(parent.info.run_id)}


@pytest.mark.parametrize("name", NAMES)
def test_a_printed_command_names_the_folder_as_a_shell_reads_it(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    line = _pointers(Store(Path(name) / "run"), NOTHING, 0, "", Path(name))[1]
    assert shlex.split(line)[-3:] == ["ui", "--results", name]
    line = _pointers(Store(Path(name) / "run"), NOTHING, 0, f"sqlite:///{name}", Path(name))[1]
    assert shlex.split(line)[-2:] == ["--tracking-uri", f"sqlite:///{name}"]
    command = shlex.split(Tracker("run", None, Path(name)).catch_up_command)
    assert command == ["attnbench", "sync", "run", "--results", str(tmp_path / name)]
    command = shlex.split(Tracker("run", f"sqlite:///{name}", Path(name)).catch_up_command)
    assert command[-2:] == ["--tracking-uri", f"sqlite:///{name}"]


def test_init_prints_a_command_that_can_be_pasted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = call("init", "my grid.yaml")
    commands = [shlex.split(line, comments=True) for line in told.errors.splitlines() if "attnbench" in line]
    assert commands == [["attnbench", verb, "my grid.yaml"] for verb in ("expand", "run")]
