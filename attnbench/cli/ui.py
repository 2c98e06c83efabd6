"""`attnbench ui`: MLflow's pages over the results folder."""

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
from attnbench.errors import fail

STARTS_WITHIN = 90.0  # seconds; a first start makes MLflow's tables
ENDS_WITHIN = 10.0
DEFAULT_EXPERIMENT = "0"  # the one that MLflow makes by itself
TRAINING = "workflowType=machine_learning"  # not the pages for language model applications

Port = Annotated[int, typer.Option("--port", min=1, max=65535, help="The port to listen on.")]
Host = Annotated[str, typer.Option("--host", help="The address to listen on; the default is this machine alone.")]


def ui(results: Results = RESULTS, port: Port = 5000, host: Host = "127.0.0.1", tracking_uri: Tracking = None) -> None:
    """Open MLflow's UI over the results: runs, curves, and alignments as they formed. Ctrl-C ends it."""
    from attnbench.tracking.server import offline_environment, store_uri

    uri = store_uri(tracking_uri, results)
    if uri.startswith(("http://", "https://")):
        typer.echo(f"{uri} is a server already: open it in a browser")
        return
    if (
        uri == store_uri(None, results)
        and uri.startswith("sqlite:")
        and not Path(uri.removeprefix("sqlite:///")).exists()
    ):
        raise fail("there is no mlflow.db yet", str(results), "run a grid first: attnbench run GRID.yaml")
    _expect_free(host, port)
    offline_environment()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--workers", "1"]
    command += ["--artifacts-destination", str(results.resolve() / "mlartifacts"), "--host", host, "--port", str(port)]
    with tempfile.TemporaryFile("w+") as log, _server(command, log) as server:
        typer.echo("MLflow is starting …", err=True)
        page = f"http://{host}:{port}"
        _wait_until_up(server, page, log)
        typer.echo(page)
        for line in _experiments(page):
            typer.echo(f"  {line}")
        typer.echo("Ctrl-C ends it.", err=True)
        server.wait()
        raise fail("MLflow ended by itself", uri, _last_words(log))


def _expect_free(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise fail(f"port {port} is taken", host, f"give another: --port {port + 1}") from error
            raise fail(f"cannot listen on port {port}: {error.strerror}", host, "see --host and --port") from error


@contextmanager
def _server(command: list[str], log: IO[str]) -> Iterator[subprocess.Popen[str]]:
    """The server in a session of its own, so that Ctrl-C reaches us alone and we end all of its processes."""
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    before = {ending: signal.signal(ending, _interrupt) for ending in (signal.SIGTERM, signal.SIGHUP)}
    server = subprocess.Popen(command, stdout=log, stderr=log, text=True, env=environment, start_new_session=True)
    try:
        yield server
    except KeyboardInterrupt:
        typer.echo("MLflow ends.", err=True)
    finally:
        _end(server)
        for ending, handler in before.items():
            signal.signal(ending, handler)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _end(server: subprocess.Popen[str]) -> None:
    for ending in (signal.SIGTERM, signal.SIGKILL):
        if server.poll() is None:
            os.killpg(server.pid, ending)
            try:
                server.wait(ENDS_WITHIN)
            except subprocess.TimeoutExpired:
                continue


def _wait_until_up(server: subprocess.Popen[str], address: str, log: IO[str]) -> None:
    until = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < until and server.poll() is None:
        try:
            _ask(address, "experiments/search", max_results=1)
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise fail("MLflow's server does not start", address, _last_words(log))


def _experiments(address: str) -> Iterator[str]:
    """Every experiment with the page of its cells; once compared, with that of their charts and of the comparison."""
    from attnbench.tracking.content import KIND_TAG, VIEW, VIEW_TAG

    for experiment in _ask(address, "experiments/search", max_results=1000).get("experiments", []):
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
        grids = _ask(address, "runs/search", experiment_ids=[id_], filter=f"tags.`{KIND_TAG}` = 'grid'", max_results=1)
        for run in grids.get("runs", []):
            yield f"  comparison: {runs}/{run['info']['run_id']}/artifacts/comparison.html?{TRAINING}"


def _ask(address: str, what: str, **asked: Any) -> dict[str, Any]:
    content = json.dumps(asked).encode()
    query = Request(f"{address}/api/2.0/mlflow/{what}", content, {"Content-Type": "application/json"})
    # A proxy of the machine's has no part in asking our own server.
    with build_opener(ProxyHandler({})).open(query, timeout=10) as answer:
        return dict(json.load(answer))


def _last_words(log: IO[str]) -> str:
    log.seek(0)
    return "\n    ".join(["it said:", *log.read().strip().splitlines()[-5:]])
