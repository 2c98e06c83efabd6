"""A run trains the cells that are not done, loses no finished result, and notifies its listener."""

import csv
import errno
import os
import shutil
from functools import partial
from itertools import islice
from pathlib import Path

import pytest
import torch
from fake_training import FAKE
from ports import free_port

import attnbench
from attnbench import driver, runner
from attnbench.engines import base
from attnbench.engines.base import Finished, Started
from attnbench.engines.serial import SerialEngine
from attnbench.errors import AttnbenchError, Exit, fail
from attnbench.runner import Notice, Planned
from attnbench.store import atomic as files_module
from attnbench.store import provenance, status
from attnbench.store import store as store_module
from attnbench.store.store import Store
from attnbench.tracking.client import Tracker
from attnbench.tracking.not_logged import NotLogged

GRID = """
name: small
seeds: 2
grid:
  score: [additive, dot, general]
  task: [copy, reverse]
data: {vocabulary: 6, min_length: 2, max_length: 4, test_lengths: [4], validation_examples: 20, test_examples: 20}
model: {kind: rnn, width: 8, embedding: 4}
train: {steps: 4, batch_size: 4, valid_every: 2}
"""


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    file = tmp_path / "small.yaml"
    file.write_text(GRID)
    return file


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, grid: Path, tmp_path: Path):
    """Runs the small grid with a training that takes no time, and gives the frame and the events."""

    def go(train: str = FAKE, listener=None, **options):
        monkeypatch.setitem(runner.ENGINES, "serial", partial(SerialEngine, train=train))
        events: list = []
        go.events = events

        def listen(event):
            events.append(event)
            if listener:
                listener(event)

        options = {"results": tmp_path / "results", "engine": "serial", "mlflow": False} | options
        try:
            go.frame = runner.run(grid, listener=listen, **options)
        finally:
            go.trained = [cell for event in events if isinstance(event, Finished) for cell in event.pack.ids]
        return go.frame

    return go


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results" / "small")


BROKEN_DOT = "fake_training:train_all_but_dot"


