"""Cells trained with an earlier version of a plugin are stale: named, kept on demand, and set apart in the table."""

import csv
import io
import sys
from pathlib import Path

import pytest
from small_grid import SMALL

import attnbench
from attnbench import cli, registry
from attnbench.plugin_folder import PREFIX

PLUGIN = '''
import torch
import attnbench
from helper import SCALE


@attnbench.score("scaled")
class Scaled(torch.nn.Module):
    """Scales the dot product."""

    def forward(self, query, keys):
        return query @ keys.mT * SCALE
'''
GRID = SMALL.replace("[additive, dot]", "[dot, scaled]") + "plugins: [my_score.py]\n"


@pytest.fixture(autouse=True)
def _leave_everything_as_it_was(monkeypatch):
    for each in registry.REGISTRIES.values():
        monkeypatch.setattr(each, "_added", dict(each._added))
    yield
    for name in [name for name in sys.modules if name.startswith(PREFIX)]:
        del sys.modules[name]


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "my_score.py").write_text(PLUGIN)
    (folder / "helper.py").write_text("SCALE = 1.0\n")
    (folder / "small.yaml").write_text(GRID)
    monkeypatch.chdir(folder)
    run()
    return folder


def run(**options):
    return attnbench.run("small.yaml", **({"engine": "serial", "mlflow": False} | options))


@pytest.fixture
def call(capsys):
    def run_(*arguments: str) -> str:
        with pytest.raises(SystemExit) as end:
            cli.main(list(arguments))
        told = capsys.readouterr()
        assert not end.value.code, told.err
        return told.out

    return run_


def states(call) -> dict[str, set[tuple[str, str]]]:
    found: dict[str, set[tuple[str, str]]] = {}
    for row in csv.DictReader(io.StringIO(call("expand", "small.yaml", "--format", "csv"))):
        found.setdefault(row["score"], set()).add((row["state"], row["reason"]))
    return found


DONE = {("done", "")}
STALE = {("stale", "changed since: helper.py")}


def test_an_edited_neighbour_of_a_plugin_makes_its_cells_stale(project, call, capsys):
    assert states(call) == {"dot": DONE, "scaled": DONE}
    (project / "helper.py").write_text('"""A docstring."""\n\nSCALE = 1.0  # and a comment\n')
    assert states(call) == {"dot": DONE, "scaled": DONE}
    (project / "helper.py").write_text("SCALE = 2.0\n")
    assert states(call) == {"dot": DONE, "scaled": STALE}
    assert "\n4 cells trained with an earlier helper.py: stale\n" in call("expand", "small.yaml")
    before = run(keep_stale=True)
    assert states(call) == {"dot": DONE, "scaled": STALE}
    with pytest.raises(SystemExit):
        cli.main(["run", "small.yaml", "--engine", "serial", "--no-mlflow"])
    assert "of them 4 cells trained with an earlier helper.py: stale" in capsys.readouterr().err
    assert states(call) == {"dot": DONE, "scaled": DONE}
    after = run()
    assert list(after["cell"]) == list(before["cell"])
    losses = [frame.set_index("cell")["loss"] for frame in (before, after)]
    assert list(before["score"][(losses[0] != losses[1]).to_numpy()].unique()) == ["scaled"]


def test_stale_cells_have_rows_of_their_own(project, call):
    assert "stale" not in call("table", "small", "--with-stale")
    (project / "helper.py").write_text("SCALE = 2.0\n")
    run(keep_stale=True)
    plain = call("table", "small", "--format", "csv")
    assert {row["score"] for row in csv.DictReader(io.StringIO(plain))} == {"dot", "scaled"}
    assert "4 cells trained with an earlier helper.py: stale" in call("table", "small")
    apart = list(csv.DictReader(io.StringIO(call("table", "small", "--with-stale", "--format", "csv"))))
    assert {(row["score"], row["code"]) for row in apart} == {("dot", "current"), ("scaled", "(stale)")}
    assert {row["tie"] for row in apart} == {""}  # not compared with the current ones
    assert "(stale)" in call("table", "small", "--with-stale", "--rows", "task", "--columns", "score")
    loaded = attnbench.load("small")
    assert set(loaded.table(with_stale=True).frame["code"]) == {"current", "(stale)"}
    assert "code" not in loaded.table().frame.columns
    run()
    assert "stale" not in call("table", "small", "--with-stale")


def test_a_stale_cell_is_kept_where_a_cell_of_its_pack_was_lost(project):
    """All cells of the pack were trained again."""
    (project / "helper.py").write_text("SCALE = 2.0\n")
    before = run(keep_stale=True).set_index("cell")
    lost, *others = before.index[(before["score"] == "scaled") & (before["task"] == "copy")]
    (project / "results" / "small" / "cells" / f"{lost}.json").unlink()
    after = run(keep_stale=True).set_index("cell")
    assert after.loc[lost, "loss"] != before.loc[lost, "loss"]
    assert others
    assert list(after.loc[others, "loss"]) == list(before.loc[others, "loss"])
    again = run().set_index("cell")
    assert (again.loc[others, "loss"] != before.loc[others, "loss"]).all()
    assert again.loc[lost, "loss"] == after.loc[lost, "loss"]


def test_stale_cells_are_no_baseline_and_fail_a_check(project, call, capsys):
    """The check passed: it compared the results of the earlier code with themselves."""
    call("baseline", "small", "-o", "b.csv")
    (project / "helper.py").write_text("SCALE = 2.0\n")
    run(keep_stale=True)
    for arguments in (["check", "small", "--baseline", "b.csv"], ["baseline", "small", "-o", "c.csv"]):
        with pytest.raises(SystemExit) as end:
            cli.main(arguments)
        told = "".join(capsys.readouterr())
        assert end.value.code == (3 if arguments[0] == "check" else 2)
        assert "stale" in told
        assert told.count("scaled") == 2  # for each of the two tasks, and not for dot
    assert "seeds 0 1 are stale, changed since: helper.py" in check_output(capsys)
    run()
    assert "stale" not in check_output(capsys)
    assert not Path("c.csv").exists()


def check_output(capsys) -> str:
    with pytest.raises(SystemExit):
        cli.main(["check", "small", "--baseline", "b.csv"])
    return " ".join(capsys.readouterr().out.split())


def test_a_moved_project_is_not_stale(project, call, monkeypatch, tmp_path):
    project.rename(tmp_path / "project2")
    monkeypatch.chdir(tmp_path / "project2")
    registry.score._added.pop("scaled")
    assert states(call) == {"dot": DONE, "scaled": DONE}


@pytest.mark.usefixtures("project")
def test_workers_import_the_neighbours(call):
    frame = run(engine="processes", workers=2, fresh=True)
    assert set(frame["status"]) == {"done"}
    assert states(call) == {"dot": DONE, "scaled": DONE}
