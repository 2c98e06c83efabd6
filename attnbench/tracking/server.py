"""The MLflow server or database: its address, whether it answers, and how its errors are reported."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from http.client import HTTPException
from pathlib import Path
from secrets import token_hex
from ssl import CERT_NONE
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.parse import urlsplit

from attnbench.errors import AttnbenchError, Problem, fail

if TYPE_CHECKING:
    from mlflow import MlflowClient

ANSWER_TIMEOUT = 5.0  # seconds for a server's first answer
CREATION_TIMEOUT = 120.0  # seconds until another process has created the tables of a database, which takes about ten
HINT = "fix it, give another --tracking-uri, or do not log: --no-mlflow"
# Of the answers of MLflow, those about the content of a call: a wrong value, a run that exists or was deleted.
CONTENT_STATUSES = (400, 404, 409, 413)
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")  # URI schemes, to which a driver may be appended: mysql+pymysql


def store_uri(given: str | None, results: Path) -> str:
    """Where runs are logged.

    Args:
        given: a server or database; default: MLFLOW_TRACKING_URI, or else mlflow.db in the results folder.
        results: the folder that holds all runs.
    """
    return given or os.environ.get("MLFLOW_TRACKING_URI") or database_uri(results)


def database_uri(results: Path) -> str:
    """The URI of mlflow.db in the results folder, whose name may have characters with a meaning in URIs."""
    # Not Path.resolve, which raises for a link to itself.
    return _sqlite_uri(os.path.join(os.path.realpath(results), "mlflow.db"))


def _sqlite_uri(path: str) -> str:
    # What sqlalchemy's URL renders has percent signs also for é, and MLflow creates a folder of that name. Where the
    # folder's parent cannot be written, this fails. sqlalchemy reads both back as the same path.
    return f"sqlite:///{path.replace('%', '%25').replace('?', '%3F')}"


@contextmanager
def without_stray_folder(uri: str) -> Iterator[None]:
    """Deletes the folder that MLflow creates during the block for a SQLite URI with percent signs.

    It creates the parent folder of the database from the URI without decoding it (mlflow.store.db.utils, 3.17).
    """
    stray = os.path.dirname(uri.removeprefix("sqlite:///"))
    is_stray = uri.startswith("sqlite:///") and "%" in stray and not os.path.exists(stray)
    try:
        yield
    finally:
        if is_stray:
            with suppress(OSError):
                os.removedirs(stray)  # only empty ones


def offline_environment() -> None:
    """Sets defaults for MLflow: no usage reports, no minutes of retries, no address of every run on standard output.

    Call it before MLflow is imported.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")


def probe(uri: str) -> None:
    """Checks that a tracking server answers, without importing MLflow, which takes seconds. Databases are not checked.

    Raises:
        AttnbenchError: if it does not answer within a few seconds, or answers with a server error.
    """
    try:
        scheme = urlsplit(uri).scheme
    except ValueError as error:
        raise fail(f"the tracking URI cannot be read: {error}", uri, HINT) from error
    if scheme in ("http", "https"):
        _expect_answer(uri)


def connect(uri: str) -> "MlflowClient":
    """A client of the server or database.

    Raises:
        OSError: if the database stays locked by another process, or its folder cannot be written.
    """
    from mlflow import MlflowClient

    if "MLFLOW_LOGGING_LEVEL" not in os.environ:
        logging.getLogger("mlflow").setLevel(logging.WARNING)
    with warnings.catch_warnings(), without_stray_folder(uri):
        # MLflow's table definitions use a loader strategy that SQLAlchemy 2.1 deprecates.
        warnings.filterwarnings("ignore", "The ``noload`` loader strategy", DeprecationWarning)
        with _no_other_creates(uri) as file:
            if file is not None and not file.exists():
                _create(file)
            return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _create(file: Path) -> None:
    """Creates a SQLite database with MLflow's tables, completely or not at all.

    MLflow takes seconds for its tables. If it is interrupted, it can neither use nor complete the database.
    """
    from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH as ARTIFACTS  # as in MlflowClient
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    for left in file.parent.glob(f".{escape(file.name)}.*.new*"):  # of a process that was killed
        left.unlink(missing_ok=True)
    # Another name each time, because MLflow keeps its connections to a file, also after a failure.
    new = file.with_name(f".{file.name}.{token_hex(8)}.new")
    store = SqlAlchemyStore(_sqlite_uri(str(new)), ARTIFACTS)
    store.engine.dispose()
    new.replace(file)


@contextmanager
def _no_other_creates(uri: str) -> Iterator[Path | None]:
    """Waits until no other attnbench creates the tables of this SQLite database, and lets none begin in the block.

    MLflow creates them table by table when a client is made, and fails if another process is doing the same.

    Yields:
        The file of the database; None if it is not a file, or its folder is missing.

    Raises:
        OSError: if the database stays locked, or its folder cannot be written.
    """
    from filelock import FileLock
    from sqlalchemy import make_url

    database = make_url(uri).database if uri.startswith("sqlite") else None
    file = Path(database or ":memory:")
    if file.name == ":memory:" or not file.parent.is_dir():
        yield None
        return
    with FileLock(file.with_name(f".{file.name}.lock"), timeout=CREATION_TIMEOUT):
        yield Path(os.path.realpath(file))


def is_database(uri: str) -> bool:
    """Whether MLflow uses a database directly, without a server that chooses where artifacts are stored."""
    return urlsplit(uri).scheme.partition("+")[0] in DATABASES


class Refused(AttnbenchError):
    """MLflow works, but does not take what it was given: a reason to go on with the next cell."""


@contextmanager
def mlflow_errors(uri: str) -> Iterator[None]:
    """Reports the exceptions of MLflow's client as a failure of MLflow.

    Only calls of MLflow belong in this block. What attnbench computes or draws is computed before: otherwise its own
    OSError, for example of a missing template, would be reported as a failure of the tracking server.

    Raises:
        Refused: if MLflow does not take the content of a call.
        AttnbenchError: if a call of MLflow fails for another reason, as the next one would.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
        # The first line is the cause; SQLAlchemy appends the statement and a link.
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        if isinstance(error, MlflowException) and error.get_http_status_code() in CONTENT_STATUSES:
            raise Refused(Problem(f"MLflow does not take it: {reason}", uri)) from error
        raise fail(f"MLflow fails: {reason}", uri, HINT) from error


def _expect_answer(uri: str) -> None:
    from ssl import create_default_context
    from urllib.request import urlopen

    context = create_default_context()
    # The same setting as MLflow's own requests use.
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
        context.check_hostname, context.verify_mode = False, CERT_NONE
    try:
        urlopen(f"{uri.rstrip('/')}/health", timeout=ANSWER_TIMEOUT, context=context).close()
    except HTTPError as answer:
        # Any other status shows that a server is there: it may require a password, or not have this page.
        if answer.code >= 500:
            raise fail(f"the tracking server answers with {answer.code} {answer.reason}", uri, HINT) from answer
    except (OSError, ValueError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise fail(f"the tracking server does not answer: {reason}", uri, f"start it, {HINT}") from error
