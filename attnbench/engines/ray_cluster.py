"""Connects to a Ray cluster, or starts one on this machine, and checks that its nodes can train."""

import logging
import os
import signal
import socket
import sys
from typing import Any
from urllib.parse import urlsplit

from attnbench.engines.allocator import kept_memory
from attnbench.engines.ray_node import code
from attnbench.errors import fail
from attnbench.safe_path import safe_path

CLIENT_PORT = 10001  # Ray's default for ray://

# Ray sends usage statistics by default, and prints the raylets' logs even with log_to_driver=False.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS_SKIP_REGEX": "."}

# Ray's messages when the client server on the head node dies or cannot connect while it starts.
CLIENT_FAILED = ("Starting Ray client server failed", "Initialization failure from server")


def library() -> Any:
    """Imports Ray, an optional dependency that only this engine needs."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.exceptions
        import ray.util.scheduling_strategies
    except ImportError as error:
        raise fail(f"the engine ray needs Ray: {error}", hint="pip install 'attnbench[ray]'") from error
    return ray


def join(address: str | None, workers: int) -> tuple[Any, bool]:
    """Connects to Ray; returns the module, and whether this call made the connection.

    A program that calls attnbench.run may already be connected; its connection is used and later kept.

    Args:
        address: the cluster; None starts one on this machine, which ends with this process.
        workers: number of CPUs of a cluster that is started here.

    Raises:
        AttnbenchError: if Ray is not installed, or there is no such cluster.
    """
    ray = library()
    where = f"--address {address}" if address else ""
    if ray.is_initialized():
        if address:
            hint = "call ray.shutdown() first, or omit the address to train on that cluster"
            raise fail("this process is already connected to a Ray cluster", where, hint)
        return ray, False
    if address:
        _check_reachable(address)
    given = {"address": address} if address else {"address": "local", "num_cpus": workers, "include_dashboard": False}
    terminate = signal.getsignal(signal.SIGTERM)
    try:
        _init(ray, given)
    except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        what = f"cannot {'connect to' if address else 'start'} Ray: {' '.join(str(error).split())}"
        raise fail(what, where) from error
    finally:
        if signal.getsignal(signal.SIGTERM) is not terminate:
            signal.signal(signal.SIGTERM, terminate)  # Ray's own handler would end the process with another exit status
    return ray, True


def _init(ray: Any, given: dict[str, Any]) -> None:
    """Connects to Ray, with a second attempt if the Ray client server on the head node fails while it starts.

    That server forks while other threads are inside gRPC: "Check failed: next_worker->state == KICKED" (Ray 2.60).
    """
    options = {**given, "log_to_driver": False, "logging_level": logging.CRITICAL}
    address = os.environ.get("RAY_ADDRESS", "") if given["address"] == "auto" else given["address"]
    if "://" not in address:
        options["job_config"] = _job_config(ray)
    try:
        with safe_path(), kept_memory():  # a cluster that is started here gives its environment to its workers
            ray.init(**options)
    except (ConnectionError, RuntimeError) as error:
        if not any(message in str(error) for message in CLIENT_FAILED):
            raise
        ray.shutdown()
        with safe_path(), kept_memory():
            ray.init(**options)


def _job_config(ray: Any) -> Any:
    """Returns a configuration by which Ray's workers import modules of the working folder only if this process does."""
    config = ray.job_config.JobConfig()
    if "" not in sys.path and os.getcwd() not in sys.path:
        # Ray puts the working folder first in the workers' sys.path, except for the jobs of a client (ray://).
        config._client_job = True
    return config


def check_nodes(ray: Any) -> frozenset[str]:
    """Checks that all nodes have this attnbench, since another version might give other numbers; returns their ids.

    Raises:
        AttnbenchError: at the first node with another version; names both versions.
    """
    ask = ray.remote(num_cpus=0, max_retries=0)(code)
    nodes = [node for node in ray.nodes() if node["Alive"]]
    answers = [(node, ask.options(**on(ray, node["NodeID"])).remote()) for node in nodes]
    for node, answer in answers:
        where = f"node {node['NodeManagerAddress']}"
        try:
            found = ray.get(answer)
        except ray.exceptions.NodeDiedError:
            continue  # nothing will be trained there
        except ray.exceptions.RayError as error:
            last = str(error).strip().splitlines()[-1]
            raise fail(f"cannot run attnbench: {last}", where, "install attnbench on this node") from error
        if found != code():
            raise fail(f"has {found}, but the driver has {code()}", where, "install the same version on both")
    return frozenset(node["NodeID"] for node in nodes)


def on(ray: Any, node: str, soft: bool = False) -> dict[str, Any]:
    """Returns the option that places a task on a node; with `soft`, on another if that node is lost."""
    place = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
    return {"scheduling_strategy": place(node_id=node, soft=soft)}


def _check_reachable(address: str) -> None:
    """Raises immediately if nothing listens at the address: Ray itself would try for minutes."""
    place = urlsplit(address if "://" in address else f"//{address}")
    if address == "auto" or place.hostname is None:
        return
    try:
        socket.create_connection((place.hostname, place.port or CLIENT_PORT), timeout=10).close()
    except (OSError, ValueError) as error:
        what = f"no Ray cluster answers at this address: {getattr(error, 'strerror', None) or error}"
        raise fail(what, f"--address {address}", "run `ray status` on the head node to see if it is up") from error
