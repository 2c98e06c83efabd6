"""Measures attnbench guard: false alarms on attentions that are right, and the margin of the trained part.

    python benchmarks/guard.py laws       # how many of 200 runs with fresh seeds fail; three minutes
    python benchmarks/guard.py trained    # exact match of ten seeds of each attention; half an hour on one core
    python benchmarks/guard.py page       # results/guard.md from the measurements

The measurements are kept in results/guard.json.
"""

import json
import random
import sys
import warnings
from pathlib import Path
from statistics import median

import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from guarding.faults import FAULTS  # noqa: E402
from guarding.known_good import KNOWN_GOOD  # noqa: E402

from attnbench.guarding import trained  # noqa: E402
from attnbench.guarding.guard import asked_for, examine  # noqa: E402
from attnbench.guarding.load import passed  # noqa: E402
from attnbench.guarding.search import find_target  # noqa: E402
from attnbench.guarding.target import Target  # noqa: E402

KEPT = ROOT / "results" / "guard.json"
PAGE = ROOT / "results" / "guard.md"
RUNS = 200
SEEDS = tuple(range(100, 110))
DRAWS = 100_000
# Attentions that are wrong in a way that training may notice.
WRONG = (
    "query ignored",
    "keys detached",
    "softmax over heads",
    "wrong gradient of the softmax",
    "weights averaged over heads",
)


def target_of(make, options) -> Target:
    torch.manual_seed(0)
    return find_target(passed(make()), asked_for(**options))


def keep(part: str, found) -> None:
    before = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    KEPT.write_text(json.dumps(before | {part: found}, indent=1) + "\n")


def laws() -> None:
    """Runs all checks but the trained part, from seeds that no other run uses."""
    failed, number = [], 0
    names = list(KNOWN_GOOD)
    while number < RUNS:
        name = names[number % len(names)]
        report, _ = examine(target_of(*KNOWN_GOOD[name]), False, False, 1000 + number)
        failed += [[name, 1000 + number, result.name] for result in report.failed]
        number += 1
    keep("laws", {"runs": RUNS, "failed": failed})
    print(f"{len({tuple(each[:2]) for each in failed})} of {RUNS} runs failed: {failed}")


def train() -> None:
    """Trains every known attention, and some wrong ones, on both tasks."""
    trained.SECONDS = 3600.0
    wrong = {f"{fault} (planted)": (lambda fault=fault: FAULTS[fault][0](fault), FAULTS[fault][1]) for fault in WRONG}
    found = json.loads(KEPT.read_text()).get("trained", {}) if KEPT.exists() else {}
    for name, (make, options) in {**KNOWN_GOOD, **wrong}.items():
        for task in trained.TASKS:
            if f"{name}: {task}" in found:
                continue
            one = trained.train_on(target_of(make, options), task, SEEDS)
            found[f"{name}: {task}"] = {
                "exact_match": one.exact_match, "steps_to_95": one.steps_to_95, "steps": one.steps,
                "seconds": round(one.seconds, 1), "one_by_one": bool(one.one_by_one),
            }  # fmt: skip
            keep("trained", found)
            print(name, task, found[f"{name}: {task}"], flush=True)


def false_alarms(values: list[float], needed: float) -> float:
    """The probability that the median of five of these values is below what is needed, by resampling."""
    source = random.Random(0)
    return sum(median(source.choices(values, k=len(trained.SEEDS))) < needed for _ in range(DRAWS)) / DRAWS


def page() -> None:
    """Writes the page."""
    kept = json.loads(KEPT.read_text())
    broken = {tuple(each[:2]) for each in kept["laws"]["failed"]}
    lines = [
        "# attnbench guard, measured",
        "",
        "Written by `python benchmarks/guard.py page`. The attentions are those of tests/guarding/known_good.py and "
        "faults.py.",
        "",
        f"**The laws**: {len(broken)} of {kept['laws']['runs']} runs with fresh seeds failed on attentions that are "
        "right.",
        "",
        "**The trained part**: exact match of ten seeds (100 to 109), and how often the median of five is below "
        "what is needed, by resampling. The seconds are of one core that did other work beside it.",
        "",
        "| attention | task | median | worst seed | best seed | needed | false alarms | steps | seconds, ten seeds |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, one in kept["trained"].items():
        attention, _, task = name.rpartition(": ")
        exact, needed = one["exact_match"], trained.NEEDED[task]
        alarms = "–" if "planted" in attention else f"{false_alarms(exact, needed):.4f}"
        numbers = f"{median(exact):.3f} | {min(exact):.3f} | {max(exact):.3f} | {needed:.2f} | {alarms}"
        lines.append(f"| {attention} | {task} | {numbers} | {one['steps']} | {one['seconds']:.0f} |")
    PAGE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    {"laws": laws, "trained": train, "page": page}[sys.argv[1]]()
