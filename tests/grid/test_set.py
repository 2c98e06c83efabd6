"""`--set path=value` changes any field, and says of its own mistakes where they come from."""

from collections.abc import Callable
from pathlib import Path

import pytest

from attnbench.grid.load import load_grid
from grid.conftest import SMALL, Complaints


def test_set_changes_any_field_and_the_text_that_is_kept(write: Callable[[str], Path], tmp_path: Path) -> None:
    overrides = [
        "seeds=[4, 5]", "name=other", "grid.score=[general]", "grid.model.width=[8, 16]", "model.cell=lstm",
        "train.stop_at.exact_match=1e-1",
    ]  # fmt: skip
    grid = load_grid(write(SMALL), overrides)
    assert (grid.name, grid.seeds) == ("other", (4, 5))
    assert grid.axes == ("score", "task", "model.width")
    assert grid.sections.model == {"cell": "lstm"}
    assert grid.sections.train == {"stop_at": {"exact_match": 0.1}}
    kept = tmp_path / "kept.yaml"
    kept.write_text(grid.text)
    again = load_grid(kept)
    assert (again.name, again.seeds, again.axes, again.sections) == (grid.name, grid.seeds, grid.axes, grid.sections)


@pytest.mark.parametrize(
    ("override", "where", "what"),
    [
        ("train.steps=x", "--set train.steps", "a whole number, found 'x'"),
        ("train.stps=3", "--set train.stps", "unknown key 'stps'"),
        ("grid.score=[addtive]", "--set grid.score", "unknown score 'addtive'"),
        ("seeds=0", "--set seeds", "found 0"),
        ("name=a/b", "--set name", "is not a valid folder name"),
        ("trian.steps=3", "--set trian.steps", "unknown field 'trian'"),
        ("train.steps", "--set train.steps", "path=value"),
        ("train.steps=[", "--set train.steps", "not YAML"),
        ("train.steps={a: 1, a: 2}", "--set train.steps", "duplicate key"),
        ("name.x=3", "--set name.x", "name has no fields"),
        ("exclude.0=3", "--set exclude.0", "exclude has no fields"),
    ],
)
def test_mistakes_in_set_are_reported_at_it(complaints: Complaints, override: str, where: str, what: str) -> None:
    problem = complaints(SMALL + "exclude: []\n", override)[0]
    assert problem.where == where
    assert what in problem.what


def test_setting_a_field_that_is_an_axis_would_do_nothing_and_is_refused(complaints: Complaints) -> None:
    (problem,) = complaints(SMALL + "zip: {train.steps: [3, 4]}\n", "train.steps=5")
    assert "is an axis" in problem.what
    assert "zip.train.steps=[" in problem.hint
