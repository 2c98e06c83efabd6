"""Trains packs on a Ray cluster: on other machines, or on this one.

The driver submits a few packs per worker, collects the results, and decides which packs are trained again: a pack whose
node was lost, on another node; a pack whose process died, once more and alone, because it may have used up the memory.
A training that raises is never repeated. Ray itself retries nothing (max_retries=0), so that every loss is counted.
"""

import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

from attnbench.cell import Pack
from attnbench.engines.base import TRAIN, Finished, Report, Started, failed, reason, time_limit, too_long
from attnbench.engines.ray_cluster import check_nodes, join, library, on
from attnbench.engines.ray_node import Board, code, train_here
from attnbench.engines.shipment import Shipped, named_files, ship
from attnbench.errors import fail
from attnbench.outcome import Outcome

# Packs submitted per worker: one to train, and one to continue with while the driver writes results.
LOOKAHEAD = 2
POLL_SECONDS = 0.2
CAPACITY_SECONDS = 5.0  # between two queries of the size of the cluster, whose nodes come and go
GPUS_PER_PACK = 0.25  # the models are small: several packs fit on one GPU
NODE_LOSSES = 5  # after this many lost nodes, the pack itself may be the cause


class RayEngine:
    """Trains each pack as one Ray task, with one CPU and, if there are GPUs, a share of one.

    Args:
        workers: maximum number of packs trained at a time; less if the cluster is smaller.
        device: "auto" is a GPU if the cluster has one.
        train: the training function, by name.
        address: None starts Ray on this machine; "auto" joins the cluster that runs here; host:port or ray://host:port
            joins another.
        gpus_per_pack: the share of a GPU that each pack reserves.
    """

    def __init__(
        self,
        workers: int,
        device: str,
        train: str = TRAIN,
        *,
        address: str | None = None,
        gpus_per_pack: float = GPUS_PER_PACK,
    ) -> None:
        self.workers = self.wanted = workers
        self.device = device
        self.train = train
        self.address = address
        self.gpus_per_pack = gpus_per_pack
        self.lost: Counter[str] = Counter()  # number of nodes lost per pack, by its first cell's id
        self.died: Counter[str] = Counter()  # number of processes that died per pack
        self._ray: ModuleType | None = None
        self._connected_here = False
        self._waiting: deque[Pack] = deque()
        self._suspects: deque[Pack] = deque()  # packs whose process died: each is trained again when no other runs
        self._running: dict[Any, Pack] = {}
        self._begun: dict[str, float] = {}  # start times by the pack's first cell id
        self._overdue: set[str] = set()
        self._files: dict[str, Shipped[Any]] = {}
        self._measured = 0.0
        self._board: Any = None

    def prepare(self) -> None:
        """See Engine. Connects to the cluster and checks that every node has the same attnbench."""
        ray, self._connected_here = join(self.address, self.wanted)
        self._ray = ray
        self._code = code()
        self._checked = ray.put(check_nodes(ray) if self.address else None)
        gpus = int(ray.cluster_resources().get("GPU", 0))
        if self.device == "cuda" and not gpus:
            raise fail("--device cuda: the Ray cluster has no GPU", hint="use --device cpu, or --device auto")
        self.device = "cuda" if gpus and self.device != "cpu" else "cpu"
        if not self._capacity(ray):
            raise fail("the Ray cluster has no CPU to train on", hint="add a node with CPUs: ray start --address …")
        self._measure(ray)
        needs = {"num_cpus": 1, "num_gpus": self.gpus_per_pack if self.device == "cuda" else 0}
        self._task = ray.remote(max_retries=0, **needs)(_train)
        # On the driver's node, and restarted if it dies: losing messages only loses progress display.
        here = on(ray, ray.get_runtime_context().get_node_id(), soft=True)
        self._board = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Board).options(**here).remote()

    def run(self, packs: Sequence[Pack], report: Report) -> Iterator[Started | Finished]:
        """See Engine."""
        self._waiting, self._suspects = deque(packs), deque()
        try:
            yield from self._run(packs, report)
        except ConnectionError as error:  # only with ray://; Ray ends a directly connected driver with the head node
            raise fail(f"the Ray cluster no longer answers: {error}", f"--address {self.address}") from error

    def _run(self, packs: Sequence[Pack], report: Report) -> Iterator[Started | Finished]:
        unseen = {pack.ids[0]: pack for pack in packs}
        while self._waiting or self._suspects or self._running:
            yield from self._hand_out()
            done = self._ended()
            running = {pack.ids[0] for pack in self._running.values()}
            # Messages before results, so that a pack's Started and progress precede its Finished.
            for message in self.ray.get(self._board.take.remote()):
                if isinstance(message, str):
                    self._begun[message] = time.monotonic()
                    if message in unseen:
                        yield Started(unseen.pop(message))
                elif message.pack in running:
                    report(message)
            self._stop_the_overdue()
            for task in done:
                pack = self._running.pop(task)
                outcomes = self._outcomes(task, pack)
                if outcomes is not None:
                    # Its message was lost with the board, but listeners expect a Started before each Finished.
                    if unseen.pop(pack.ids[0], None):
                        yield Started(pack)
                    yield Finished(pack, outcomes)

    def close(self) -> None:
        """See Engine."""
        ray, self._ray = self._ray, None
        if ray is None or not ray.is_initialized():
            return
        if self._connected_here:
            ray.shutdown()  # ends the job with its processes on all nodes, and a cluster that was started by `join`
            return
        # The connection belongs to the user's program, so only this run's tasks are stopped.
        for task in self._running:
            ray.cancel(task, force=True)
        self._running.clear()
        if self._board is not None:
            ray.kill(self._board)

    @property
    def ray(self) -> Any:
        """The module ray; only available after `prepare`."""
        assert self._ray is not None
        return self._ray

    # --- the cluster

    def _capacity(self, ray: Any) -> int:
        """Returns the number of packs that the cluster can train at a time."""
        there = ray.cluster_resources()
        cpus = int(there.get("CPU", 0))
        return min(cpus, int(there.get("GPU", 0)) * int(1 / self.gpus_per_pack)) if self.device == "cuda" else cpus

    def _measure(self, ray: Any) -> None:
        """Updates `workers` and the maximum number of submitted packs from the current size of the cluster."""
        capacity = max(1, self._capacity(ray))
        self._measured = time.monotonic()
        self.workers = min(self.wanted, capacity)
        # A cluster with more CPUs than requested trains everything that is submitted, so submit no more than requested.
        self._most = LOOKAHEAD * capacity if capacity <= self.wanted else self.wanted

    # --- the packs

    def _hand_out(self) -> Iterator[Finished]:
        if time.monotonic() - self._measured > CAPACITY_SECONDS:
            self._measure(self.ray)
        while self._waiting and len(self._running) < self._most:
            yield from self._submit(self._waiting.popleft())
        if self._suspects and not self._waiting and not self._running:
            yield from self._submit(self._suspects.popleft())

    def _submit(self, pack: Pack) -> Iterator[Finished]:
        try:
            files = [self._shipped(path) for path in named_files(pack)]
        except OSError as error:
            yield Finished(pack, failed(pack, f"{error.filename} cannot be read: {error.strerror}"))
            return
        task = self._task.remote(pack, files, self._checked, self._code, self.device, self.train, self._board)
        self._running[task] = pack

    def _shipped(self, path: str) -> Shipped[Any]:
        # Many packs read the same files: their content is stored in the cluster once.
        if path not in self._files:
            self._files[path] = ship(path, self.ray.put)
        return self._files[path]

    def _ended(self) -> list[Any]:
        """Returns the tasks that have ended; waits up to POLL_SECONDS for the first."""
        tasks = list(self._running)
        if not tasks:
            return []
        self.ray.wait(tasks, timeout=POLL_SECONDS)
        return list(self.ray.wait(tasks, num_returns=len(tasks), timeout=0)[0])

    def _stop_the_overdue(self) -> None:
        for task, pack in self._running.items():
            limit, begun = time_limit(pack), self._begun.get(pack.ids[0])
            if limit and begun and time.monotonic() - begun > limit and pack.ids[0] not in self._overdue:
                self._overdue.add(pack.ids[0])
                # By force: a training that does not return to Python never sees Ray's exception.
                self.ray.cancel(task, force=True)

    def _outcomes(self, task: Any, pack: Pack) -> list[Outcome] | None:
        """Returns the outcomes of a task that ended; None if the pack was queued to be trained again."""
        errors = self.ray.exceptions
        self._begun.pop(pack.ids[0], None)
        overdue = pack.ids[0] in self._overdue
        self._overdue.discard(pack.ids[0])
        try:
            outcomes: list[Outcome] = self.ray.get(task)
            return outcomes
        except errors.RayTaskError as error:  # before RayError: it may also be a subclass of the exception raised
            return failed(pack, reason(error.cause))
        except errors.RayError as error:
            if overdue:
                return failed(pack, too_long(pack))
            if isinstance(error, errors.NodeDiedError | errors.ObjectLostError):
                return self._elsewhere(pack)
            if isinstance(error, errors.OutOfMemoryError | errors.WorkerCrashedError):
                return self._once_more(pack, isinstance(error, errors.OutOfMemoryError))
            return failed(pack, f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}")

    def _elsewhere(self, pack: Pack) -> list[Outcome] | None:
        self.lost[pack.ids[0]] += 1
        if self.lost[pack.ids[0]] > NODE_LOSSES:
            return failed(pack, f"its node was lost {self.lost[pack.ids[0]]} times in a row")
        # To the front: the packs are sorted, the longest first.
        self._waiting.appendleft(pack)
        return None

    def _once_more(self, pack: Pack, out_of_memory: bool) -> list[Outcome] | None:
        self.died[pack.ids[0]] += 1
        if self.died[pack.ids[0]] > 1:
            why = "its node ran out of memory" if out_of_memory else "perhaps its node ran out of memory"
            return failed(pack, f"its process died twice, the second time with no other pack running: {why}")
        self._suspects.append(pack)
        return None


def _train(
    pack: Pack,
    files: list[Shipped[Any]],
    checked: frozenset[str] | None,
    driver: str,
    device: str,
    train: str,
    board: Any,
) -> list[Outcome]:
    """Runs on a node: trains the pack and sends progress messages without waiting for their delivery."""
    ray = library()
    # The driver has compared the code of all nodes that existed when it connected.
    joined_later = checked is not None and ray.get_runtime_context().get_node_id() not in checked
    board.put.remote(pack.ids[0])
    wanted = driver if joined_later else None
    return train_here(pack, files, ray.get, wanted, device, train, lambda progress: board.put.remote(progress))
