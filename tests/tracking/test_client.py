"""What a user finds in MLflow, read with MLflow's own client."""

import json
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import made_up_run
import mlflow
import pytest
from mlflow.environment_variables import MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT
from mlflow.protos import databricks_pb2
from ports import free_port

from attnbench.cell import Component
from attnbench.errors import AttnbenchError, Problem
from attnbench.grid.plan import Plan, PlannedCell
from attnbench.outcome import Outcome
from attnbench.store.store import Store
from attnbench.tracking.client import Tracker
from attnbench.tracking.content import params_of, run_name
from attnbench.tracking.server import connect, offline_environment, probe, store_uri
from attnbench.tracking.sync import catch_up

GRID = "name: made-up\n"
HISTORY = [
    {"step": 50, "train/loss": 2.0, "valid/exact_match": 0.25, "seconds": 1.0},
    {"step": 100, "train/loss": float("nan"), "valid/exact_match": 0.75, "seconds": 2.0},
]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One MLflow database for all tests of this file, as creating one takes seconds; each test has its own grid."""
    return tmp_path_factory.mktemp("results")


@pytest.fixture(autouse=True)
def no_server_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def trained(planned: PlannedCell, **metrics: Any) -> Outcome:
    given = {"exact_match": 0.75, "seconds": 2.0, "exact_match_at_9": 0.75, "exact_match_at_20": 0.5, **metrics}
    outcome = made_up_run.outcome(planned, **given)
    return replace(outcome, history=HISTORY, alignments=made_up_run.diagonal(["a", "b"]))


def track(results: Path, plan: Plan, outcomes: list[Outcome], status: str = "FINISHED") -> Tracker:
    """A whole run of a grid: the calls of store and tracker as the runner makes them."""
    store, tracker = Store(results / plan.name), Tracker(plan.name, None, results)
    store.start(plan, GRID)
    tracker.start(plan, GRID)
    cells = {planned.id: planned for planned in plan.cells}
    for outcome in outcomes:
        (digest,) = store.write_pack([outcome], [cells[outcome.cell]], {})
        tracker.log_cell(outcome, cells[outcome.cell], digest)
    tracker.finish(store.frame(), status)
    return tracker


def client(results: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{results}/mlflow.db")


def runs(results: Path, name: str, kind: str) -> list[Any]:
    mlflow = client(results)
    experiment = mlflow.get_experiment_by_name(name)
    return list(mlflow.search_runs([experiment.experiment_id], f"tags.`attnbench.kind` = '{kind}'"))


def images(results: Path, run: Any) -> list[int]:
    """The steps of the full-size pictures under the key `alignment`."""
    paths = [file.path for file in client(results).list_artifacts(run.info.run_id, "images")]
    return sorted(int(match[1]) for path in paths if (match := re.match(r"images/alignment\+step\+(\d+).*png$", path)))


def test_one_run_per_grid_and_one_below_it_per_cell(results: Path) -> None:
    plan = made_up_run.plan("nested", score=["dot", "additive"], seed=[0, 1])
    track(results, plan, [trained(planned) for planned in plan.cells])
    (parent,) = runs(results, "nested", "grid")
    children = runs(results, "nested", "cell")
    assert parent.info.status == "FINISHED"
    assert {run.data.tags["attnbench.cell"] for run in children} == {planned.id for planned in plan.cells}
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert {run.info.run_name for run in children} == {
        "dot · copy · seed 0",
        "dot · copy · seed 1",
        "additive · copy · seed 0",
        "additive · copy · seed 1",
    }


def test_a_cell_has_params_metrics_series_and_pictures(results: Path) -> None:
    plan = made_up_run.plan("content")
    track(results, plan, [trained(plan.cells[0])])
    (run,) = runs(results, "content", "cell")
    assert run.data.params == params_of(plan.cells[0].cell)
    assert run.data.params["model.width"] == "64"
    parts = {"score": "dot", "scope": "global", "task": "copy", "model": "rnn"}
    assert {name: run.data.params[name] for name in parts} == parts
    assert run.data.params["data.test_lengths"] == "[9, 20]"
    assert {name: run.data.metrics[name] for name in ("exact_match", "exact_match_at_20", "parameters", "seconds")} == {
        "exact_match": 0.75,
        "exact_match_at_20": 0.5,
        "parameters": 12345,
        "seconds": 2.0,
    }
    assert "bleu" not in run.data.metrics
    history = client(results).get_metric_history(run.info.run_id, "valid/exact_match")
    assert [(point.step, point.value) for point in history] == [(50, 0.25), (100, 0.75)]
    assert history[1].timestamp - history[0].timestamp == 1000
    assert [p.step for p in client(results).get_metric_history(run.info.run_id, "train/loss")] == [50]
    # The last one also at the last step of the grid, where the slider opens: the cell stopped at step 200 of 800.
    assert images(results, run) == [100, 200, 800]
    assert run.info.end_time - run.info.start_time >= 2000


def test_more_points_than_a_batch_takes(results: Path) -> None:
    plan = made_up_run.plan("long")
    history = [{"step": step, "train/loss": 1 / step, "valid/loss": 1 / step} for step in range(1, 1301)]
    track(results, plan, [replace(trained(plan.cells[0]), history=history)])
    (run,) = runs(results, "long", "cell")
    for name in ("train/loss", "valid/loss"):
        assert [p.step for p in client(results).get_metric_history(run.info.run_id, name)] == list(range(1, 1301))


def test_the_grids_run_carries_table_and_pictures(results: Path) -> None:
    plan = made_up_run.plan("overview", score=["dot", "additive"], scope=["global", "local-p window=3"], seed=[0, 1])
    outcomes = [trained(planned) for planned in plan.cells[:-1]]
    track(results, plan, [*outcomes, made_up_run.failed(plan.cells[-1])], "FAILED")
    (parent,) = runs(results, "overview", "grid")
    mlflow = client(results)
    assert {file.path for file in mlflow.list_artifacts(parent.info.run_id)} == {
        "comparison.html", "table.csv", "grid.yaml", "exact_match.png", "alignments_global.png",
        "alignments_local-p_window_3.png", "exact_match_by_length.html",
    }  # fmt: skip
    assert "local-p window=3" in {run.info.run_name.split(" · ")[1] for run in runs(results, "overview", "cell")}
    tag = mlflow.get_experiment_by_name("overview").tags["mlflow.sharedViewState.cells"]
    view = json.loads(json.loads(tag)["state"])
    assert view["selectedColumns"] == [
        "metrics.`exact_match`",
        "metrics.`seconds`",
        "metrics.`exact_match_at_9`",
        "metrics.`exact_match_at_20`",
    ]
    assert parent.info.status == "FAILED"
    assert parent.data.metrics == {"cells_done": 7, "cells_failed": 1}
    assert "| dot | global |" in parent.data.tags["mlflow.note.content"]
    table = Path(mlflow.download_artifacts(parent.info.run_id, "table.csv")).read_text()
    assert table.count("\n") == 1 + len(plan.cells)


def test_a_resumed_grid_goes_on_in_the_same_runs(results: Path) -> None:
    plan = made_up_run.plan("resumed", score=["dot", "additive"])
    first = track(results, plan, [trained(plan.cells[0])], "KILLED")
    digest = dict(Store(results / "resumed").summaries())[plan.cells[0].id].digest
    assert not first.has(plan.cells[0].id, digest), "not when it began"
    before = runs(results, "resumed", "grid") + runs(results, "resumed", "cell")
    second = track(results, plan, [trained(plan.cells[1])])
    after = runs(results, "resumed", "grid") + runs(results, "resumed", "cell")
    assert second.has(plan.cells[0].id, digest)
    assert not second.has(plan.cells[0].id, "another training")
    assert not second.has(plan.cells[1].id, digest)
    assert {run.info.run_id for run in before} < {run.info.run_id for run in after}
    assert len(after) == 3
    assert [run.info.status for run in after] == ["FINISHED"] * 3


def test_a_failed_cell_has_its_reason_and_its_run_is_reused_for_the_next_attempt(results: Path) -> None:
    plan = made_up_run.plan("failing")
    track(results, plan, [made_up_run.failed(plan.cells[0], "the loss is NaN at step 7")])
    (run,) = runs(results, "failing", "cell")
    assert run.info.status == "FAILED"
    assert run.data.tags["attnbench.error"] == "the loss is NaN at step 7"
    track(results, plan, [trained(plan.cells[0])])
    (again,) = runs(results, "failing", "cell")
    assert again.info.run_id == run.info.run_id
    assert again.info.status == "FINISHED"
    assert "attnbench.error" not in again.data.tags
    assert "mlflow.note.content" not in again.data.tags


def test_a_cell_trained_again_is_not_mixed_with_its_old_training(results: Path) -> None:
    plan = made_up_run.plan("fresh")
    track(results, plan, [trained(plan.cells[0])])
    track(results, plan, [trained(plan.cells[0], exact_match=1.0)])
    (run,) = runs(results, "fresh", "cell")
    assert run.data.metrics["exact_match"] == 1.0
    assert len(client(results).get_metric_history(run.info.run_id, "valid/exact_match")) == len(HISTORY)
    # The last one also at the last step of the grid, where the slider opens: the cell stopped at step 200 of 800.
    assert images(results, run) == [100, 200, 800]


@pytest.mark.parametrize("earlier", ["no run", "a run without training"])
def test_pictures_of_a_cell_that_was_left_in_between_are_not_logged_twice(
    results: Path, monkeypatch: pytest.MonkeyPatch, earlier: str
) -> None:
    plan = made_up_run.plan(f"pictures-only-{earlier}".replace(" ", "-"))
    if earlier == "a run without training":
        track(results, plan, [made_up_run.failed(plan.cells[0])])
    log_artifacts = mlflow.MlflowClient.log_artifacts

    def disconnected(*arguments: Any) -> None:
        log_artifacts(*arguments)
        raise OSError("no connection")

    monkeypatch.setattr(mlflow.MlflowClient, "log_artifacts", disconnected)
    with pytest.raises(AttnbenchError, match="no connection"):
        track(results, plan, [trained(plan.cells[0])])
    monkeypatch.setattr(mlflow.MlflowClient, "log_artifacts", log_artifacts)
    track(results, plan, [trained(plan.cells[0])])
    (run,) = runs(results, plan.name, "cell")
    assert images(results, run) == [100, 200, 800]


def test_a_cell_that_failed_in_training_is_not_mixed_with_its_next_attempt(results: Path) -> None:
    plan = made_up_run.plan("halfway")
    track(results, plan, [replace(made_up_run.failed(plan.cells[0]), history=HISTORY[:1])])
    track(results, plan, [trained(plan.cells[0])])
    (run,) = runs(results, "halfway", "cell")
    assert run.info.status == "FINISHED"
    assert len(client(results).get_metric_history(run.info.run_id, "valid/exact_match")) == len(HISTORY)


def test_a_deleted_experiment_is_restored_without_duplicate_runs(results: Path) -> None:
    plan = made_up_run.plan("deleted")
    for _ in range(2):
        track(results, plan, [trained(plan.cells[0])])
    (kept,) = runs(results, "deleted", "cell")
    client(results).delete_experiment(client(results).get_experiment_by_name("deleted").experiment_id)
    track(results, plan, [])
    assert [run.info.run_id for run in runs(results, "deleted", "cell")] == [kept.info.run_id]


def test_the_run_of_a_grid_without_finished_cells_is_ended_too(results: Path) -> None:
    track(results, made_up_run.plan("empty"), [], "KILLED")
    (parent,) = runs(results, "empty", "grid")
    assert parent.info.status == "KILLED"


@pytest.mark.parametrize(
    "error", [OSError("page.css is missing"), ValueError("no such colour")], ids=["OSError", "ValueError"]
)
@pytest.mark.parametrize("broken", ["comparison_texts", "overview_files", "saved_view"])
def test_an_error_in_what_attnbench_draws_is_not_mlflows(
    results: Path, monkeypatch: pytest.MonkeyPatch, broken: str, error: Exception
) -> None:
    monkeypatch.setattr(f"attnbench.tracking.client.{broken}", raises(error))
    plan = made_up_run.plan("broken-comparison")
    with pytest.raises(type(error), match=str(error)):
        track(results, plan, [trained(plan.cells[0])])


def test_a_picture_that_fails_costs_the_picture(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attnbench.tracking.pictures._painter", raises(OSError("no font")))
    monkeypatch.setattr("attnbench.analysis.plots.accuracy_heatmap", raises(ValueError("no colour")))
    plan = made_up_run.plan("broken-pictures")
    tracker = track(results, plan, [trained(plan.cells[0])])
    bug = "This is a bug in attnbench: please report it"
    assert tracker.not_logged.lines() == [
        f"picture not logged: dot · copy · seed 0: OSError: no font. {bug}",
        f"picture not logged: exact_match.png: ValueError: no colour. {bug}",
    ]
    assert not tracker.not_logged.has_cells
    (run,) = runs(results, "broken-pictures", "cell")
    assert run.info.status == "FINISHED"
    assert run.data.metrics["exact_match"] == 0.75
    (parent,) = runs(results, "broken-pictures", "grid")
    files = {file.path for file in client(results).list_artifacts(parent.info.run_id)}
    assert "alignments_global.png" in files
    assert "exact_match.png" not in files


def test_a_picture_that_mlflow_does_not_take_costs_the_picture(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = mlflow.exceptions.MlflowException("not this one", databricks_pb2.INVALID_PARAMETER_VALUE)
    monkeypatch.setattr(mlflow.MlflowClient, "log_artifacts", raises(refused))
    plan = made_up_run.plan("refused-picture")
    tracker = track(results, plan, [trained(plan.cells[0])])
    (line,) = tracker.not_logged.lines()
    assert line.startswith("picture not logged: dot · copy · seed 0")
    assert not tracker.not_logged.has_cells
    (run,) = runs(results, "refused-picture", "cell")
    assert (run.info.status, run.data.metrics["exact_match"]) == ("FINISHED", 0.75)


def test_letters_without_a_font_are_listed_once(results: Path) -> None:
    plan = made_up_run.plan("letters", seed=[0, 1])
    alignments = made_up_run.diagonal(["\u0378a", "\u0379\u0378"])
    outcomes = [replace(trained(planned), alignments=alignments) for planned in plan.cells]
    (line,) = track(results, plan, outcomes).not_logged.lines()
    assert line.startswith("no installed font has U+0378, U+0379: pictures show code points")


def test_words_that_mathematics_would_refuse_are_logged(results: Path) -> None:
    plan = made_up_run.plan("mathematics", score=["$$"], data__path=["$\\alpha_"])
    outcomes = [replace(trained(plan.cells[0]), alignments=made_up_run.diagonal(["$$", "a_b^c"]))]
    tracker = track(results, plan, outcomes)
    assert tracker.not_logged.lines() == []
    (run,) = runs(results, "mathematics", "cell")
    assert {100, 200} <= set(images(results, run))


UNUSUAL = {"a?b": 1, "a!b": 2, "k" * 400: 3, "k" * 401: 4, "sp ace": 5, "é": "x" * 10_000, "/..": {"": 0}, "\n": None}


def unusual(plan: Plan) -> Plan:
    """The plan with options in its first cell that MLflow's names and values do not allow."""
    first, *others = plan.cells
    score = Component(name="dot", options=UNUSUAL)
    return replace(plan, cells=[replace(first, cell=first.cell.model_copy(update={"score": score})), *others])


