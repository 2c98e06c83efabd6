"""What it takes to log a cell with five pictures to MLflow: on SQLite, on PostgreSQL, and on its server on PostgreSQL.

    python benchmarks/scale_mlflow.py [CELLS]

PostgreSQL is started for the measurement, in a folder of its own and without a network port, and stopped again. It
needs Debian's package `postgresql`, and `psycopg2` in Python, which the extra `dev` installs.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.request import urlopen

import scale

from attnbench.store.store import Store

CELLS = 1000
BINARIES = Path("/usr/lib/postgresql")  # of Debian's packages, one folder per version
OWNER = "postgres"  # the user that runs it if we are root: PostgreSQL refuses to run as root
START_SECONDS = 60.0
PORT = 18_080


def postgresql_binaries() -> Path | None:
    """The folder with pg_ctl of the newest PostgreSQL; None if there is none."""
    found = sorted(BINARIES.glob("*/bin/pg_ctl"), key=lambda file: int(file.parts[-3]))
    return found[-1].parent if found else None


@contextmanager
def postgresql() -> Iterator[str]:
    """Starts PostgreSQL with an empty database, yields its URI, and stops it.

    Raises:
        FileNotFoundError: if it is not installed.
        subprocess.CalledProcessError: if it does not start.
    """
    binaries = postgresql_binaries()
    if binaries is None:
        raise FileNotFoundError("PostgreSQL is not installed: apt-get install postgresql")
    as_owner = {"user": OWNER} if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # a short path: the name of a socket has at most 107 characters
    try:
        if as_owner:
            shutil.chown(folder, OWNER)

        def call(name: str, *arguments: str) -> None:
            command = [str(binaries / name), *arguments]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder, **as_owner)  # type: ignore[call-overload]

        data = str(folder / "data")
        call("initdb", "-D", data, "--auth=trust", "--username=mlflow", "--no-sync")
        options = f"-c listen_addresses='' -c unix_socket_directories={folder}"
        call("pg_ctl", "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            call("createdb", "--host", str(folder), "--username", "mlflow", "mlflow")
            yield f"postgresql+psycopg2://mlflow@/mlflow?host={folder}"
        finally:
            call("pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def mlflow_server(database: str, artifacts: Path, port: int = PORT) -> Iterator[str]:
    """Starts MLflow's server on a database, yields its address, and stops it."""
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", database, "--port", str(port)]
    command += ["--artifacts-destination", artifacts.as_uri(), "--workers", "1"]
    artifacts.mkdir(parents=True, exist_ok=True)
    with (artifacts / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            _wait_for(f"http://127.0.0.1:{port}/health")
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, 15)
            process.wait()


def _wait_for(address: str) -> None:
    """Waits until a server answers.

    Raises:
        TimeoutError: if it does not within START_SECONDS.
    """
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        try:
            urlopen(address, timeout=2).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise TimeoutError(f"{address} does not answer")


def measure(cells: int) -> dict[str, float]:
    """Milliseconds per cell of each, without its start."""
    found = {}
    with tempfile.TemporaryDirectory() as name, ExitStack() as running:
        folder = Path(name)
        grid = scale.grid_of(folder, cells)
        scale.run(grid, folder / "results")
        store = Store(folder / "results" / "large")
        database = running.enter_context(postgresql())
        found["SQLite"] = _per_cell(store, cells, None)
        found["PostgreSQL"] = _per_cell(store, cells, database)
        with postgresql() as other, mlflow_server(other, folder / "served") as address:
            found["server on PostgreSQL"] = _per_cell(store, cells, address)
    return found


def _per_cell(store: Store, cells: int, uri: str | None) -> float:
    # Of the second half: the first one includes the start.
    return 1000 * scale.laps_of_logging(store, uri, cells // 2)[-1] / (cells // 2)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    print(json.dumps(measure(int(sys.argv[1]) if sys.argv[1:] else CELLS), indent=1))
