"""What Ray adds to the time of a pack, on clusters of 1, 2 and 4 nodes on this machine.

    python benchmarks/scale_ray.py [PACKS]

Each node has one CPU. A pack's training is a second of sleep, so that nodes on one machine do not share its cores; its
outcomes, with curves and alignments, are sent back and written as always. What a pack takes beyond that second is Ray's
and the driver's.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import scale
from reliability_ray import cluster

from attnbench import runner
from attnbench.cell import Pack
from attnbench.engines.base import Finished
from attnbench.engines.ray import RayEngine
from attnbench.outcome import Outcome

PACKS = 60
NODES = (1, 2, 4)
SECONDS = 1.0


def train(pack: Pack, device: str, report: Callable[..., None]) -> list[Outcome]:
    """A training that takes SECONDS without using the processor."""
    time.sleep(SECONDS)
    return scale.train(pack, device, report)


class _Ends:
    """A listener that notes when each pack ended."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self, event: object) -> None:
        if isinstance(event, Finished):
            self.times.append(time.perf_counter())


def measure(packs: int = PACKS) -> dict[str, dict[str, float]]:
    """Seconds until the first pack has ended, and milliseconds per pack and node beyond its training."""
    runner.ENGINES["ray"] = partial(RayEngine, train="scale_ray:train")  # type: ignore[assignment]
    paths = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    found = {}
    for nodes in NODES:
        with tempfile.TemporaryDirectory() as folder, cluster(nodes) as made:
            grid, ends, begun = scale.grid_of(Path(folder), packs * scale.SEEDS), _Ends(), time.perf_counter()
            runner.run(
                grid, results=folder, engine="ray", address=made.address, device="cpu", mlflow=False, listener=ends
            )
        # Between two packs of the same node, after every node has had its first one.
        between = [later - earlier for earlier, later in zip(ends.times[nodes:], ends.times[2 * nodes :], strict=False)]
        found[f"{nodes} nodes"] = {
            "until the first pack has ended": ends.times[0] - begun,
            "milliseconds per pack": 1000 * (median(between) - SECONDS),
        }
        print(nodes, found[f"{nodes} nodes"], file=sys.stderr, flush=True)
    return found


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    print(json.dumps(measure(*map(int, sys.argv[1:])), indent=1))
