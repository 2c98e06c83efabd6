"""Joins a Ray cluster, or starts one on this machine, and makes sure that its nodes can train."""

import logging
import os
import signal
import socket
from typing import Any
from urllib.parse import urlsplit

from attnbench.engines.ray_node import code
from attnbench.errors import fail

CLIENT_PORT = 10001  # of ray://, unless said otherwise

# Ray reports home unless told not to, and prints what raylets say even with log_to_driver=False.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS_SKIP_REGEX": "."}


CLIENT_FAILED = "Starting Ray client server failed"


def library() -> Any:
    """Ray, which is imported for this engine alone."""
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
    """Ray, connected, and whether it was connected here: a program that had done so keeps its connection.

    Args:
        address: of the cluster; None starts one on this machine, which ends with this process.
        workers: how many CPUs that one has.

    Raises:
        AttnbenchError: when Ray is not installed, or there is no such cluster.
    """
    ray = library()
    where = f"--address {address}" if address else ""
    if ray.is_initialized():
        if address:
            hint = "call ray.shutdown() first, or leave the address out to train on that cluster"
            raise fail("Ray is connected already in this process", where, hint)
        return ray, False
    if address:
        _check_that_it_answers(address)
    asked = {"address": address} if address else {"address": "local", "num_cpus": workers, "include_dashboard": False}
    terminate = signal.getsignal(signal.SIGTERM)
    try:
        _init(ray, asked)
    except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        what = f"Ray cannot be {'joined' if address else 'started'}: {' '.join(str(error).split())}"
        raise fail(what, where) from error
    finally:
        if signal.getsignal(signal.SIGTERM) is not terminate:
            signal.signal(signal.SIGTERM, terminate)  # Ray's own handler would leave with another exit status
    return ray, True


def _init(ray: Any, asked: dict[str, Any]) -> None:
    """Connects; twice if need be through a Ray client, whose server on the head may die while it starts one for us.

    It forks beside threads that are inside gRPC: "Check failed: next_worker->state == KICKED" (Ray 2.60).
    """
    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    try:
        ray.init(**asked, **quiet)
    except (ConnectionError, RuntimeError) as error:
        if CLIENT_FAILED not in str(error):
            raise
        ray.shutdown()
        ray.init(**asked, **quiet)


def check_nodes(ray: Any) -> frozenset[str]:
    """The ids of all nodes, which have the attnbench that is here: another might give other numbers.

    Raises:
        AttnbenchError: at the first node that has not; it names both versions.
    """
    ask = ray.remote(num_cpus=0, max_retries=0)(code)
    nodes = [node for node in ray.nodes() if node["Alive"]]
    asked = [(node, ask.options(**on(ray, node["NodeID"])).remote()) for node in nodes]
    for node, answer in asked:
        where = f"node {node['NodeManagerAddress']}"
        try:
            found = ray.get(answer)
        except ray.exceptions.NodeDiedError:
            continue
        except ray.exceptions.RayError as error:
            last = str(error).strip().splitlines()[-1]
            raise fail(f"attnbench cannot be run there: {last}", where, "pip install attnbench there") from error
        if found != code():
            raise fail(f"it has {found}, and you have {code()}", where, "install the same version on both")
    return frozenset(node["NodeID"] for node in nodes)


def on(ray: Any, node: str, soft: bool = False) -> dict[str, Any]:
    """The option that places a task on a node; soft: on another if that one is gone."""
    place = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
    return {"scheduling_strategy": place(node_id=node, soft=soft)}


def _check_that_it_answers(address: str) -> None:
    """Raises where nobody listens, at once: Ray tries for minutes."""
    place = urlsplit(address if "://" in address else f"//{address}")
    if address == "auto" or place.hostname is None:
        return
    try:
        socket.create_connection((place.hostname, place.port or CLIENT_PORT), timeout=10).close()
    except (OSError, ValueError) as error:
        what = f"no Ray cluster answers there: {getattr(error, 'strerror', None) or error}"
        raise fail(what, f"--address {address}", "`ray status` tells on the head node whether it is up") from error
