"""A grid that is written in Python means what the same YAML means, and its mistakes are shown as a file's are."""

from collections import OrderedDict
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
import yaml
from small_grid import SMALL, write_grid

import attnbench
from attnbench.grid.expand import expand
from attnbench.grid.load import load_grid

GRID = yaml.safe_load(SMALL)


def test_a_mapping_has_the_cells_of_its_file(tmp_path):
    from_file = expand(load_grid(write_grid(tmp_path)))
    for grid in (GRID, GRID | {"grid": {"score": ("additive", "dot"), "task": ["copy", "reverse"]}}):
        assert [cell.id for cell in expand(load_grid(grid)).cells] == [cell.id for cell in from_file.cells]


def test_the_text_that_is_kept_gives_the_same_cells(tmp_path):
    loaded = load_grid(GRID, ["train.steps=3"])
    (tmp_path / "kept.yaml").write_text(loaded.text)
    kept = expand(load_grid(tmp_path / "kept.yaml"))
    assert [cell.id for cell in kept.cells] == [cell.id for cell in expand(loaded).cells]


def test_a_mistake_in_a_mapping_is_shown_in_its_yaml():
    with pytest.raises(attnbench.AttnbenchError) as caught:
        load_grid(GRID | {"grid": {"score": ["adaptive"], "task": ["copy"]}})
    (problem,) = caught.value.problems
    assert problem.where.startswith("grid:")
    assert problem.source.splitlines()[0].strip() == "- adaptive"
    assert "did you mean 'additive'" in problem.hint


@pytest.mark.parametrize("value", [np.float64(0.1), Path("x"), {1, 2}.__iter__(), object()])
def test_a_value_that_no_file_can_have_is_an_error_with_its_type(value):
    with pytest.raises(attnbench.AttnbenchError, match=rf"of type {type(value).__name__}, which"):
        load_grid(GRID | {"train": {"learning_rate": value}})


def test_every_such_value_is_named_by_its_key():
    grid = {
        "grid": {"score": ["dot", np.str_("general")], "task": ("copy",), "model.width": np.array([8, 16])},
        "train": {"steps": np.int64(4), "clip": 1.0},
    }
    with pytest.raises(attnbench.AttnbenchError) as caught:
        load_grid(GRID | grid)
    wheres = [problem.where for problem in caught.value.problems]
    assert wheres == ["grid['grid']['score'][1]", "grid['grid']['model.width']", "grid['train']['steps']"]
    assert all(".tolist()" in problem.hint for problem in caught.value.problems)


@pytest.mark.parametrize("value", [OrderedDict(steps=4), {np.int64(3): 4}, MappingProxyType({}), [range(3)]])
def test_containers_and_keys_are_named_too(value):
    with pytest.raises(attnbench.AttnbenchError, match=r"grid\['train'\].* of type \w+, which") as caught:
        load_grid(GRID | {"train": value})
    assert len(caught.value.problems) == 1


def test_plugins_are_relative_to_the_working_folder(tmp_path, monkeypatch):
    write_grid(tmp_path)
    monkeypatch.chdir(tmp_path)
    grid = GRID | {"plugins": ["breaks.py"], "grid": {"score": ["breaks"], "task": ["copy"]}}
    assert {cell.labels["score"] for cell in expand(load_grid(grid)).cells} == {"breaks"}


def test_run_takes_a_mapping(tmp_path):
    frame = attnbench.run(GRID, results=tmp_path, engine="serial", mlflow=False)
    assert len(frame) == 8
    assert (frame["status"] == "done").all()
    assert yaml.safe_load((tmp_path / "small" / "grid.yaml").read_text()) == GRID


@pytest.mark.parametrize("depth", [40, 2_000, 100_000])
def test_a_grid_that_is_nested_too_deeply_is_a_usage_error(depth):
    nested: dict = {}
    for _ in range(depth):
        nested = {"deeper": nested}
    with pytest.raises(attnbench.AttnbenchError, match="is nested more than 32 levels deep"):
        load_grid({"name": "deep", "seeds": 1, "grid": nested})
