"""A baseline identifies data by the digest that was taken at training, not by a file that may have changed since."""

import shutil
from pathlib import Path

import pytest
from made_up_run import rewrite

import attnbench
from attnbench import cli
from attnbench.analysis.settings import settings_of
from attnbench.errors import AttnbenchError
from attnbench.grid.identity import pairs_digest
from attnbench.store.store import Store

PAIRS = "".join(f"{'a ' * (n % 3)}b w{n}\t{'c ' * (n % 3)}d w{n}\n" for n in range(200))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a trained project; not to be changed."""
    folder = tmp_path_factory.mktemp("template")
    (folder / "train.tsv").write_text(PAIRS)
    attnbench.run(grid(folder), results=folder / "results", engine="serial", mlflow=False)
    return folder


def grid(folder: Path) -> dict:
    return {
        "name": "own",
        "seeds": 2,
        "grid": {"score": ["dot"], "task": ["translate"]},
        "data": {"path": str(folder / "train.tsv")},
        "model": {"kind": "rnn", "width": 8, "embedding": 4},
        "train": {"steps": 2, "batch_size": 4},
    }


@pytest.fixture
def project(template, tmp_path, monkeypatch) -> Path:
    """The trained project after it was moved: the absolute path in its records no longer exists."""
    folder = tmp_path / "project"
    shutil.copytree(template, folder)
    monkeypatch.chdir(folder)
    for file in (folder / "results/own/cells").iterdir():
        rewrite(file, lambda record: record["config"]["data"].update(path="/nowhere/train.tsv"))
    return folder


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        cli.main(list(arguments))
    return int(end.value.code or 0)


def test_a_record_has_the_digests_of_its_data(template):
    store = Store(template / "results/own")
    for cell in store.states():
        assert store.read(cell)["digests"] == {"data.path": pairs_digest(template / "train.tsv")}


@pytest.mark.usefixtures("project")
def test_a_baseline_and_its_check_need_no_data_file():
    assert call("baseline", "own", "-o", "b.csv") == 0
    assert call("check", "own", "--baseline", "b.csv") == 0


def test_a_file_edited_after_training_is_not_what_a_baseline_is_of(project):
    assert call("baseline", "own", "-o", "before.csv") == 0
    for file in (project / "results/own/cells").iterdir():
        rewrite(file, lambda record: record["config"]["data"].update(path=str(project / "train.tsv")))
    (project / "train.tsv").write_text(PAIRS.replace("d", "e"))
    assert call("baseline", "own", "-o", "after.csv") == 0
    assert Path("after.csv").read_text() == Path("before.csv").read_text()
    assert call("check", "own", "--baseline", "before.csv") == 0


def test_a_run_on_other_data_is_not_comparable(project):
    assert call("baseline", "own", "-o", "b.csv") == 0
    (project / "train.tsv").write_text(PAIRS.replace("d", "e"))
    attnbench.run(grid(project), results=project / "results", engine="serial", mlflow=False)
    assert call("check", "own", "--baseline", "b.csv") == 4


def test_a_moved_project_trains_nothing_again(project):
    frame = attnbench.run(grid(project), results=project / "results", engine="serial", mlflow=False, fail_fast=True)
    assert len(frame) == 2
    (left,) = {Store(project / "results/own").read(cell)["config"]["data"]["path"] for cell in frame["cell"]}
    assert left == "/nowhere/train.tsv"


def test_a_record_of_an_earlier_version_uses_the_file_or_names_it(project):
    store = Store(project / "results/own")
    record = store.read(next(iter(store.states())))
    recorded = settings_of(record)["data.path"]
    del record["digests"]
    with pytest.raises(AttnbenchError, match=r"/nowhere/train.tsv: cannot be read(.|\n)*--fresh"):
        settings_of(record)
    record["config"]["data"]["path"] = str(project / "train.tsv")
    assert settings_of(record)["data.path"] == recorded