def test_a_run_trains_all_cells_and_gives_the_rows_of_the_table(fake, store):
    frame = fake()
    with (store.folder / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(frame) == 12
    assert list(frame["cell"]) == [row["cell"] for row in rows] == [c["id"] for c in store.plan()["cells"]]
    assert set(frame["status"]) == {"done"}
    kinds = [type(event) for event in fake.events]
    assert kinds[0] is Planned
    assert kinds.count(Started) == kinds.count(Finished) == 6


def test_every_training_is_noted_in_the_provenance_and_nothing_else(fake, store):
    fake(limit=1)
    fake()
    fake()  # nothing is left to train
    noted = provenance.read(store.folder)
    trained = sum(state == "done" for state in store.states().values())
    assert [one.engine for one in noted] == ["serial"] * 2
    assert sum(one.cells for one in noted) == trained
    assert {one.attnbench for one in noted} == {attnbench.__version__}


def test_what_is_done_is_not_trained_again_unless_fresh(fake):
    fake()
    fake()
    assert fake.trained == []
    assert len(fake.frame) == 12
    fake(fresh=True)
    assert len(fake.trained) == 12


def test_a_failed_cell_is_a_row_and_is_left_until_asked_for(fake):
    frame = fake(BROKEN_DOT)
    failed = frame[frame["status"] == "failed"]
    assert len(frame) == 12
    assert set(failed["score"]) == {"dot"}
    assert failed["error"].str.contains("ValueError: dot is broken").all()
    fake()
    assert fake.trained == []
    assert (fake.frame["status"] == "failed").sum() == 4
    fake(retry_failed=True)
    assert sorted(fake.trained) == sorted(failed["cell"])
    assert set(fake.frame["status"]) == {"done"}


def test_what_other_code_trained_is_trained_again_unless_kept(fake, monkeypatch):
    monkeypatch.setattr(driver, "fingerprint", lambda _: {})
    fake()
    monkeypatch.setattr(status, "fingerprint", lambda cell: {"a.py": "new"} if cell.score.name == "dot" else {})
    monkeypatch.setattr(driver, "fingerprint", status.fingerprint)
    fake(keep_stale=True)
    assert fake.trained == []
    fake()
    assert len(fake.trained) == 4
    assert fake.events[0].states[fake.trained[0]].reason == "changed since: a.py"
    assert set(fake.frame.set_index("cell").loc[fake.trained]["score"]) == {"dot"}
    fake()
    assert fake.trained == []


def test_cells_are_kept_in_memory_while_the_disk_is_full(fake, monkeypatch):
    full, fsync = [True], os.fsync

    def refuse(file):
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(file)

    def watch(event):
        if isinstance(event, Planned):
            monkeypatch.setattr(files_module.os, "fsync", refuse)
        full[0] = isinstance(event, Planned) or sum(isinstance(e, Finished) for e in fake.events) < 4

    with_room = fake(listener=watch)
    assert set(with_room["status"]) == {"done"}
    assert len(with_room) == 12
    messages = [event.text for event in fake.events if isinstance(event, Notice)]
    assert len(messages) == 1
    assert (
        "No space left on device\nTraining continues. Finished cells are kept in memory until they can be written."
        in messages[0]
    )


def test_cells_that_could_never_be_written_are_reported(fake, monkeypatch):
    def refuse(*_):
        raise fail("cannot be written: No space left on device", "somewhere")

    monkeypatch.setattr(Store, "write_pack", refuse)
    with pytest.raises(runner.Unwritten, match="12 finished cells could not be written and are lost") as caught:
        fake()
    assert caught.value.exit == Exit.CELLS_FAILED
    assert len(fake.trained) == 12


@pytest.mark.parametrize(("limit", "trained"), [(1, 2), (2, 2), (5, 4), (100, 12)])
def test_a_limit_trains_whole_packs_and_at_least_one(fake, limit, trained):
    assert len(fake(limit=limit)) == trained
    assert len(fake.trained) == trained


@pytest.mark.parametrize(("workers", "device", "gpu", "sizes"), [
    (6, "auto", False, [2] * 6),
    (8, "auto", False, [2] * 4 + [1] * 4),
    (8, "auto", True, [2] * 6),
    (8, "cpu", True, [2] * 4 + [1] * 4),
])  # fmt: skip
def test_seeds_are_spread_over_more_workers_than_packs_but_not_on_a_gpu(
    fake, monkeypatch, tmp_path, workers, device, gpu, sizes
):
    monkeypatch.setattr(base, "NVIDIA", tmp_path if gpu else tmp_path / "absent")
    monkeypatch.setitem(runner.ENGINES, "processes", partial(SerialEngine, train=FAKE))
    frame = fake(engine="processes", workers=workers, device=device)
    planned = next(event for event in fake.events if isinstance(event, Planned))
    assert sorted((len(pack.ids) for pack in planned.packs), reverse=True) == sizes
    assert len(frame) == 12


def test_fail_fast_stops_at_the_first_failure(fake):
    frame = fake(BROKEN_DOT, fail_fast=True)
    assert list(frame["score"]) == ["additive"] * 4 + ["dot"] * 2


def test_an_interrupted_run_keeps_what_was_finished_and_goes_on_from_there(fake, store):
    def interrupt(event):
        if isinstance(event, Finished) and event.pack.cell.score.name == "dot":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fake(listener=interrupt)
    finished = fake.trained
    assert len(finished) == 6
    assert len((store.folder / "table.csv").read_text().splitlines()) == 1 + 6
    assert len(fake()) == 12
    assert not set(fake.trained) & set(finished)


def test_a_pack_is_kept_whole_when_interrupted_while_it_is_written(fake, store, monkeypatch):
    write, calls = store_module.write_json, []

    def interrupted(file, record):
        calls.append(file)
        if len(calls) == 2:
            raise KeyboardInterrupt
        write(file, record)

    monkeypatch.setattr(store_module, "write_json", lambda file, r: (interrupted if "cell" in r else write)(file, r))
    with pytest.raises(KeyboardInterrupt):
        fake()
    assert len(store.states()) == 2


def test_a_pack_that_cannot_be_written_does_not_block_the_others(fake, store, monkeypatch):
    write, trained = Store.write_pack, []

    def refuse(self, outcomes, planned, code, together):
        if planned[0].labels["task"] == "copy" and planned[0].labels["score"] == "additive":
            trained.append(len(store.states()))
            raise fail("cannot be written: No space left on device", "somewhere")
        return write(self, outcomes, planned, code, together)

    monkeypatch.setattr(Store, "write_pack", refuse)
    with pytest.raises(runner.Unwritten, match="2 finished cells could not be written"):
        fake()
    assert len(store.states()) == 10
    assert trained == [0, 2, 4, 6, 8, 10, 10], "tried again after every pack, and at the end"
    assert len((store.folder / "table.csv").read_text().splitlines()) == 1 + 10
    assert [event.text.partition("\n")[0] for event in fake.events if isinstance(event, Notice)] == [
        "somewhere: cannot be written: No space left on device"
    ]


def test_a_results_folder_that_vanishes_is_an_error_of_training_and_says_what_is_lost(fake, store):
    def vanish(event):
        if isinstance(event, Finished) and sum(isinstance(e, Finished) for e in fake.events) == 2:
            shutil.rmtree(store.folder)

    with pytest.raises(runner.Unwritten) as caught:
        fake(listener=vanish)
    assert caught.value.exit == Exit.CELLS_FAILED
    said = [problem.what for problem in caught.value.problems]
    assert "8 finished cells could not be written and are lost" in said
    assert "4 finished cells were written, but their files are gone" in said
    assert said[-1] == "0 finished cells of this run are kept"
    assert not any("what is done is kept" in problem.hint for problem in caught.value.problems)


@pytest.mark.parametrize(("trained", "status"), [(0, Exit.USAGE), (2, Exit.CELLS_FAILED)])
def test_workers_that_cannot_be_started_again_are_an_error_of_training(fake, store, monkeypatch, trained, status):
    run = SerialEngine.run

    def stop(self, packs, report):
        events = run(self, packs, report)
        yield from islice(events, 2 * trained)
        raise fail("no worker process can be started")

    monkeypatch.setattr(SerialEngine, "run", stop)
    with pytest.raises(AttnbenchError, match="no worker process can be started") as caught:
        fake()
    assert caught.value.exit == status
    assert len(store.states()) == 2 * trained
    if trained:
        assert caught.value.problems[-1].what == "4 finished cells of this run are kept"
    assert not any("Interrupted" in event.text for event in fake.events if isinstance(event, Notice))


def test_a_pack_that_cannot_be_placed_is_kept_and_neither_lost_nor_trained_again(fake, store):
    def block(event):
        if isinstance(event, Planned):
            (store.folder / "cells" / f"{event.packs[0].ids[0]}.json").mkdir()

    with pytest.raises(runner.Unwritten) as caught:
        fake(listener=block)
    assert caught.value.exit == Exit.CELLS_FAILED
    said = [problem.what for problem in caught.value.problems]
    assert said[0] == "2 finished cells are kept here, and could not be moved to the other cells"
    assert said[-1] == "10 finished cells of this run are kept"
    assert not any("lost" in what for what in said)

    with pytest.raises(runner.Unwritten, match="2 finished cells are kept here"):
        fake(fresh=True)
    assert len(fake.trained) == 10, "the others"

    (obstacle,) = [file for file in (store.folder / "cells").iterdir() if file.is_dir()]
    obstacle.rmdir()
    assert len(fake()) == 12
    assert fake.trained == []


def test_a_run_that_could_place_nothing_does_not_contradict_itself(fake, store):
    def block(event):
        if isinstance(event, Planned):
            (store.folder / "cells" / f"{event.packs[0].ids[0]}.json").mkdir()

    with pytest.raises(runner.Unwritten, match="2 finished cells are kept here") as caught:
        fake(listener=block, limit=1)
    assert "0 finished cells" not in str(caught.value)


def test_a_closed_terminal_does_not_end_the_run(fake, store):
    def closed(_):
        raise OSError(errno.EIO, "Input/output error")

    assert len(fake(listener=closed)) == 12
    assert len(store.states()) == 12


def test_broken_files_are_named_and_their_cells_trained_again(fake, store):
    frame = fake()
    cut, edited = (store.folder / "cells" / f"{cell}.json" for cell in frame["cell"][:2])
    before = frame["exact_match"].tolist()
    cut.write_text(cut.read_text()[:50])
    edited.write_text(edited.read_text().replace('"exact_match": 1.0', '"exact_match": 0.5'))
    again = fake()
    messages = [event.text for event in fake.events if isinstance(event, Notice)]
    assert [str(file) in text for file, text in zip([cut, edited], messages, strict=True)] == [True, True]
    assert sorted(fake.trained) == sorted([cut.stem, edited.stem])
    assert again["exact_match"].tolist() == before


def test_a_results_folder_that_cannot_be_written_is_reported_before_training(fake, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(AttnbenchError, match="cannot be created"):
        fake(results=tmp_path / "file" / "results")
    assert fake.events == []


def test_nothing_is_logged_of_a_run_that_cannot_be_written(fake, log, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(AttnbenchError, match="cannot be created"):
        fake(results=tmp_path / "file", mlflow=True, tracking_uri="http://server")
    assert log.started == 0


def test_all_invalid_arguments_are_reported_at_once(fake):
    with pytest.raises(AttnbenchError) as caught:
        fake(engine="proceses", device="gpu", workers=0, limit=0)
    assert len(caught.value.problems) == 4
    assert "did you mean 'processes'?" in str(caught.value)


def test_a_server_that_does_not_answer_is_reported_before_training_and_nothing_is_overwritten(fake, store):
    fake()
    before = files(store)
    uri = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(AttnbenchError, match=uri):
        fake(mlflow=True, tracking_uri=uri, fresh=True, overrides=["train.steps=9"])
    assert fake.events == []
    assert files(store) == before


def files(store):
    """What a run keeps, with its content; not who holds it at the moment."""
    kept = [file for file in store.folder.rglob("*") if file.is_file() and not file.name.startswith(".lock")]
    return {file: file.read_bytes() for file in kept}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_missing_gpu_is_reported_before_training(fake, store):
    with pytest.raises(AttnbenchError, match="no GPU"):
        fake(device="cuda")
    assert fake.events == []
    assert not (store.folder / "plan.json").exists()


class Log(Tracker):
    """A tracker that records what is logged; it fails at the cell number `breaks_at`."""

    breaks_at: int | None = None
    finished: frozenset[str] = frozenset()
    catch_up_command = "attnbench sync small --results there"
    started = 0

    def __init__(self, *_):
        self.logged, self.end, self.not_logged = [], None, NotLogged()
        Log.last = self

    def start(self, plan, grid_text):
        assert plan.name == "small"
        Log.started += 1
        assert "name: small" in grid_text

    def has(self, cell, digest):
        assert len(digest) == 64
        return cell in self.finished

    def log_cell(self, outcome, planned, digest):
        assert outcome.cell == planned.id
        assert len(digest) == 64
        if len(self.logged) == self.breaks_at:
            raise fail("the server went away")
        self.logged.append(outcome)
        return True

    def finish(self, frame, status):
        self.end = (len(frame), status)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> type[Log]:
    monkeypatch.setattr(runner, "Tracker", Log)
    monkeypatch.setattr(Log, "breaks_at", None)
    monkeypatch.setattr(Log, "finished", frozenset())
    monkeypatch.setattr(Log, "started", 0)
    return Log


def test_every_cell_and_the_end_are_logged(fake, log):
    fake(BROKEN_DOT, mlflow=True)
    assert [o.cell for o in log.last.logged] == fake.trained
    assert log.last.end == (12, "FAILED")
    fake(retry_failed=True, mlflow=True)
    assert log.last.end == (12, "FINISHED")
    assert sorted(o.cell for o in log.last.logged) == sorted(fake.frame["cell"])
    assert {o.status for o in log.last.logged} == {"done"}


def test_a_tracker_that_fails_loses_no_result(fake, log):
    log.breaks_at = 3
    assert len(fake(mlflow=True)) == 12
    (notice,) = [event for event in fake.events if isinstance(event, Notice)]
    assert "the server went away" in notice.text
    assert "complete on disk" in notice.text
    assert "To log them: attnbench sync small --results there" in notice.text


@pytest.mark.usefixtures("log")
def test_a_bug_in_logging_loses_no_result_and_is_reported_as_attnbenchs(fake, monkeypatch):
    def finish(*_):
        raise FileNotFoundError("page.css is missing")

    monkeypatch.setattr(Log, "finish", finish)
    assert set(fake(mlflow=True)["status"]) == {"done"}
    assert len(fake.frame) == 12
    (notice,) = [event for event in fake.events if isinstance(event, Notice)]
    first, *traceback = notice.text.splitlines()
    assert first == (
        "The results are complete on disk, but not in MLflow, because of a bug in attnbench: "
        "please report it with these lines."
    )
    assert traceback[0].startswith("Traceback")
    assert traceback[-1] == "FileNotFoundError: page.css is missing"


def test_an_interruption_is_logged(fake, log):
    def interrupt(event):
        if isinstance(event, Finished):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fake(listener=interrupt, mlflow=True)
    assert log.last.end == (2, "KILLED")


def test_cells_trained_without_the_tracker_are_logged_later(fake, log):
    first = fake()
    known = first["cell"].iloc[0]
    log.finished = frozenset({known})
    fake(mlflow=True)
    assert fake.trained == []
    assert [o.cell for o in log.last.logged] == list(first["cell"])[1:]
    assert {o.metrics["exact_match"] for o in log.last.logged} == {1.0}
    assert [o.seed for o in log.last.logged] == list(first["seed"])[1:]


def test_the_table_is_the_same_whatever_the_engine_and_the_workers(grid, tmp_path):
    tables = []
    for name, engine, workers in (("one", "processes", 1), ("two", "processes", 2), ("here", "serial", None)):
        attnbench.run(grid, results=tmp_path / name, engine=engine, workers=workers, device="cpu", mlflow=False)
        with (tmp_path / name / "small" / "table.csv").open() as file:
            rows = list(csv.DictReader(file))
        tables.append([{k: v for k, v in row.items() if k not in ("seconds", "tokens_per_second")} for row in rows])
    assert len(tables[0]) == 12
    assert {row["status"] for row in tables[0]} == {"done"}
    assert tables[0] == tables[1] == tables[2]


def test_a_run_begins_with_what_is_unknown_or_left_out_of_sentence_pairs(tmp_path):
    """One line is also a test source, and one of the four words of the test targets is never trained."""
    (tmp_path / "train.tsv").write_text("a b\tx y\nb a\ty x\na a\tx x\n")
    (tmp_path / "test.tsv").write_text("a a\tx x\na b\tx new\n".replace("a b", "b b"))
    grid = {
        "name": "pairs",
        "seeds": 1,
        "grid": {"score": ["dot"], "task": ["translate"]},
        "data": {"path": str(tmp_path / "train.tsv"), "validation_path": str(tmp_path / "train.tsv")}
        | {"test_path": str(tmp_path / "test.tsv")},
        "model": {"width": 8, "embedding": 4},
        "train": {"steps": 2, "valid_every": 2, "batch_size": 2},
    }
    grid["data"]["validation_path"] = str(tmp_path / "dev.tsv")
    (tmp_path / "dev.tsv").write_text("b b b\ty y y\n")
    events = []
    frame = runner.run(grid, results=tmp_path, engine="serial", mlflow=False, listener=events.append)
    (notice,) = [event.text for event in events if isinstance(event, Notice)]
    assert notice == (
        "train.tsv: 2 training lines; 1 more left out, because their source is also validated or tested; "
        "25.0% of the test target words are unknown and count as errors"
    )
    record = Store(tmp_path / "pairs").read(frame["cell"][0])
    assert record["facts"]["unknown_target_words_test"] == 0.25


def test_alignments_too_large_for_a_file_lose_no_result(tmp_path, monkeypatch):
    monkeypatch.setattr("attnbench.store.alignments.MOST_BYTES", 100)
    grid = {
        "name": "large",
        "seeds": 1,
        "grid": {"score": ["dot"], "task": ["copy"]},
        "model": {"width": 8, "embedding": 4},
        "train": {"steps": 2, "valid_every": 2, "batch_size": 2},
    }
    events = []
    frame = runner.run(grid, results=tmp_path, engine="serial", mlflow=False, listener=events.append)
    assert list(frame["status"]) == ["done"]
    (notice,) = [event.text for event in events if isinstance(event, Notice)]
    assert notice.startswith(f"the alignments of {frame['cell'][0]} are too large for a file each")
