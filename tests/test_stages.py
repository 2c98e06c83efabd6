"""Runs whose later cells depend on earlier results: tuning first, then as many seeds as the decisions need."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import attnbench
from attnbench import runner
from attnbench.cli.console import Console
from attnbench.cli.run import _print_results
from attnbench.engines.base import Finished
from attnbench.engines.serial import SerialEngine
from attnbench.errors import AttnbenchError
from attnbench.grid.load import load_grid
from attnbench.runner import Notice, Planned
from attnbench.stages import stage_of
from attnbench.store.runs import orphans, summary
from attnbench.store.store import Store

TUNE = """
name: g
seeds: 2
grid: {score: [additive, dot], task: [copy, reverse]}
tune: {grid: {train.learning_rate: [0.001, 0.01, 0.1]}}
"""
DECIDE = """
name: g
seeds: {at_least: 2, at_most: 20}
grid: {score: [additive, general, dot], task: [copy]}
decide: {axis: score, margin: 0.02}
train: {learning_rate: 0.01}
"""
BOTH = DECIDE.replace("train: {learning_rate: 0.01}", "tune: {grid: {train.learning_rate: [0.01, 0.1]}, seeds: 1}")
GRADED = "fake_training:train_graded"
Go = Callable[..., Any]


@pytest.fixture
def go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Go:
    """Runs a grid with a training that takes no time. `go.stages` has the score, task and seeds of every pack."""

    def go(text: str, train: str = GRADED, stop_after: int | None = None, **options: Any) -> Any:
        monkeypatch.setitem(runner.ENGINES, "serial", partial(SerialEngine, train=train))
        file = tmp_path / "g.yaml"
        file.write_text(text)
        go.stages, go.trained, go.notices = [], [], []

        def listen(event: Any) -> None:
            if isinstance(event, Notice):
                go.notices.append(event.text)
            if isinstance(event, Planned):
                go.stages.append([])
            if isinstance(event, Finished):
                cell = event.pack.cell
                go.stages[-1].append((cell.score.name, cell.task.name, event.pack.seeds))
                go.trained += event.pack.ids
                if stop_after is not None and sum(map(len, go.stages)) == stop_after:
                    raise KeyboardInterrupt

        options = {"results": tmp_path / "results", "engine": "serial", "mlflow": False} | options
        return runner.run(file, listener=listen, **options)

    return go


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results" / "g")


def contents(folder: Path) -> dict[str, str]:
    """The records without what they do not share: their digests."""
    found = {}
    for file in sorted((folder / "cells").glob("*.json")):
        record = json.loads(file.read_text())
        del record["digest"]
        found[file.name] = json.dumps(record, sort_keys=True)
    return found


# --- tuning


def test_tuning_comes_first_and_the_reported_seeds_are_trained_with_what_it_chose(go: Go, store: Store) -> None:
    frame = go(TUNE)
    assert [len(stage) for stage in go.stages] == [2 * 2 * 3, 2 * 2]
    assert {seeds for _, _, seeds in go.stages[0]} == {(1_000_000, 1_000_001)}
    assert {seeds for _, _, seeds in go.stages[1]} == {(0, 1)}
    rates = {store.read(cell)["labels"]["score"]: store.read(cell)["config"]["train"] for cell in frame["cell"]}
    assert {score: train["learning_rate"] for score, train in rates.items()} == {"additive": 0.01, "dot": 0.1}


def test_tuning_cells_are_kept_and_enter_neither_a_table_nor_a_baseline(go: Go, store: Store) -> None:
    frame = go(TUNE)
    assert len(frame) == 2 * 2 * 2
    assert set(frame["seed"]) == {0, 1}
    assert len(store.states()) == 2 * 2 * 3 * 2 + 8
    assert "1000000" not in (store.folder / "table.csv").read_text()
    tuning = store.plan()["tuning"]
    assert len(tuning) == 24
    assert store.find(tuning[0]["id"][:8]) == tuning[0]["id"]


def test_a_finished_run_trains_nothing_again(go: Go) -> None:
    go(TUNE)
    go(TUNE)
    assert go.stages == [[]]


def test_an_interrupted_tuning_continues_and_ends_with_the_same_results(go: Go, store: Store) -> None:
    go(TUNE)
    expected, table = contents(store.folder), (store.folder / "table.csv").read_bytes()
    for stop_after in (1, 7, 12, 14):
        shutil.rmtree(store.folder)
        with pytest.raises(KeyboardInterrupt):
            go(TUNE, stop_after=stop_after)
        go(TUNE)
        assert contents(store.folder) == expected
        assert (store.folder / "table.csv").read_bytes() == table


def test_while_tuning_is_not_finished_the_table_says_so(go: Go, store: Store) -> None:
    with pytest.raises(KeyboardInterrupt):
        go(TUNE, stop_after=3)
    assert store.notes() == ["tuning is not finished: 18 of its 24 cells are missing; 8 reported cells follow"]


def test_no_reported_cell_is_trained_while_a_tuning_cell_is_missing(go: Go, store: Store) -> None:
    go(TUNE)
    lost = store.plan()["tuning"][0]["id"]
    (store.folder / "cells" / f"{lost}.json").unlink()
    go(TUNE)
    # The pack of the lost cell is trained whole; the choice is the same, so that nothing else is.
    assert [len(stage) for stage in go.stages] == [1, 0]
    assert len(go.trained) == 2


def test_a_failed_candidate_is_not_chosen(go: Go) -> None:
    frame = go(TUNE.replace("additive", "general"), train="fake_training:train_graded_but_general_fails")
    assert set(frame.loc[frame["score"] == "general", "status"]) == {"failed"}
    assert set(frame.loc[frame["score"] == "dot", "status"]) == {"done"}


def test_with_fresh_everything_is_trained_once_more(go: Go) -> None:
    go(TUNE)
    go(TUNE, fresh=True)
    assert [len(stage) for stage in go.stages] == [12, 4]
    assert len(go.trained) == len(set(go.trained)) == 32


def test_limit_counts_the_cells_of_all_stages(go: Go) -> None:
    go(TUNE, limit=5)
    assert len(go.trained) == 4
    go(TUNE, limit=22)
    assert len(go.trained) == 20 + 2
    go(TUNE)
    assert len(go.trained) == 6


def test_a_limit_that_a_later_stage_reaches_is_not_exceeded(go: Go) -> None:
    """26 cells in two stages leave room for a single one, and a pack has two."""
    go(TUNE, limit=2 * 2 * 3 * 2 + 3)
    assert len(go.trained) == 2 * 2 * 3 * 2 + 2


def test_a_limit_that_tuning_reaches_nearly_trains_no_reported_pack(go: Go) -> None:
    go(TUNE.replace("seeds: 2", "seeds: 4"), limit=2 * 2 * 3 * 2 + 3)
    assert len(go.trained) == 2 * 2 * 3 * 2


def test_more_candidates_train_only_what_is_missing(go: Go) -> None:
    go(TUNE)
    go(TUNE.replace("0.1]", "0.1, 1.0]"))
    assert [len(stage) for stage in go.stages] == [4, 0]
    go(TUNE.replace("[0.001, ", "[0.001, 0.0001, ").replace("0.1]", "0.001001]"))
    assert len(go.stages) == 2


def test_tuning_cells_are_no_orphans(go: Go, store: Store) -> None:
    """`attnbench runs --prune` deletes orphans."""
    go(TUNE)
    assert orphans(store) == []
    assert summary(store).orphaned == 0


def test_while_tuning_is_not_finished_no_cell_is_taken_for_an_orphan(go: Go, store: Store) -> None:
    """Which reported cells the grid has is known after tuning; those of an earlier run are probably among them."""
    go(TUNE)
    more = TUNE.replace("0.1]", "0.1, 1.0]")
    with pytest.raises(KeyboardInterrupt):
        go(more, stop_after=1)
    assert (summary(store).orphaned, summary(store).finished) == (0, 24 + 8 + 2)
    with pytest.raises(AttnbenchError, match="tuning is not finished"):
        orphans(store)
    go(more)
    assert orphans(store) == []


def test_one_more_candidate_does_not_make_it_another_grid(go: Go) -> None:
    go(TUNE)
    go(TUNE.replace("0.1]", "0.1, 1.0]"))
    assert not [note for note in go.notices if "another grid" in note]


def test_a_run_that_ends_in_tuning_says_so_and_is_no_error(
    go: Go, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = go(TUNE, limit=2)
    assert frame.empty
    results = tmp_path / "results"
    _print_results(frame, stage_of(load_grid(tmp_path / "g.yaml"), lambda _: {}).plan, Console(), None, results)
    assert "tuning is not finished: 22 of its 24 cells are missing; 8 reported cells follow" in capsys.readouterr().out


# --- with several workers, over which few packs are spread


SETTINGS = DECIDE.replace("[copy]", "[copy, reverse]")


@pytest.mark.parametrize("text", [TUNE, SETTINGS, BOTH], ids=["tune", "decide", "both"])
def test_which_cells_are_trained_together_does_not_depend_on_interruptions(
    go: Go, store: Store, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(runner._Engine, "spread_over", property(lambda _: 5))
    go(text)
    expected, packs = contents(store.folder), sum(map(len, go.stages))
    for stop_after in range(1, packs):
        shutil.rmtree(store.folder)
        with pytest.raises(KeyboardInterrupt):
            go(text, stop_after=stop_after)
        go(text)
        assert contents(store.folder) == expected, stop_after


# --- decide


def looks(store: Store) -> dict[str, int]:
    """The number of seeds of each score."""
    frame = store.frame()
    return frame.groupby("score")["seed"].count().to_dict()


def test_values_get_seeds_until_their_pairs_are_settled(go: Go, store: Store) -> None:
    go(DECIDE)
    found = looks(store)
    assert found["additive"] < found["dot"] == found["general"] == 20
    assert {seeds[0] for _, _, seeds in go.stages[0]} == {0}
    # A look trains the seeds that are new, of the values that are open alone.
    for stage in go.stages[1:]:
        assert {score for score, _, _ in stage} == {"dot", "general"}
        assert all(seeds[0] > 0 for _, _, seeds in stage)
    assert not store.notes()
    assert store.plan().get("waiting", 0) == 0


def test_a_resumed_run_makes_the_same_looks(go: Go, store: Store) -> None:
    go(DECIDE)
    expected, table = contents(store.folder), (store.folder / "table.csv").read_bytes()
    packs = sum(map(len, go.stages))
    for stop_after in range(1, packs):
        shutil.rmtree(store.folder)
        with pytest.raises(KeyboardInterrupt):
            go(DECIDE, stop_after=stop_after)
        go(DECIDE)
        assert contents(store.folder) == expected
        assert (store.folder / "table.csv").read_bytes() == table
    go(DECIDE)
    assert go.stages == [[]]


def test_seeds_of_later_looks_and_those_that_are_not_needed_are_no_orphans(go: Go, store: Store) -> None:
    go(DECIDE)
    with pytest.raises(KeyboardInterrupt):
        go(DECIDE, fresh=True, stop_after=1)
    assert len(store.states()) > len(store.plan()["cells"])
    assert orphans(store) == []
    go(DECIDE.replace("at_most: 20", "at_most: 16"))
    assert {store.read(cell)["labels"]["seed"] for cell in orphans(store)} == {16, 17, 18, 19}


def test_other_settings_do_not_matter_for_a_decision(go: Go, store: Store) -> None:
    go(DECIDE)
    alone = looks(store)
    shutil.rmtree(store.folder)
    frame = go(DECIDE.replace("[copy]", "[copy, reverse]"))
    both = frame[frame["task"] == "copy"].groupby("score")["seed"].count().to_dict()
    assert both == alone


def test_a_run_that_begins_its_looks_again_does_not_say_that_cells_leave(go: Go) -> None:
    go(DECIDE)
    go(DECIDE, fresh=True)
    assert not [note for note in go.notices if "another grid" in note]


def test_fresh_makes_all_looks_anew(go: Go, store: Store) -> None:
    go(DECIDE)
    before, trained = looks(store), len(go.trained)
    go(DECIDE, fresh=True)
    assert looks(store) == before
    assert len(go.trained) == len(set(go.trained)) == trained


def test_cells_of_another_run_are_reused_for_all_looks(go: Go, store: Store) -> None:
    go(DECIDE)
    expected = looks(store)
    every = DECIDE.replace("{at_least: 2, at_most: 20}", "20").replace("decide: {axis: score, margin: 0.02}\n", "")
    shutil.rmtree(store.folder)
    go(every, name="all")
    go(DECIDE)
    assert not go.trained
    assert looks(store) == expected


def test_a_failing_value_is_worse_than_all_others(go: Go, store: Store) -> None:
    go(DECIDE, train="fake_training:train_graded_but_general_fails")
    run = attnbench.load("g", store.folder.parent)
    assert any("dot is better than general" in note for note in run.notes)
    assert any("additive is better than dot" in note or "additive is better than general" in note for note in run.notes)


def test_tuning_and_deciding_together(go: Go, store: Store) -> None:
    go(BOTH)
    first = [seeds for _, _, seeds in go.stages[0]]
    assert set(first) == {(1_000_000,)}
    assert {seeds[0] for _, _, seeds in go.stages[1]} == {0}
    assert looks(store)["additive"] < 20
    notes = attnbench.load("g", store.folder.parent).notes
    assert any(note.startswith("train.learning_rate, chosen on validation") for note in notes)
    assert any("additive is better than" in note for note in notes)


def test_the_table_of_a_decided_run_makes_no_tests_of_its_own(go: Go, store: Store) -> None:
    """They assume a number of seeds that was fixed beforehand."""
    go(DECIDE)
    text = attnbench.load("g", store.folder.parent).table().text
    assert "sign-flip" not in text
    assert "An error in any pair of a setting has a probability of at most 5 %" in text


def test_mlflow_has_the_tuning_cells_under_a_kind_of_their_own(go: Go, store: Store, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    go(BOTH, mlflow=True)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'results' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("g").experiment_id
    kinds = [run.data.tags["attnbench.kind"] for run in client.search_runs([experiment], max_results=500)]
    assert (kinds.count("grid"), kinds.count("tuning"), kinds.count("cell")) == (1, 6, len(store.frame()))
    (parent,) = client.search_runs([experiment], "tags.`attnbench.kind` = 'grid'")
    files = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert {"tuning_exact_match_by_train.learning_rate.png", "tuning_loss_by_train.learning_rate.png"} <= files
