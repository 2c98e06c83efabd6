"""Modules in the working folder are not executed in place of the standard library's or of installed packages."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_training import FAKE, pack

from attnbench.cli.ui import _server
from attnbench.engines.base import Finished
from attnbench.engines.processes import ProcessEngine
from attnbench.engines.ray_cluster import _job_config

TESTS = Path(__file__).parents[1]
SCRIPT = """
from attnbench.engines.{module} import {engine}
from fake_training import FAKE, pack

if __name__ == "__main__":
    engine = {engine}(1, "cpu", FAKE)
    engine.prepare()
    (started, finished) = engine.run([pack(0, seeds=1)], lambda _: None)
    engine.close()
    print(finished.outcomes[0].status)
"""


@pytest.fixture
def executed(tmp_path: Path) -> Path:
    """A file with the names of the modules of the working folder `tmp_path / "here"` that were executed."""
    names = tmp_path / "executed"
    names.touch()
    folder = tmp_path / "here"
    folder.mkdir()
    for module in (*sys.stdlib_module_names, "torch", "numpy", "mlflow", "pydantic"):
        (folder / f"{module}.py").write_text(f"open({str(names)!r}, 'a').write({module!r} + ' ')\n")
    return names


def run(command: list[str], executed: Path) -> str:
    """What a command prints that runs in this working folder."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    environment["PYTHONPATH"] = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    folder = executed.parent / "here"
    ended = subprocess.run(command, capture_output=True, text=True, timeout=250, cwd=folder, env=environment)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize(("module", "engine"), [("processes", "ProcessEngine"), ("ray", "RayEngine")])
def test_workers_do_not_execute_them(tmp_path, executed, module, engine):
    if module == "ray":
        pytest.importorskip("ray", reason="Ray is not installed: pip install 'attnbench[ray]'")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(module=module, engine=engine))
    assert run([sys.executable, str(script)], executed) == "done\n"
    assert executed.read_text() == ""


def test_the_server_of_ui_does_not_execute_them(tmp_path, executed, monkeypatch):
    monkeypatch.chdir(executed.parent / "here")
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    (Path.cwd() / "server_of_here.py").write_text("import mlflow")
    with (tmp_path / "log").open("w+") as log, _server([sys.executable, "-m", "server_of_here"], log) as server:
        server.wait(60)
        log.seek(0)
        assert "No module named server_of_here" in log.read()
    assert executed.read_text() == ""


def test_a_worker_finds_a_plugin_where_the_driver_finds_it(tmp_path, monkeypatch):
    (tmp_path / "dotted_plugin.py").write_text("LOADED = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    engine = ProcessEngine(1, "cpu", FAKE)
    packs = [pack(0, seeds=1).model_copy(update={"plugins": ("dotted_plugin",)})]
    (finished,) = [event for event in engine.run(packs, lambda _: None) if isinstance(event, Finished)]
    engine.close()
    assert finished.outcomes[0].error is None


@pytest.mark.parametrize(("path", "skipped"), [("", False), ("{cwd}", False), ("/elsewhere", True)])
def test_rays_workers_search_the_working_folder_if_the_driver_does(tmp_path, monkeypatch, path, skipped):
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'attnbench[ray]'")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path.format(cwd=tmp_path)])
    assert _job_config(ray)._client_job is skipped


def test_the_driver_keeps_its_environment(monkeypatch):
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    engine = ProcessEngine(1, "cpu", FAKE)
    engine.prepare()
    engine.close()
    assert "PYTHONSAFEPATH" not in os.environ
