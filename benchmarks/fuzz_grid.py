"""Tries hostile grids: how many were accepted, how many refused with a message, and how many broke the loader.

    python benchmarks/fuzz_grid.py [CASES] [SEED]

Each case is a grid file, made by the generators that the tests use, with fresh seeds unless one is given, and now and
then with --set beside it. One in a hundred also goes through the command line.
"""

import resource
import secrets
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from grid.hostile import Case, cases
from grid.yard import call, complaint, judge, make_yard

CASES = 10_000
HANG = 30  # seconds
CALLED = 100  # one case in so many goes through the command line
SHOWN = 5  # broken cases that are shown


class Hang(BaseException):
    """A case that does not end."""


@contextmanager
def _alarm() -> Iterator[None]:
    """Ends what takes longer than HANG."""

    def ring(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(HANG)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


class _Trials:
    """Counts what came of the cases tried so far."""

    def __init__(self, grid: Path) -> None:
        self.grid = grid
        self.counts: Counter[str] = Counter()
        self.slowest = self.largest = 0.0
        self.slowest_case: Case | None = None
        self.broken: list[tuple[Case, str]] = []

    def one(self, case: Case) -> None:
        self.counts["tried"] += 1
        try:
            with _alarm():
                self._judge(case)
        except (Exception, Hang):
            self.counts["tracebacks"] += 1
            self.broken.append((case, traceback.format_exc()))

    def _judge(self, case: Case) -> None:
        memory = _megabytes()
        verdict = judge(case, self.grid)
        self.largest = max(self.largest, _megabytes() - memory)
        if verdict.seconds > self.slowest:
            self.slowest, self.slowest_case = verdict.seconds, case
        if self.counts["tried"] % CALLED == 0:
            self.counts["called"] += 1
            told = call("expand", str(self.grid), *(f"--set={override}" for override in case.overrides))
            assert told.status == (2 if verdict.error else 0), told
            assert "Traceback" not in told.errors, told
        if wrong := complaint(verdict):
            raise AssertionError(wrong)
        self.counts["refused" if verdict.error else "accepted"] += 1


def measure(cases_: int, seed_: int) -> dict[str, Any]:
    """The figures of so many hostile grids.

    Returns:
        tried, accepted, refused, tracebacks; called: how many also went through the command line; slowest: the most
        seconds of processor time that a case took, slowest_case; megabytes: the most that a case added to the most
        memory this process has had; seconds: how long all took; seed; broken: the cases that ended otherwise than they
        may, each with its traceback.
    """
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        trials = _Trials(make_yard(Path(folder)))
        tried = settings(
            max_examples=cases_,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )(given(cases)(trials.one))
        seed(seed_)(tried)()
    counts = {name: trials.counts[name] for name in ("tried", "accepted", "refused", "tracebacks", "called")}
    return counts | {
        "slowest": trials.slowest,
        "slowest_case": trials.slowest_case,
        "megabytes": trials.largest,
        "seconds": time.perf_counter() - start,
        "seed": seed_,
        "broken": trials.broken,
    }


def _megabytes() -> float:
    """The most memory that this process has had so far; Linux counts in kB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def main() -> int:
    """Prints the figures, and the broken cases; 1 when there are any."""
    numbers = [int(argument) for argument in sys.argv[1:]]
    count, chosen = [*numbers, CASES][0], numbers[1] if len(numbers) > 1 else secrets.randbits(32)
    found = measure(count, chosen)
    for case, text in found["broken"][:SHOWN]:
        print(f"{case}\n{text}\n")
    print(
        f"{found['tried']} hostile grids (seed {chosen}), {found['called']} of them through the command line as well:\n"
        f"{found['accepted']} accepted, {found['refused']} refused with a message, {found['tracebacks']} tracebacks\n"
        f"slowest {found['slowest']:.2f} s, {found['megabytes']:.0f} MB, {found['seconds']:.0f} s in all"
    )
    return 1 if found["broken"] else 0


if __name__ == "__main__":
    sys.exit(main())
