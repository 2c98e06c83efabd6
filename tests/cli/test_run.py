"""`attnbench run`: what it prints where, its exit codes, and that Ctrl-C loses nothing."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_grid import SMALL, files_below, write_grid

from attnbench import cli, runner
from attnbench.errors import AttnbenchError, Exit
from attnbench.store.store import Store


@pytest.fixture
def run(tmp_path, capsys):
    """Calls `attnbench run` on the small grid, in this process; gives the exit code, stdout and stderr."""

    def call(*options: str, text: str = SMALL):
        grid = write_grid(tmp_path, text)
        common = ["--results", str(tmp_path / "results"), "--engine", "serial", "--no-mlflow"]
        with pytest.raises(SystemExit) as end:
            cli.main(["run", str(grid), *common, *options])
        told = capsys.readouterr()
        return int(end.value.code or 0), told.out, told.err

    return call


def test_a_good_run_prints_the_table_on_stdout_and_its_progress_on_stderr(run, tmp_path):
    code, out, err = run()
    assert code == Exit.OK
    assert "small: exact_match" in out
    assert "additive" in out
    lines = err.splitlines()
    assert lines[0] == "small: 8 cells, 8 to train in 4 packs on 1 worker"
    assert lines[1] == "2 seeds cannot decide between 2 scores: 6 or more can"
    assert lines[2].startswith("[1/4] additive · copy ×2 seeds  exact match 0.")
    assert lines[5].startswith("[4/4] dot · reverse ×2 seeds  exact match ")
    assert lines[6] == f"Results: {tmp_path / 'results' / 'small'}"
    assert "MLflow" not in err


def test_a_second_run_reports_that_all_is_done_and_shows_the_table(run):
    run()
    code, out, err = run()
    assert code == Exit.OK
    assert err.startswith("small: 8 cells, 8 done before, nothing to train\n")
    assert "additive" in out


def test_a_raising_cell_fails_alone(run):
    text = SMALL.replace("score: [additive, dot]", "score: [additive, breaks]") + "plugins: [breaks.py]\n"
    code, out, err = run(text=text)
    assert code == Exit.CELLS_FAILED
    assert "breaks.py:11: the score 'breaks' cannot be trained: it raised RuntimeError: no score today" in err
    assert "Traceback" not in err
    assert "Failed:  4 of the cells above" in err
    assert "failed" in out
    code, _, err = run(text=text)
    assert code == Exit.CELLS_FAILED
    assert "4 done before, 4 failed before (--retry-failed trains them again), nothing to train" in err


def test_quiet_prints_nothing_when_all_is_well(run):
    assert run("--quiet") == (Exit.OK, "", "")


@pytest.fixture
def given(monkeypatch):
    """Calls `attnbench run g.yaml`, and gives the arguments that the runner gets; nothing is trained."""

    def call(*options: str) -> dict[str, object]:
        found: dict[str, object] = {}

        def note(grid: Path, **arguments: object) -> None:
            found.update(arguments, grid=grid)
            raise AttnbenchError("noted")

        monkeypatch.setattr(runner, "run", note)
        with pytest.raises(SystemExit):
            cli.main(["run", "g.yaml", *options])
        del found["listener"]
        return found

    return call


def test_every_option_is_given_to_the_runner(given):
    options = "--as second --set a=1 --set b=2 --plugin p.py --limit 3 --retry-failed --keep-stale --no-reuse --fresh "
    options += "--fail-fast --workers 2 --engine ray --device cpu --address auto --gpus-per-pack 0.5 --results there "
    options += "--no-mlflow --tracking-uri sqlite:///x.db"
    assert given(*options.split()) == {
        "grid": Path("g.yaml"),
        "name": "second",
        "overrides": ["a=1", "b=2"],
        "plugins": ["p.py"],
        "limit": 3,
        "retry_failed": True,
        "keep_stale": True,
        "reuse": False,
        "fresh": True,
        "fail_fast": True,
        "workers": 2,
        "engine": "ray",
        "device": "cpu",
        "address": "auto",
        "gpus_per_pack": 0.5,
        "results": Path("there"),
        "mlflow": False,
        "tracking_uri": "sqlite:///x.db",
    }


def test_without_options_cells_of_other_runs_are_reused_and_the_grid_gives_the_name(given):
    found = given()
    assert (found["reuse"], found["name"], found["fresh"], found["mlflow"]) == (True, None, False, True)


def test_the_environment_names_the_results_folder(given, monkeypatch):
    monkeypatch.setenv("ATTNBENCH_RESULTS", "elsewhere")
    assert given()["results"] == Path("elsewhere")
    assert given("--results", "here")["results"] == Path("here")


def test_options_reach_the_run(run, tmp_path):
    code, _, err = run("--set", "train.steps=2", "--set", "seeds=1", "--limit", "1")
    assert code == Exit.OK
    assert "small: 4 cells, 1 to train in 1 pack on 1 worker" in err
    store = Store(tmp_path / "results" / "small")
    (cell,) = store.states()
    assert store.read(cell)["config"]["train"]["steps"] == 2


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("dot]", "dott]", "did you mean 'dot'?"),
        ("seeds: 2", "seeds: 0", "seeds"),
        ("name: small", "name: a/b", "name"),
        ("width: 8", "width: -8", "width"),
        ("min_length: 2", "min_length: 9", "min_length"),
        ("train:", "plugins: [gone.py]\ntrain:", "gone.py"),
    ],
)
def test_a_mistake_in_the_grid_is_exit_2_and_touches_nothing(run, tmp_path, old, new, said):
    run()
    before = files_below(tmp_path / "results")
    code, out, err = run(text=SMALL.replace(old, new))
    assert code == Exit.USAGE
    assert said in err
    assert "Traceback" not in err
    assert out == ""
    assert files_below(tmp_path / "results") == before


def children(process):
    tasks = Path(f"/proc/{process.pid}/task")
    return [int(child) for file in tasks.glob("*/children") for child in file.read_text().split()]


def runs(pid):
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks at the processes in /proc")
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGTERM, Exit.INTERRUPTED), (signal.SIGKILL, -signal.SIGKILL)])
def test_no_worker_outlives_a_driver_that_was_ended_or_killed(tmp_path, sent, status):
    grid = write_grid(tmp_path)
    command = [sys.executable, "-m", "attnbench", "run", str(grid), "--results", str(tmp_path), "--no-mlflow"]
    driver = subprocess.Popen([*command, "--workers", "1", "--set", "train.steps=100000"], stderr=subprocess.DEVNULL)
    for _ in range(300):
        workers = children(driver)
        if workers and (tmp_path / "small" / "plan.json").exists():
            break
        time.sleep(0.1)
    time.sleep(5)  # the worker has imported torch and trains
    workers = children(driver)
    assert workers
    driver.send_signal(sent)
    assert driver.wait(timeout=30) == status
    for _ in range(100):
        if not any(map(runs, workers)):
            break
        time.sleep(0.1)
    assert not any(map(runs, workers))


def test_a_grid_of_failures_has_its_columns_and_exit_1(run, tmp_path):
    (tmp_path / "raising.py").write_text(
        "import torch, attnbench\n"
        "@attnbench.score('raising')\n"
        "class Raising(torch.nn.Module):\n"
        "    def forward(self, query, keys): raise ValueError('always')\n"
    )
    code, _, err = run(
        "--plugin", str(tmp_path / "raising.py"), "--set", "grid.score=[raising]", "--set", "data.test_lengths=[5, 9]"
    )
    assert code == Exit.CELLS_FAILED
    assert "there is no metric" not in err
    header = (tmp_path / "results" / "small" / "table.csv").read_text().splitlines()[0]
    assert header.endswith("exact_match@5,exact_match@9,error")


def test_an_interrupted_grid_goes_on_where_it_was(tmp_path):
    """With real processes and a real signal."""
    grid = write_grid(tmp_path)
    command = [sys.executable, "-m", "attnbench", "run", str(grid), "--results", str(tmp_path), "--no-mlflow"]
    command += ["--workers", "1"]
    store = Store(tmp_path / "small")
    slow = subprocess.Popen(
        [*command, "--set", "train.steps=100"], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    for _ in range(600):
        if store.states():
            break
        time.sleep(0.1)
    os.killpg(slow.pid, signal.SIGINT)  # as a terminal does, to the workers too
    err = slow.communicate(timeout=30)[1]
    assert slow.returncode == Exit.INTERRUPTED
    assert re.search(r"Interrupted\. \d of 8 cells are finished and saved", err)
    assert "Traceback" not in err
    assert "KeyboardInterrupt" not in err
    kept = {cell: (tmp_path / "small" / "cells" / f"{cell}.json").read_bytes() for cell in store.states()}
    assert 0 < len(kept) < 8
    assert len((tmp_path / "small" / "table.csv").read_text().splitlines()) == 1 + len(kept)
    subprocess.run([*command, "--set", "train.steps=100"], check=True, capture_output=True)
    assert set(store.states().values()) == {"done"}
    assert len(store.states()) == 8
    for cell, content in kept.items():
        assert (tmp_path / "small" / "cells" / f"{cell}.json").read_bytes() == content
