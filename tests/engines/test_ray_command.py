"""The engine ray as a user meets it where no cluster is running."""

import os
import signal
import subprocess
import sys
import time

import pytest
from fake_training import FAKE
from ports import free_port
from ray_command import attn, processes

import attnbench
from attnbench.engines.ray import RayEngine
from attnbench.errors import AttnbenchError

pytest.importorskip("ray", reason="Ray is not installed: pip install 'attnbench[ray]'")


def test_ray_is_imported_for_its_engine_alone():
    code = "import sys, attnbench.runner, attnbench.cli.run; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_ray_the_error_explains_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(AttnbenchError, match=r"needs Ray(.|\n)*pip install 'attnbench\[ray\]'"):
        RayEngine(1, "cpu", FAKE).prepare()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"address": "auto"}, "address needs engine ray"),
        ({"gpus_per_pack": 0.5}, "gpus_per_pack needs engine ray"),
        ({"engine": "ray", "gpus_per_pack": 0.0}, "above 0"),
    ],
)
def test_wrong_options_are_reported(tmp_path, options, said):
    with pytest.raises(AttnbenchError, match=said):
        attnbench.run(tmp_path / "grid.yaml", **options)


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_no_cluster_at_the_address_is_a_usage_error(tmp_path, scheme):
    (tmp_path / "grid.yaml").write_text("name: none\nseeds: 1\ngrid: {score: [dot], task: [copy]}\n")
    address = scheme + f"127.0.0.1:{free_port()}"
    with attn(tmp_path, str(tmp_path / "grid.yaml"), "--engine", "ray", "--address", address) as run:
        _, complained = run.communicate(timeout=30)
    assert run.returncode == 2
    assert f"--address {address}: no Ray cluster answers at this address: Connection refused" in complained
    assert "Traceback" not in complained


@pytest.mark.parametrize("told_to_end", [(os.killpg, signal.SIGINT), (os.kill, signal.SIGTERM)], ids=["Ctrl-C", "kill"])
def test_an_interrupted_run_leaves_nothing_behind(tmp_path, told_to_end):
    """Without an address: Ray is started here, says nothing, and is gone afterwards."""
    before = set(processes())
    (tmp_path / "grid.yaml").write_text(
        "name: long\nseeds: 1\ngrid: {score: [dot, additive, general], task: [copy]}\ntrain: {steps: 100000}\n"
    )
    with attn(tmp_path, str(tmp_path / "grid.yaml"), "--engine", "ray", "--workers", "1") as run:
        assert "on 1 worker" in run.stderr.readline()
        deadline = time.monotonic() + 60
        while not any("ray::_train" in line for line in processes()) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert set(processes()) - before
        send, number = told_to_end
        send(run.pid, number)
        told, complained = run.communicate(timeout=60)
    assert run.returncode == 130
    assert told == ""
    assert "ray" not in complained.lower()
    deadline = time.monotonic() + 20
    while (left := set(processes()) - before) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert not left
