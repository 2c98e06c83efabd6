"""Every engine trains all packs, tells of it in order, and lets no pack take another with it."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
import torch
from fake_training import FAKE, pack

from attnbench.engines.base import Engine, Finished, Started, attempt, available_cores, failed, reason
from attnbench.engines.processes import ProcessEngine, Worker, _cause
from attnbench.engines.serial import SerialEngine
from attnbench.engines.worker_handle import NEVER, START_SECONDS
from attnbench.errors import AttnbenchError
from attnbench.messages import LONGEST
from attnbench.outcome import Outcome, Progress


@pytest.fixture(params=[SerialEngine, ProcessEngine], scope="module")
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Shared by tests that only give it packs, since starting its workers takes seconds."""
    with closing(request.param(2, "cpu", FAKE)) as made:
        made.prepare()
        yield made


@pytest.fixture(scope="module")
def shared_processes() -> Iterator[Engine]:
    with closing(ProcessEngine(2, "cpu", FAKE)) as made:
        yield made


@pytest.fixture
def processes() -> Iterator[Engine]:
    """For tests that stop, kill or replace its workers."""
    with closing(ProcessEngine(2, "cpu", FAKE)) as made:
        yield made


def outcomes(engine: Engine, *packs) -> dict[str, Outcome]:
    events = engine.run(packs, lambda _: None)
    return {outcome.cell: outcome for event in events if isinstance(event, Finished) for outcome in event.outcomes}


def test_every_pack_starts_then_finishes_once(engine):
    progress: list[Progress] = []
    packs = [pack(n) for n in range(7)]
    started, finished = [], []
    for event in engine.run(packs, progress.append):
        if isinstance(event, Started):
            started.append(event.pack)
        else:
            assert event.pack in started
            assert [o.cell for o in event.outcomes] == list(event.pack.ids)
            finished.append(event.pack)
    assert sorted(p.ids for p in started) == sorted(p.ids for p in finished) == [p.ids for p in packs]
    assert {p.pack for p in progress} == {p.ids[0] for p in packs}


def test_a_raising_pack_fails_alone_with_its_reason(engine):
    done = outcomes(engine, pack(0), pack(1, "raise"), pack(2, "exit"), pack(3))
    assert {cell for cell, outcome in done.items() if outcome.status == "failed"} == {"1-0", "1-1", "2-0", "2-1"}
    assert done["1-1"].error.startswith("ValueError: the cell is broken (fake_training.py, line ")
    assert done["1-1"].seed == 1
    assert done["2-0"].error.startswith("SystemExit: 3 (fake_training.py")


def test_what_a_pack_changes_in_the_process_does_not_change_the_next_pack():
    before = Path.cwd(), torch.get_default_dtype()
    attempt(pack(0, "change the process"), "cpu", FAKE, lambda _: None)
    assert (Path.cwd(), torch.get_default_dtype()) == before


@pytest.mark.parametrize(
    ("does", "error"),
    [
        (
            "raise unprintable",
            "Unprintable: its message cannot be shown, because its __str__ raised RuntimeError (fake",
        ),
        ("raise GeneratorExit", "GeneratorExit: in a plugin (fake_training.py"),
    ],
)
def test_any_exception_of_a_plugin_is_a_reason(engine, does, error):
    done = outcomes(engine, pack(0, does, seeds=1), pack(1))
    assert done["0-0"].error.startswith(error)
    assert done["1-0"].status == "done"


def test_a_plugin_can_raise_ctrl_c_in_a_worker_process(shared_processes):
    """There, a real Ctrl-C does not arrive."""
    done = outcomes(shared_processes, pack(0, "raise KeyboardInterrupt", seeds=1), pack(1))
    assert done["0-0"].error.startswith("KeyboardInterrupt: in a plugin (fake_training.py")
    assert done["1-0"].status == "done"


def test_a_long_message_of_a_plugin_is_cut_in_the_middle(engine):
    error = outcomes(engine, pack(0, "raise at length", seeds=1))["0-0"].error
    assert error.startswith("ValueError: begin xxx")
    assert " … [5,000,010 characters] … " in error
    assert "xxx end (" in error
    assert len(error) < 2100


def test_a_long_reason_of_any_origin_is_cut():
    assert [len(outcome.error or "") for outcome in failed(pack(0), "x" * 5_000_000)] == [LONGEST, LONGEST]


def test_the_place_of_a_failure_is_not_in_a_library():
    with pytest.raises(TypeError) as caught:
        torch.nn.Linear(2, 2)("a string")
    assert Path(traceback.extract_tb(caught.tb)[-1].filename).name == "linear.py"
    assert "(test_engines.py, line " in reason(caught.value)


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("three_threads")
def test_training_has_one_thread_and_the_driver_keeps_its_own(engine):
    assert {o.versions["threads"] for o in outcomes(engine, pack(0), pack(1)).values()} == {1}
    assert torch.get_num_threads() == 3


