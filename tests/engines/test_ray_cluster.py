"""The connection to a Ray cluster: a second attempt where Ray's own server failed to start, none elsewhere."""

import os
from types import SimpleNamespace

import pytest

from attnbench.engines import ray_cluster
from attnbench.errors import AttnbenchError


class FakeRay:
    """A module `ray` whose init raises the given errors in turn, then succeeds."""

    exceptions = SimpleNamespace(RayError=OSError)
    job_config = SimpleNamespace(JobConfig=SimpleNamespace)

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.attempts = 0
        self.safe: list[str | None] = []
        self.allocator: list[str] = []

    def is_initialized(self) -> bool:
        return False

    def shutdown(self) -> None:
        pass

    def init(self, **_: object) -> None:
        self.attempts += 1
        self.safe.append(os.environ.get("PYTHONSAFEPATH"))
        self.allocator.append(os.environ.get("GLIBC_TUNABLES", ""))
        if self.errors:
            raise self.errors.pop(0)


@pytest.fixture
def joined(monkeypatch):
    def join(*errors: Exception) -> FakeRay:
        ray = FakeRay(*errors)
        monkeypatch.setattr(ray_cluster, "library", lambda: ray)
        ray_cluster.join(None, 1)
        return ray

    return join


@pytest.mark.parametrize(
    "message",
    ["Starting Ray client server failed. See ray_client_server.err", "Initialization failure from server:\nno answer"],
)
def test_a_client_server_that_fails_to_start_is_asked_a_second_time(joined, message):
    assert joined(ConnectionAbortedError(message)).attempts == 2
    with pytest.raises(AttnbenchError, match="cannot start Ray"):
        joined(ConnectionAbortedError(message), ConnectionAbortedError(message))


def test_any_other_failure_is_reported_at_once(joined):
    error = ConnectionError("ray client connection timeout")
    with pytest.raises(AttnbenchError, match="cannot start Ray: ray client connection timeout"):
        joined(error)
    assert joined().attempts == 1


def test_no_process_that_ray_starts_searches_the_working_folder(joined, monkeypatch):
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    assert joined(ConnectionAbortedError("Starting Ray client server failed")).safe == ["1", "1"]
    assert "PYTHONSAFEPATH" not in os.environ


def test_a_cluster_that_is_started_here_gets_the_settings_of_the_allocator(joined, monkeypatch):
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    ray = joined(ConnectionAbortedError("Starting Ray client server failed"))
    assert len(ray.allocator) == 2
    assert all(settings.startswith("glibc.malloc.") for settings in ray.allocator)
    assert "GLIBC_TUNABLES" not in os.environ