def test_every_option_can_be_logged(results: Path) -> None:
    plan = unusual(made_up_run.plan("options"))
    tracker = track(results, plan, [trained(plan.cells[0])])
    assert tracker.not_logged.lines() == []
    (run,) = runs(results, "options", "cell")
    params = {name: value for name, value in run.data.params.items() if name.startswith("score.")}
    assert len(params) == len(UNUSUAL), "none takes the place of another"
    assert params["score.a_b"] == "1"
    assert sorted(value for name, value in params.items() if name.startswith("score.kk")) == ["3", "4"]
    assert len(params["score.é"]) == 6000
    assert " … [10,000 characters] … " in params["score.é"]


def refusing(cell: str, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes MLflow answer with this error code to the params of a cell."""
    log_batch = mlflow.MlflowClient.log_batch

    def answer(self: Any, run: str, *args: Any, **kwargs: Any) -> None:
        if self.get_run(run).data.tags.get("attnbench.cell") == cell:
            raise mlflow.exceptions.MlflowException("not this one", getattr(databricks_pb2, status))
        log_batch(self, run, *args, **kwargs)

    monkeypatch.setattr(mlflow.MlflowClient, "log_batch", answer)


def test_a_cell_that_mlflow_does_not_take_does_not_block_the_others(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = made_up_run.plan("refused", seed=[0, 1, 2])
    refusing(plan.cells[1].id, "INVALID_PARAMETER_VALUE", monkeypatch)
    tracker = track(results, plan, [trained(planned) for planned in plan.cells])
    (line,) = tracker.not_logged.lines()
    assert line.startswith("not logged: dot · copy · seed 1: ")
    assert line.endswith("MLflow does not take it: not this one")
    states = {run.data.tags["attnbench.cell"]: run.info.status for run in runs(results, "refused", "cell")}
    assert [states[planned.id] for planned in plan.cells] == ["FINISHED", "KILLED", "FINISHED"]
    (parent,) = runs(results, "refused", "grid")
    assert parent.info.status == "FINISHED"
    logged, there, not_logged = catch_up(Store(results / "refused"), None)
    assert (logged, there, not_logged.has_cells) == (0, 2, True)
    monkeypatch.undo()
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    logged, there, not_logged = catch_up(Store(results / "refused"), None)
    assert (logged, there, not_logged.lines()) == (1, 2, [])
    assert len(runs(results, "refused", "cell")) == 3


def test_a_server_that_fails_is_not_asked_for_every_cell(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request would take a minute."""
    plan = made_up_run.plan("down", seed=[0, 1])
    refusing(plan.cells[0].id, "TEMPORARILY_UNAVAILABLE", monkeypatch)
    with pytest.raises(AttnbenchError, match="MLflow fails: not this one"):
        track(results, plan, [trained(planned) for planned in plan.cells])


def test_a_cell_that_an_earlier_run_left_unreadable_does_not_block_the_others(results: Path) -> None:
    plan = made_up_run.plan("earlier", seed=[0, 1])
    tracker = Tracker("earlier", None, results)
    tracker.start(plan, GRID)

    def read(planned: PlannedCell) -> Outcome:
        if planned.cell.seed == 0:
            raise AttnbenchError(Problem("cannot be read", "cell.json"))
        return trained(planned)

    assert tracker.catch_up([(planned, "digest") for planned in plan.cells], read) == (1, 0)
    assert tracker.not_logged.lines() == ["not logged: dot · copy · seed 0: cell.json: cannot be read"]


def raises(error: Exception) -> Callable[..., None]:
    def function(*_: Any, **__: Any) -> None:
        raise error

    return function


def test_an_error_of_mlflow_with_pictures_is_mlflows(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow.MlflowClient, "log_artifacts", raises(OSError("disk full")))
    plan = made_up_run.plan("refused-pictures")
    with pytest.raises(AttnbenchError, match="MLflow fails: disk full"):
        track(results, plan, [trained(plan.cells[0])])


def test_a_file_that_is_no_database_is_reported_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("this is not a database, and long enough to be looked at as one")
    with pytest.raises(AttnbenchError, match="MLflow fails"):
        Tracker("x", None, tmp_path).start(made_up_run.plan(), GRID)


@pytest.mark.parametrize("given", [None, "sqlite:///{folder}/other.db"])
def test_a_database_is_created_by_one_process_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    """MLflow creates its tables when a client is made, and fails if another process is doing the same."""
    uri = store_uri(given and given.format(folder=tmp_path), tmp_path)
    monkeypatch.setattr("attnbench.tracking.server.CREATION_TIMEOUT", 0.0)
    monkeypatch.setattr("attnbench.tracking.server._create", lambda _: None)
    monkeypatch.setattr(mlflow, "MlflowClient", lambda **_: another_process(connect_again, uri))
    assert connect(uri) == "still locked"
    monkeypatch.setattr(mlflow, "MlflowClient", lambda **_: "made")
    assert connect(uri) == "made"


def test_an_interruption_leaves_no_database_without_all_its_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow could neither use nor complete it, so that nothing could be logged to this folder any more."""
    uri = store_uri(None, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("alembic.command.upgrade", raises(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            connect(uri)
    assert not (tmp_path / "mlflow.db").exists()
    assert len(connect(uri).search_experiments()) == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == [".mlflow.db.lock", "mlflow.db"]


def connect_again(uri: str) -> str:
    """What connecting says while another client is being made."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlflow, "MlflowClient", lambda **_: "made")
        try:
            return str(connect(uri))
        except OSError:
            return "still locked"


def another_process(function: Callable[[str], str], argument: str) -> str:
    """Calls a function in another thread, for which a lock of this thread is that of another process."""
    with ThreadPoolExecutor() as pool:
        return pool.submit(function, argument).result()


@pytest.mark.parametrize("uri", ["sqlite://", "sqlite:///:memory:", "http://127.0.0.1:5000"])
def test_what_is_no_file_is_not_locked(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow, "MlflowClient", lambda **_: "made")
    monkeypatch.setattr("filelock.FileLock.acquire", raises(AssertionError("locked")))
    assert connect(uri) == "made"


@pytest.mark.parametrize("uri", ["http://127.0.0.1:{port}", "http://:bad:"])
def test_a_server_that_is_not_there_fails_at_once(uri: str, tmp_path: Path) -> None:
    port = free_port()
    begin = time.monotonic()
    with pytest.raises(AttnbenchError, match="the tracking server does not answer"):
        Tracker("x", uri.format(port=port), tmp_path).start(made_up_run.plan(), GRID)
    assert time.monotonic() - begin < 10


def test_a_server_that_never_answers_fails_within_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attnbench.tracking.server.ANSWER_TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begin = time.monotonic()
        with pytest.raises(AttnbenchError, match=r"does not answer.*timed out"):
            Tracker("x", f"http://127.0.0.1:{silent.getsockname()[1]}", tmp_path).start(made_up_run.plan(), GRID)
        assert time.monotonic() - begin < 5


@contextmanager
def server_of(status: int) -> Iterator[str]:
    """A server that answers everything with this status."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_server_error_is_distinguished_from_a_required_password() -> None:
    with server_of(503) as uri, pytest.raises(AttnbenchError, match="answers with 503"):
        probe(uri)
    with server_of(401) as uri:
        probe(uri)


def test_mlflow_does_not_print_the_address_of_every_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a server it would, on standard output, where `run` and `sync` print tables and JSON."""
    monkeypatch.delenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", raising=False)
    assert not MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT.get()
    offline_environment()
    assert MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT.get()


def test_the_option_wins_over_the_environment_and_that_over_the_results_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store_uri(None, tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.chdir(tmp_path)
    assert store_uri(None, Path("here")) == f"sqlite:///{tmp_path}/here/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://from-environment")
    assert Tracker("x", None, tmp_path).uri == "http://from-environment"
    assert Tracker("x", "http://from-option", tmp_path).uri == "http://from-option"


def test_params_name_every_field_by_its_path() -> None:
    planned = made_up_run.plan(scope=["none"], score=["–"]).cells[0]
    cell = planned.cell.model_copy(update={"scope": Component(name="local-p", options={"window": 3})})
    params = params_of(cell)
    assert params["score"] == "–"
    assert (params["scope"], params["scope.window"]) == ("local-p", "3")
    assert json.loads(params["train.stop_at"]) is None
    assert {name.partition(".")[0] for name in params} == {
        "model", "score", "scope", "normaliser", "task", "data", "train", "seed",
    }  # fmt: skip


def test_a_name_has_what_distinguishes_a_cell_from_the_others() -> None:
    labels = {"model": "rnn", "score": "–", "scope": "none", "task": "copy", "seed": 3, "model.width": 64}
    assert run_name(labels, ()) == "copy · model.width 64 · seed 3"
    assert run_name(labels, {"scope"}) == "none · copy · model.width 64 · seed 3"
    assert run_name(labels, {"model", "scope"}) == "rnn · none · copy · model.width 64 · seed 3"


def test_a_folder_that_was_moved_or_copied_is_logged_again(results: Path, tmp_path: Path) -> None:
    plan = made_up_run.plan("moves", score=["dot", "additive"])
    track(results, plan, [trained(cell) for cell in plan.cells])
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(results, elsewhere)
    tracker = Tracker("moves", None, elsewhere)
    tracker.start(plan, GRID)
    digest = dict(Store(elsewhere / "moves").summaries())[plan.cells[0].id].digest
    assert not tracker.has(plan.cells[0].id, digest)
    tracker.log_cell(Store(elsewhere / "moves").outcome(plan.cells[0].id), plan.cells[0], digest)
    (run,) = runs(elsewhere, "moves", "cell")
    assert run.info.artifact_uri.startswith((elsewhere / "mlartifacts").as_uri())
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{elsewhere / 'mlflow.db'}")
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["images"]


def test_sync_replaces_the_run_of_a_cell_that_was_trained_again_without_mlflow(results: Path) -> None:
    plan = made_up_run.plan("again")
    track(results, plan, [trained(plan.cells[0])])
    store = Store(results / "again")
    (digest,) = store.write_pack([trained(plan.cells[0], exact_match=0.25)], plan.cells, {})
    assert catch_up(store, None)[:2] == (1, 0)
    (run,) = runs(results, "again", "cell")
    assert run.data.metrics["exact_match"] == 0.25
    assert run.data.tags["attnbench.digest"] == digest
    assert catch_up(store, None)[:2] == (0, 1)


def test_only_a_database_needs_a_writable_results_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = made_up_run.plan("made")
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(AttnbenchError, match="results folder cannot be written"):
        Tracker("made", None, tmp_path).start(plan, GRID)
    # The refusal of the server comes after the check of the folder.
    with server_of(401) as uri, pytest.raises(AttnbenchError, match="MLflow fails"):
        Tracker("made", uri, tmp_path).start(plan, GRID)
