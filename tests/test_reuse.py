"""A cell that another run in the results folder has trained is copied; a grid that takes a used name says so."""

import json
from functools import partial
from pathlib import Path

import pytest
import yaml
from fake_training import FAKE
from made_up_run import rewrite
from small_grid import SMALL

from attnbench import runner
from attnbench.engines.base import Finished
from attnbench.engines.serial import SerialEngine
from attnbench.errors import AttnbenchError
from attnbench.runner import Notice
from attnbench.store import status
from attnbench.store.results_folder import results_folder
from attnbench.store.store import Store

GRID = yaml.safe_load(SMALL)


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """Runs a changed small grid with a training that takes no time; gives the trained ids, and the notices."""

    def go(training=FAKE, name=None, reuse=True, fresh=False, limit=None, **changes):
        monkeypatch.setitem(runner.ENGINES, "serial", partial(SerialEngine, train=training))
        events = []
        options = {"results": tmp_path, "engine": "serial", "mlflow": False, "listener": events.append}
        go.frame = runner.run(GRID | changes, name=name, reuse=reuse, fresh=fresh, limit=limit, **options)
        go.notices = [event.text for event in events if isinstance(event, Notice)]
        return [cell for event in events if isinstance(event, Finished) for cell in event.pack.ids]

    return go


def records(store):
    return {cell: json.loads((store.folder / "cells" / f"{cell}.json").read_text()) for cell in store.states()}


def test_cells_of_an_earlier_version_which_had_the_softmax_only_are_copied(fake, tmp_path):
    fake()
    for file in (tmp_path / "small" / "cells").glob("*.json"):
        rewrite(file, lambda record: record["config"].pop("normaliser"))
    assert fake(name="second", grid=GRID["grid"] | {"normaliser": ["softmax"]}) == []
    assert set(Store(tmp_path / "second").frame()["normaliser"]) == {"softmax"}
    assert len(fake(name="third", grid=GRID["grid"] | {"normaliser": ["softmax", "sparsemax"]})) == 8


def test_identical_cells_of_another_run_are_copied_with_their_origin(fake, tmp_path):
    fake()
    assert fake(name="second") == []
    first, second = Store(tmp_path / "small"), Store(tmp_path / "second")
    assert fake.notices == [
        "8 cells reused from the run small, which has trained the same; --no-reuse trains them again"
    ]
    before, after = records(first), records(second)
    assert before.keys() == after.keys()
    for cell, record in after.items():
        assert record["reused_from"] == {"run": "small", "digest": before[cell]["digest"]}
        assert {name: record[name] for name in ("metrics", "code", "pack")} == {
            name: before[cell][name] for name in ("metrics", "code", "pack")
        }
    assert len(second.frame()) == 8
    assert second.broken == {}


def test_a_copy_of_a_copy_names_the_run_that_trained_it(fake, tmp_path):
    fake()
    fake(name="second")
    first = records(Store(tmp_path / "small"))
    (tmp_path / "small" / "plan.json").unlink()
    fake(name="third")
    third = records(Store(tmp_path / "third"))
    assert {c: r["reused_from"] for c, r in third.items()} == {
        c: {"run": "small", "digest": r["digest"]} for c, r in first.items()
    }


def test_the_labels_are_those_of_the_new_grid(fake, tmp_path):
    fake()
    wider = {"grid": GRID["grid"] | {"model.width": [8, 16]}}
    assert len(fake(name="wide", **wider)) == 8
    frame = Store(tmp_path / "wide").frame()
    assert sorted(frame["model.width"]) == [8] * 8 + [16] * 8


@pytest.mark.parametrize("options", [{"reuse": False}, {"fresh": True}])
def test_it_can_be_left(fake, options):
    fake()
    assert len(fake(name="second", **options)) == 8
    assert fake.notices == []


def test_failed_and_stale_cells_are_not_reused(fake, monkeypatch):
    fake("fake_training:train_all_but_dot")
    assert {cell.split("-")[0] for cell in fake(name="second")} == set(
        fake.frame.loc[fake.frame["score"] == "dot", "cell"]
    )
    monkeypatch.setattr(status, "fingerprint", lambda _: {"a.py": "new"})
    assert len(fake(name="third")) == 8