def test_a_plugin_that_breaks_fails_its_pack(engine, tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("1 / 0\n")
    bad = pack(1).model_copy(update={"plugins": (str(broken),)})
    done = outcomes(engine, pack(0), bad)
    assert done["0-0"].status == "done"
    assert "ZeroDivisionError" in done["1-0"].error


def test_training_neither_moves_this_process_nor_prints_on_its_stdout(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert outcomes(SerialEngine(1, "cpu", FAKE), pack(0, "leave and print"))["0-0"].status == "done"
    assert os.getcwd() == str(tmp_path)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "printed in training" in shown.err


def test_a_worker_that_dies_twice_fails_its_pack_and_is_replaced(processes):
    done = outcomes(processes, pack(0, "die"), pack(1), pack(2, "die"), pack(3), pack(4), pack(5))
    assert {cell for cell, outcome in done.items() if outcome.status == "failed"} == {"0-0", "0-1", "2-0", "2-1"}
    assert {o.status for cell, o in done.items() if cell[0] in "1345"} == {"done"}
    assert done["0-0"].error.startswith("its process died twice, the second time with no other pack running (SIGKILL")
    assert "memory" in done["0-0"].error


def test_a_pack_whose_process_died_is_tried_once_more_after_all_others(processes, tmp_path):
    does = f"die once, {tmp_path / 'flag'}"
    events = list(processes.run([pack(0, does), *(pack(n) for n in range(1, 7))], lambda _: None))
    finished = [event for event in events if isinstance(event, Finished)]
    assert finished[-1].pack.ids == ("0-0", "0-1")
    assert {o.status for event in finished for o in event.outcomes} == {"done"}
    assert sum(isinstance(event, Started) for event in events) == 7


def test_workers_that_are_killed_at_any_moment_take_nothing_with_them(processes):
    """Also while they start, and while they say something: others go on, and every pack has its end."""
    draw, stop, killed = random.Random(0), threading.Event(), []

    def kill_some():
        # Bounded, since a busy machine starts workers more slowly than they are killed: it took two minutes there.
        while len(killed) < 40 and not stop.wait(draw.uniform(0, 0.3)):
            with suppress(Exception):  # it is gone, or not yet there
                if any(worker.ready for worker in processes.pool):
                    draw.choice(processes.pool).process.kill()
                    killed.append(1)

    threading.Thread(target=kill_some, daemon=True).start()
    events = processes.run([pack(n, "nap", seeds=1) for n in range(300)], lambda _: None)
    finished = sorted(int(event.pack.ids[0].split("-")[0]) for event in events if isinstance(event, Finished))
    stop.set()
    assert finished == list(range(300))
    assert len(killed) > 5


def test_a_worker_that_cannot_start_is_reported(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from attnbench.engines.processes import ProcessEngine\nfrom fake_training import FAKE, pack\n"
        "engine = ProcessEngine(2, 'cpu', FAKE)\nlist(engine.run([pack(0)], print))\n"
    )
    path = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    ended = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert ended.returncode != 0
    assert "the worker processes cannot be started: they end immediately (exit code 1)" in ended.stderr


def test_a_pack_that_takes_too_long_is_stopped_and_the_others_finish(engine):
    begun = time.monotonic()
    done = outcomes(engine, pack(0, "sleep", timeout=0.5), pack(1, timeout=30))
    assert time.monotonic() - begun < 30
    assert done["0-1"].status == "failed"
    assert done["0-1"].error == "stopped: it took longer than train.timeout, 0.5 s for each of 2 seeds"
    assert done["1-0"].status == "done"


@pytest.mark.parametrize("timeout", [3e6, 1e308])
def test_a_time_limit_may_be_longer_than_the_system_can_wait(engine, timeout):
    done = outcomes(engine, pack(0, timeout=timeout), pack(1))
    assert {outcome.status for outcome in done.values()} == {"done"}


def test_what_cannot_be_sent_back_fails(shared_processes):
    done = outcomes(shared_processes, pack(0, "unpicklable", seeds=1), pack(1))
    assert done["0-0"].status == "failed"
    assert done["1-0"].status == "done"


@pytest.mark.parametrize(
    ("does", "error"),
    [("unreadable", "ValueError: invalid literal for int()"), ("unreadable, exits", "SystemExit: 3")],
)
def test_what_the_driver_cannot_read_fails(shared_processes, does, error):
    done = outcomes(shared_processes, pack(0, does, seeds=1), pack(1))
    assert done["0-0"].error.startswith(f"the results cannot be read: {error}")
    assert done["1-0"].status == "done"


def test_a_signal_without_a_name_is_named_by_its_number():
    assert "signal 35" in _cause(-35)
    assert "SIGKILL, perhaps out of memory" in _cause(-signal.SIGKILL)


def test_a_worker_that_is_stopped_in_a_message_exceeds_its_limit_and_the_others_finish(processes):
    packs = [pack(0, "stop in a message", seeds=1, timeout=0.5), pack(1, "sleep", seeds=1, timeout=0.5), pack(2)]
    done = outcomes(processes, *packs)
    assert done["0-0"].error == done["1-0"].error == "stopped: it took longer than train.timeout, 0.5 s"
    assert done["2-0"].status == "done"


def test_a_large_pack_waits_for_a_busy_worker_while_time_limits_act(processes):
    large = [pack(number) for number in range(1, 6)]
    for each in large:
        each.cell.task.options["more"] = "x" * 5_000_000
    done = outcomes(processes, pack(0, "sleep", seeds=1, timeout=0.5), *large)
    assert done["0-0"].error == "stopped: it took longer than train.timeout, 0.5 s"
    assert {outcome.status for cell, outcome in done.items() if cell[0] != "0"} == {"done"}


def test_a_worker_that_is_stopped_before_it_is_ready_is_replaced(processes):
    processes.prepare()
    for stopped in list(processes.pool):
        assert 0 < stopped.deadline - time.monotonic() < START_SECONDS
        os.kill(stopped.process.pid, signal.SIGSTOP)
        stopped.deadline = time.monotonic()  # as if START_SECONDS had passed
    done = outcomes(processes, *(pack(number) for number in range(4)))
    assert {outcome.status for outcome in done.values()} == {"done"}


def test_a_worker_that_is_stopped_before_its_next_pack_is_replaced(processes, monkeypatch):
    outcomes(processes, pack(0), pack(1))
    stopped = processes.pool[0]
    os.kill(stopped.process.pid, signal.SIGSTOP)
    give, given = Worker.give, []

    def give_and_let_start_seconds_pass(worker, next_pack):
        give(worker, next_pack)
        if worker is stopped:
            given.append(worker.deadline - time.monotonic())
            worker.deadline = time.monotonic()

    monkeypatch.setattr(Worker, "give", give_and_let_start_seconds_pass)
    done = outcomes(processes, *(pack(number) for number in range(2, 6)))
    assert 0 < given[0] < START_SECONDS
    assert {outcome.status for outcome in done.values()} == {"done"}


def test_a_worker_has_a_deadline_whenever_it_should_begin_a_pack():
    """Also between two packs: it may be stopped after the first, with the second one already given."""
    worker = object.__new__(Worker)
    worker.packs, worker.deadline = deque([pack(0), pack(1)]), NEVER
    worker.becomes_ready()
    assert worker.deadline < NEVER
    worker.begins()
    assert worker.deadline == NEVER, "without train.timeout"
    worker.ends()
    assert worker.deadline < NEVER
    worker.begins()
    worker.ends()
    assert worker.deadline == NEVER, "there is nothing to do"


def test_workers_that_are_never_ready_end_the_run(processes, monkeypatch):
    monkeypatch.setattr("attnbench.engines.worker_handle.START_SECONDS", 0.0)
    with pytest.raises(AttnbenchError, match="cannot be started: they are not ready after 300 s"):
        outcomes(processes, pack(0))


def test_a_worker_that_dies_is_noticed_while_a_fork_of_it_holds_the_pipe(processes, tmp_path):
    forks = tmp_path / "forks"
    try:
        done = outcomes(processes, pack(0, f"fork and die, {forks}", seeds=1), pack(1))
    finally:
        for fork in forks.read_text().split():
            os.kill(int(fork), signal.SIGKILL)
    assert done["0-0"].error.startswith("its process died twice")
    assert done["1-0"].status == "done"


def test_workers_are_kept_and_are_not_this_process(shared_processes):
    workers = {o.metrics["process"] for o in outcomes(shared_processes, *(pack(n) for n in range(6))).values()}
    assert 1 <= len(workers) <= 2
    assert os.getpid() not in workers


def test_closing_does_not_wait_for_running_packs(processes):
    events = processes.run([pack(0, "sleep"), pack(1, "sleep"), pack(2, "sleep")], lambda _: None)
    next(events)
    begun = time.monotonic()
    processes.close()
    processes.close()
    assert time.monotonic() - begun < 10


def test_few_packs_are_handed_out_ahead(processes, monkeypatch):
    """So that stopping after a failure is prompt, and a long grid is not copied to the workers at once."""
    handed = []
    give = Worker.give
    monkeypatch.setattr(Worker, "give", lambda *a: handed.append(1) or give(*a))
    events = processes.run([pack(n) for n in range(50)], lambda _: None)
    next(events)
    assert len(handed) <= 4
    events.close()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize("kind", [SerialEngine, ProcessEngine])
def test_a_missing_gpu_is_reported_before_training(kind):
    with closing(kind(1, "cuda", FAKE)) as engine, pytest.raises(AttnbenchError, match="no GPU"):
        engine.prepare()


@pytest.mark.parametrize("kind", [SerialEngine, ProcessEngine])
def test_auto_is_resolved(kind):
    with closing(kind(1, "auto", FAKE)) as engine:
        (outcome, *_) = outcomes(engine, pack(0)).values()
    assert outcome.versions["device"] == ("cuda" if torch.cuda.is_available() else "cpu")


def test_a_container_share_limits_the_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    monkeypatch.setattr(Path, "is_file", lambda _: True)
    monkeypatch.setattr(Path, "read_text", lambda _, **__: "150000 100000\n")
    assert available_cores() == 2
    monkeypatch.setattr(Path, "read_text", lambda _, **__: "max 100000\n")
    assert available_cores() == 64
