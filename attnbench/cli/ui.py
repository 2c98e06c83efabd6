"""`attnbench ui`: starts MLflow's UI for the results folder."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Any, NoReturn
from urllib.request import ProxyHandler, Request, build_opener

import typer

from attnbench.cli.options import RESULTS, Results, Tracking
from attnbench.cli.output import echo
from attnbench.errors import fail
from attnbench.safe_path import SAFE_PATH

START_SECONDS = 90.0  # the first start creates MLflow's database tables
STOP_SECONDS = 10.0
DEFAULT_EXPERIMENT = "0"  # created by MLflow itself
TRAINING = "workflowType=machine_learning"  # instead of the pages for language model applications

Port = Annotated[int, typer.Option("--port", min=1, max=65535, help="Port to listen on.")]
Host = Annotated[str, typer.Option("--host", help="Address to listen on; by default only this machine can connect.")]


def ui(results: Results = RESULTS, port: Port = 5000, host: Host = "127.0.0.1", tracking_uri: Tracking = None) -> None:
    """Start MLflow's UI for the results folder. Ctrl-C stops it.

    It shows runs, curves, and alignments in the course of training.
    """
    from attnbench.tracking.server import database_uri, offline_environment, store_uri, without_stray_folder

    uri = store_uri(tracking_uri, results)
    if uri.startswith(("http://", "https://")):
        echo(f"{uri} is a running server: open it in a browser")
        return
    if uri == database_uri(results) and not os.path.exists(results / "mlflow.db"):
        raise fail("there is no mlflow.db yet", str(results), "run a grid first: attnbench run GRID.yaml")
    _check_port(host, port)
    offline_environment()
    artifacts = Path(os.path.realpath(results / "mlartifacts")).as_uri()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--workers", "1"]
    command += ["--artifacts-destination", artifacts, "--host", host, "--port", str(port)]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log, _server(command, log) as server:
        echo("Starting MLflow …", error=True)
        page = f"http://{host}:{port}"
        with without_stray_folder(uri):
            _wait_until_up(server, page, log)
        echo(page)
        for line in _experiments(page):
            echo(f"  {line}")
        echo("Press Ctrl-C to stop.", error=True)
        server.wait()
        raise fail("MLflow stopped unexpectedly", uri, _last_lines(log))


def _check_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Otherwise a port would count as in use for a minute after a server on it was stopped.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise fail(
                    f"port {port} is in use", host, f"use another: --port {port + 1 if port < 65535 else port - 1}"
                ) from error
            raise fail(f"cannot listen on port {port}: {error.strerror}", host, "change --host or --port") from error


@contextmanager
def _server(command: list[str], log: IO[str]) -> Iterator[subprocess.Popen[str]]:
    """Starts the server in its own session: Ctrl-C then reaches only this process, which stops all server processes."""
    environment = {**os.environ, **SAFE_PATH, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    server = subprocess.Popen(command, stdout=log, stderr=log, text=True, env=environment, start_new_session=True)
    try:
        yield server
    except KeyboardInterrupt:
        echo("Stopping MLflow …", error=True)
    finally:
        _stop(server)
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _stop(server: subprocess.Popen[str]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if server.poll() is None:
            # The whole group, because the server has child processes, which would keep the port.
            os.killpg(server.pid, number)
            try:
                server.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                continue


def _wait_until_up(server: subprocess.Popen[str], address: str, log: IO[str]) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and server.poll() is None:
        try:
            _request(address, "experiments/search", max_results=1)
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise fail("MLflow's server does not start", address, _last_lines(log))


def _experiments(address: str) -> Iterator[str]:
    """Yields a line per experiment with the page of its cells; for finished runs also charts and comparison."""
    from attnbench.tracking.content import KIND_TAG, VIEW, VIEW_TAG

    for experiment in _request(address, "experiments/search", max_results=1000).get("experiments", []):
        id_, name = experiment["experiment_id"], experiment["name"]
        if id_ == DEFAULT_EXPERIMENT:
            continue
        runs = f"{address}/#/experiments/{id_}/runs"
        if not any(tag["key"] == VIEW_TAG for tag in experiment.get("tags", ())):
            yield f"{name}: {runs}?{TRAINING}"
            continue
        cells = f"{runs}?{TRAINING}&viewStateShareKey={VIEW}"
        yield f"{name}: {cells}"
        yield f"  curves and alignments: {cells}&compareRunsMode=CHART"
        only_grids = f"tags.`{KIND_TAG}` = 'grid'"
        grids = _request(address, "runs/search", experiment_ids=[id_], filter=only_grids, max_results=1)
        for run in grids.get("runs", []):
            yield f"  comparison: {runs}/{run['info']['run_id']}/artifacts/comparison.html?{TRAINING}"


def _request(address: str, path: str, **parameters: Any) -> dict[str, Any]:
    content = json.dumps(parameters).encode()
    request = Request(f"{address}/api/2.0/mlflow/{path}", content, {"Content-Type": "application/json"})
    # Without the system's proxy, which cannot reach a server on this machine.
    with build_opener(ProxyHandler({})).open(request, timeout=10) as answer:
        return dict(json.load(answer))


def _last_lines(log: IO[str]) -> str:
    log.seek(0)
    return "\n".join(["its output ends with:", *log.read().strip().splitlines()[-5:]])