def test_a_pack_of_which_a_cell_is_missing_is_trained_whole(fake, tmp_path):
    fake()
    cells = Store(tmp_path / "small").plan()["cells"]
    (tmp_path / "small" / "cells" / f"{cells[0]['id']}.json").unlink()
    # The two seeds of the first pack.
    assert fake(name="second") == [cells[0]["id"], cells[1]["id"]]


def test_more_seeds_are_trained_in_packs_of_their_own(fake, tmp_path):
    fake()
    trained = fake(name="second", seeds=3)
    assert len(trained) == 4
    assert set(fake.frame.set_index("cell").loc[trained, "seed"]) == {2}
    packs = {tuple(pack["seeds"]) for pack in Store(tmp_path / "second").plan()["packs"]}
    assert packs == {(0, 1), (2,)}


def test_what_is_missing_of_an_own_pack_is_trained_as_it_was(fake, tmp_path):
    fake()
    fake(name="second", reuse=False)
    second = Store(tmp_path / "second")
    cells = second.plan()["cells"]
    (second.folder / "cells" / f"{cells[1]['id']}.json").unlink()
    assert fake(name="second") == [cells[0]["id"], cells[1]["id"]]


def test_a_planned_pack_without_results_is_reused(fake):
    first = fake(name="second", limit=1)
    fake(reuse=False)
    assert fake(name="second") == []
    assert len(fake.frame) == 8
    assert len(first) == 2


def test_a_broken_cell_of_another_run_is_trained_here(fake, tmp_path):
    fake()
    cell = Store(tmp_path / "small").plan()["cells"][0]["id"]
    file = tmp_path / "small" / "cells" / f"{cell}.json"
    file.write_text(file.read_text().replace('"exact_match": 1.0', '"exact_match": 0.5'))
    assert cell in fake(name="second")


def test_alignments_are_copied(tmp_path):
    options = {"results": tmp_path, "engine": "serial", "mlflow": False}
    runner.run(GRID, **options)
    runner.run(GRID, name="second", **options)
    for cell in Store(tmp_path / "small").states():
        first, second = (Store(tmp_path / name).alignments(cell) for name in ("small", "second"))
        assert (first.weights == second.weights).all()
        assert first.source == second.source


def test_a_grid_that_takes_a_used_name_says_what_leaves_the_table(fake, tmp_path):
    fake()
    assert fake.notices == []
    fake(train=GRID["train"] | {"steps": 5})
    folder = tmp_path / "small"
    assert fake.notices == [
        f"{folder} holds another grid: 8 cells leave the table (they are kept). "
        "To have both, run this one under another name: --as NAME"
    ]
    # Running the same again is no news, nor is a grid that has all cells of the one before.
    fake(train=GRID["train"] | {"steps": 5})
    assert fake.notices == []
    fake(train=GRID["train"] | {"steps": 5}, seeds=3)
    assert fake.notices == []
    fake(train=GRID["train"] | {"steps": 5}, seeds=3, grid={"score": ["dot"], "task": ["copy"]})
    assert "9 cells leave" in fake.notices[0]


def test_another_name_is_that_of_the_kept_grid(fake, tmp_path):
    fake(name="2024")
    kept = yaml.safe_load((tmp_path / "2024" / "grid.yaml").read_text())
    assert kept["name"] == "2024"
    assert not (tmp_path / "small").exists()


@pytest.mark.parametrize("name", ["", "a/b", ".hidden", "mlartifacts", "con", "x" * 101, "é"])
def test_a_name_that_no_run_can_have(fake, name, tmp_path):
    with pytest.raises(AttnbenchError) as caught:
        fake(name=name)
    assert caught.value.problems[0].where == "--as"
    assert list(tmp_path.iterdir()) == []


def test_the_environment_names_the_results_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("ATTNBENCH_RESULTS", str(tmp_path / "elsewhere"))
    assert results_folder() == tmp_path / "elsewhere"
    assert results_folder("here") == Path("here")
    monkeypatch.setenv("ATTNBENCH_RESULTS", "")
    assert results_folder() == Path("results")
