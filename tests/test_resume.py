"""A run that is interrupted in the middle of a pack continues there, with the results of an undisturbed run."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from kills import _workers as workers_of
from small_grid import SMALL

import attnbench
from attnbench.driver import RunEvent
from attnbench.errors import Exit
from attnbench.outcome import Progress
from attnbench.store.store import Store
from attnbench.training import checkpoint

GRID = """
name: long
seeds: 3
grid: {score: [additive], scope: [hard], task: [copy]}
data: {vocabulary: 6, min_length: 2, max_length: 4, validation_examples: 20, test_examples: 20}
model: {width: 8, embedding: 4}
train: {steps: 100, batch_size: 4, valid_every: 10}
"""
MEASURED = {"seconds", "tokens_per_second"}
DEADLINE = 120.0


# --- killed processes


@pytest.fixture(scope="module")
def grid(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("grid") / "long.yaml"
    file.write_text(GRID)
    return file


@pytest.fixture(scope="module")
def undisturbed(grid, tmp_path_factory) -> list[dict[str, Any]]:
    results = tmp_path_factory.mktemp("undisturbed")
    assert start(grid, results).wait(DEADLINE) == 0
    return records(results)


def start(grid: Path, results: Path) -> "subprocess.Popen[bytes]":
    script = Path(__file__).parent / "every_validation.py"
    with output(results).open("wb") as out:
        return subprocess.Popen([sys.executable, str(script), str(grid), str(results)], stdout=out)


def output(results: Path) -> Path:
    return results.with_name(f"{results.name}.out")


def records(results: Path, name: str = "long") -> list[dict[str, Any]]:
    """The cells without what a clock says; with the digest of their alignments."""
    found = []
    for file in sorted((results / name / "cells").glob("*.json")):
        record = json.loads(file.read_text())
        del record["digest"]
        for row in (record["metrics"], *record["history"]):
            for key in MEASURED & row.keys():
                del row[key]
        found.append(record)
    return found


def checkpoints(results: Path, name: str = "long") -> list[Path]:
    return list((results / name / "checkpoints").iterdir())


def wait_for_checkpoint(run: "subprocess.Popen[bytes]", results: Path) -> None:
    """Until the pack in training has a new checkpoint."""
    before, deadline = times(results), time.monotonic() + DEADLINE
    while times(results) == before:
        assert run.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)


def times(results: Path) -> list[int]:
    return [file.stat().st_mtime_ns for file in (results / "long" / "checkpoints").glob("[!.]*.npz")]


def continued(run: "subprocess.Popen[bytes]", results: Path) -> set[int]:
    """The steps that the run continued from; it has to succeed."""
    assert run.wait(DEADLINE) == 0
    lines = output(results).read_text().splitlines()
    found = [re.fullmatch(r"\w+ continues from (\d+)", line) for line in lines]
    assert None not in found, lines
    return {int(match.group(1)) for match in found if match}


@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc")
def test_a_killed_worker_costs_what_it_did_since_the_checkpoint(grid, tmp_path, undisturbed):
    run = start(grid, tmp_path)
    wait_for_checkpoint(run, tmp_path)
    (worker,) = workers_of(run.pid)
    os.kill(worker, signal.SIGKILL)
    (step,) = continued(run, tmp_path)
    assert step % 10 == 0
    assert records(tmp_path) == undisturbed
    assert checkpoints(tmp_path) == []


def test_an_interrupted_run_continues_in_the_middle_of_a_pack(grid, tmp_path, undisturbed):
    """After kill -9, and after Ctrl-C in the run that continued."""
    for number, ends in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, Exit.INTERRUPTED)):
        run = start(grid, tmp_path)
        wait_for_checkpoint(run, tmp_path)
        run.send_signal(number)
        assert run.wait(DEADLINE) == ends
        assert records(tmp_path) == []
    (step,) = continued(start(grid, tmp_path), tmp_path)
    assert step in range(20, 101, 10)
    assert records(tmp_path) == undisturbed
    assert checkpoints(tmp_path) == []


# --- the same in this process


@pytest.fixture(autouse=True)
def _at_every_validation(monkeypatch):
    monkeypatch.setattr(checkpoint, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(checkpoint, "SHARE", float("inf"))


@pytest.fixture
def small(tmp_path) -> Path:
    """Four packs of four steps, with a validation after the second step."""
    file = tmp_path / "small.yaml"
    file.write_text(SMALL)
    return file


def run(grid: Path, results: Path, interrupt: int | None = None, **options: Any) -> list[Progress]:
    """Runs the grid; with `interrupt` until the last validation of the pack of this number begins. Its messages."""
    told: list[Progress] = []

    def listen(event: RunEvent) -> None:
        if isinstance(event, Progress):
            told.append(event)
            if event.evaluating and event.step == 4 and len({one.pack for one in told}) == interrupt:
                raise KeyboardInterrupt

    if interrupt is None:
        attnbench.run(grid, results=results, engine="serial", mlflow=False, listener=listen, **options)
    else:
        with pytest.raises(KeyboardInterrupt):
            attnbench.run(grid, results=results, engine="serial", mlflow=False, listener=listen, **options)
    return told


def test_the_interrupted_pack_continues_and_the_finished_ones_are_kept(small, tmp_path):
    run(small, tmp_path / "undisturbed")
    results = tmp_path / "results"
    run(small, results, interrupt=2)
    assert len(records(results, "small")) == 2
    assert len(checkpoints(results, "small")) == 1
    told = run(small, results)
    first, *others = dict.fromkeys(one.pack for one in told)
    assert [one.resumed for one in told if one.pack == first] == [2] * len([one for one in told if one.pack == first])
    assert {one.resumed for one in told if one.pack in others} == {0}
    assert records(results, "small") == records(tmp_path / "undisturbed", "small")
    assert checkpoints(results, "small") == []


def test_fresh_starts_again(small, tmp_path):
    run(small, tmp_path, interrupt=1)
    assert {one.resumed for one in run(small, tmp_path, fresh=True)} == {0}


def test_a_longer_time_limit_is_no_other_training(small, tmp_path):
    run(small, tmp_path, interrupt=1)
    assert {one.resumed for one in run(small, tmp_path, overrides=["train.timeout=1000"])} == {0, 2}


def test_other_code_starts_again_and_says_so(tmp_path):
    plugin, grid = tmp_path / "mine.py", tmp_path / "small.yaml"
    plugin.write_text(PLUGIN)
    grid.write_text(SMALL.replace("[additive, dot]", "[mine]") + "plugins: [mine.py]\n")
    run(grid, tmp_path, interrupt=1)
    plugin.write_text(PLUGIN.replace("+ 1", "+ 2"))
    told = run(grid, tmp_path)
    assert {one.resumed for one in told} == {0}
    assert [one.note for one in told if one.note] == [
        "its checkpoint was made with other code, data or settings; it starts again"
    ]


PLUGIN = '''
import torch
import attnbench


@attnbench.score("mine")
class Mine(torch.nn.Module):
    """Dot product plus a constant."""

    def forward(self, query, keys):
        return query @ keys.mT + 1
'''


def test_a_run_that_was_killed_just_after_it_saved_a_pack_leaves_no_checkpoint(small, tmp_path):
    run(small, tmp_path)
    store = Store(tmp_path / "small")
    first = store.packs()[0].ids[0]
    left = tmp_path / "small" / "checkpoints" / f"{first}.npz"
    left.write_bytes(b"")
    (left.parent / f".{first}.npz.123.tmp").write_bytes(b"")
    others = {f"{first}.notes.txt", f"{first}", f".{first}.backup"}
    for name in others:
        (left.parent / name).touch()
    run(small, tmp_path)
    assert {file.name for file in left.parent.iterdir()} == others


def test_a_failed_pack_leaves_no_checkpoint(small, tmp_path, monkeypatch):
    def broken(*_: object) -> None:
        raise RuntimeError("no test today")

    monkeypatch.setattr("attnbench.training.tested.test_set", broken)
    run(small, tmp_path)
    assert {record["status"] for record in records(tmp_path, "small")} == {"failed"}
    assert checkpoints(tmp_path, "small") == []
