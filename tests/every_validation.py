"""A run with a checkpoint at every validation instead of every half minute; it prints the steps it continues from.

python every_validation.py GRID RESULTS
"""

import sys
from collections.abc import Callable
from functools import partial

import attnbench
from attnbench import runner
from attnbench.cell import Pack
from attnbench.driver import RunEvent
from attnbench.engines.processes import ProcessEngine
from attnbench.errors import Exit
from attnbench.outcome import Outcome, Progress


def train(pack: Pack, device: str, report: Callable[[Progress], None]) -> list[Outcome]:
    """The real training, in a worker."""
    from attnbench.training import checkpoint
    from attnbench.training.train import train as real

    checkpoint.EVERY_SECONDS, checkpoint.SHARE = 0.0, float("inf")
    return real(pack, device, report)


def say(event: RunEvent) -> None:
    """Prints the step that a pack continues from."""
    if isinstance(event, Progress) and event.resumed:
        print(f"{event.pack} continues from {event.resumed}", flush=True)
    if isinstance(event, Progress) and event.note:
        print(event.note, flush=True)


if __name__ == "__main__":
    engine = partial(ProcessEngine, train="every_validation:train")
    runner.ENGINES["processes"] = engine  # type: ignore[assignment]
    try:
        attnbench.run(sys.argv[1], results=sys.argv[2], workers=1, device="cpu", mlflow=False, listener=say)
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)
