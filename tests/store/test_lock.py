"""One driver per results folder; a dead process holds no lock."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from attnbench.errors import AttnbenchError
from attnbench.store.lock import held

HOLD = "import sys, time; from pathlib import Path; from attnbench.store.lock import held\n"
HOLD += "with held(Path(sys.argv[1])): print('held', flush=True); time.sleep(100)"


@pytest.fixture
def holder(tmp_path: Path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_error_names_the_process_that_holds_the_lock(holder, tmp_path):
    with (
        pytest.raises(
            AttnbenchError, match=rf"another process is running this grid: process {holder.pid} on .*, since 20"
        ),
        held(tmp_path),
    ):
        pass


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_dead_process_holds_no_lock(holder, tmp_path, end):
    holder.send_signal(end)
    holder.wait()
    with held(tmp_path):
        assert f'"process": {os.getpid()}' in (tmp_path / ".lock.json").read_text()


@pytest.mark.usefixtures("holder")
def test_a_holder_is_only_read_from_a_small_file(tmp_path, monkeypatch):
    monkeypatch.setattr("attnbench.store.lock.MOST_BYTES", 10)
    with pytest.raises(AttnbenchError) as caught, held(tmp_path):
        pass
    assert caught.value.problems[0].what == "another process is running this grid"


def test_it_is_released_at_the_end_and_after_an_error(tmp_path):
    with pytest.raises(KeyError), held(tmp_path):
        raise KeyError
    begun = time.monotonic()
    with held(tmp_path):
        pass
    assert time.monotonic() - begun < 1
