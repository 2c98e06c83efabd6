"""`attnbench ui`, as a process of its own that is asked and ended like a user would."""

import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import made_up_run
import pytest
from ports import free_port

from attnbench.cli.ui import ui
from attnbench.errors import AttnbenchError
from attnbench.tracking.client import Tracker

COMMAND = "import typer, attnbench.cli.ui as verb; typer.run(verb.ui)"


@pytest.fixture(autouse=True)
def no_server_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def start(results: Path, port: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", COMMAND, "--results", str(results), "--port", str(port)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def nobody_listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_it_shows_the_grids_until_ctrl_c(tmp_path: Path) -> None:
    Tracker("shown", None, tmp_path).start(made_up_run.plan("shown"), "")
    port = free_port()
    with start(tmp_path, port) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == f"http://127.0.0.1:{port}\n"
            assert re.search(rf"shown: http://127\.0\.0\.1:{port}/#/experiments/1/", server.stdout.readline())
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://127.0.0.1:{port}") as page:
                assert b"MLflow" in page.read()
            server.send_signal(signal.SIGINT)
            assert server.wait(30) == 0
            assert nobody_listens(port)
        finally:
            server.kill()


def test_a_grid_that_is_compared_has_pages_of_its_cells_their_charts_and_the_comparison(tmp_path: Path) -> None:
    plan = made_up_run.plan("compared")
    store = made_up_run.write_run(tmp_path, plan, [made_up_run.outcome(cell, exact_match=0.5) for cell in plan.cells])
    tracker = Tracker("compared", None, store.folder.parent)
    tracker.start(plan, "")
    tracker.finish(store.frame())
    port = free_port()
    with start(store.folder.parent, port) as server:
        try:
            assert server.stdout is not None
            address, cells, charts, comparison = (server.stdout.readline() for _ in range(4))
            runs = f"{address.strip()}/#/experiments/1/runs"
            shown = f"{runs}?workflowType=machine_learning&viewStateShareKey=cells"
            assert cells == f"  compared: {shown}\n"
            assert charts == f"    curves and alignments: {shown}&compareRunsMode=CHART\n"
            assert re.match(
                rf"    comparison: {re.escape(runs)}/[0-9a-f]{{32}}/artifacts/comparison\.html\?", comparison
            )
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)


def test_ended_from_outside_it_leaves_no_process_behind(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    with start(tmp_path, free_port()) as server:
        try:
            assert server.stderr is not None
            assert "Starting MLflow" in server.stderr.readline()
            children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
            if not children.exists():
                pytest.skip("needs Linux's list of child processes")
            (child,) = children.read_text().split()
            server.send_signal(signal.SIGTERM)
            assert server.wait(30) == 0
            assert not Path(f"/proc/{child}").exists()
        finally:
            server.kill()


def test_without_a_run_the_error_explains_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(AttnbenchError, match=r"there is no mlflow\.db yet\n.*run a grid first"):
        ui(tmp_path)


def test_a_port_that_is_taken_is_named_with_the_next(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AttnbenchError, match=f"port {port} is in use\n.*--port {port + 1}"):
            ui(tmp_path, port)


def test_a_server_needs_no_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ui(tmp_path, tracking_uri="http://elsewhere:5000")
    assert "http://elsewhere:5000 is a running server" in capsys.readouterr().out


def test_a_database_that_mlflow_cannot_read_ends_with_its_words(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("this is not a database, and long enough to be looked at as one")
    with pytest.raises(AttnbenchError, match=r"MLflow's server does not start\n.*its output ends with:\n.+"):
        ui(tmp_path, free_port())
