"""Lengths that are out of order, or that a task does not have, and those of the user's own sentence pairs."""

import time
from pathlib import Path

import pytest

from grid.conftest import SMALL, Complaints, Plans
from grid.test_expand import labels, reasons
from grid.test_load import PAIRS


def test_lengths_out_of_order_name_their_axes_once(complaints: Complaints, plan: Plans) -> None:
    text = (
        SMALL.replace("seeds: 1", "seeds: 3")
        + "zip: {data.min_length: [3, 15], data.max_length: [5, 10], train.steps: [1, 2]}\n"
    )
    (problem,) = complaints(text)
    assert "min_length 15 is above max_length 10" in problem.what
    assert "data.min_length and data.max_length" in problem.hint
    assert ":4:28" in problem.where
    assert len(plan(text + "exclude: [{data.min_length: 15}]\n").cells) == 3


def test_an_axis_may_mend_the_order_of_the_section(plan: Plans) -> None:
    assert plan(SMALL + "zip: {data.max_length: [30, 40]}\ndata: {min_length: 25}\n").cells


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("grid: {score: [dot], task: [copy, sort]}\ndata: {vocabulary: 9}", "2:35", "no 10 distinct symbols"),
        ("grid: {score: [dot], task: [sort]}\ndata: {test_lengths: [21]}", "3:22", "no 21 distinct symbols"),
        ("grid: {score: [dot], task: [translate]}\ndata: {min_length: 1}", "3:20", ""),
        ("grid: {score: [dot], task: [copy]}\ndata: {vocabulary: null}", "3:20", "needs data.vocabulary"),
        ("grid: {score: [dot], task: [sort], data.max_length: [8, 30]}", "2:57", "no 30 distinct symbols"),
    ],
)
def test_lengths_that_a_task_does_not_have(complaints: Complaints, text: str, where: str, what: str) -> None:
    (problem,) = complaints(f"name: g\n{text}\n")
    assert what in problem.what
    assert problem.where.endswith(f"grid.yaml:{where}")


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        (
            "grid: {score: [dot], task: [copy, sort]}\ndata: {unseen_symbols: 20}",
            "3:24",
            "is 20 with a vocabulary of 20",
        ),
        ("grid: {score: [dot], task: [copy], data.unseen_symbols: [0, 20]}", "2:61", "is 20 with a vocabulary of 20"),
        (
            "grid: {score: [dot], task: [copy], data.vocabulary: [50, 12]}\ndata: {unseen_symbols: 30}",
            "3:24",
            "is 30 with a vocabulary of 12",
        ),
        ("grid: {score: [dot], task: [copy]}\ndata: {unseen_symbols: -1}", "3:24", "at least 0, found -1"),
        ("grid: {score: [dot], task: [sort]}\ndata: {unseen_symbols: 11}", "2:29", "9 of which occur in training"),
    ],
)
def test_more_unseen_symbols_than_the_vocabulary_has(complaints: Complaints, text: str, where: str, what: str) -> None:
    (problem,) = complaints(f"name: g\n{text}\n")
    assert what in problem.what
    assert problem.where.endswith(f"grid.yaml:{where}")


def test_unseen_symbols_matter_only_where_they_are_used(plan: Plans) -> None:
    text = "name: g\nseeds: 1\ngrid: {score: [dot], task: [copy, translate], data.unseen_symbols: [2, 25]}\n%s"
    found = plan(text % "exclude: [{task: copy, data.unseen_symbols: 25}]\n")
    assert labels(found, "task", "data.unseen_symbols") == [("copy", 2), ("translate", 0)]
    assert [cell.cell.data.unseen_symbols for cell in found.cells] == [2, 0]
    assert reasons(found)[1] == f"translate does not use data.unseen_symbols: same as cell {found.cells[1].id}"
    assert plan(text % "zip: {data.vocabulary: [30]}\n").cells


TASK = """
from attnbench.registry import task

@task("even")
class Even:
    "Sources of even length."
    source_words = target_words = ["<pad>", "<bos>", "</s>", "a"]
    def check(self, length):
        return None if length % 2 == 0 else f"even has no source of length {length}"
    def generate(self, random, length, count):
        raise NotImplementedError
"""


def test_a_custom_task_needs_one_length_of_the_range(complaints: Complaints, tmp_path: Path, plan: Plans) -> None:
    (tmp_path / "p.py").write_text(TASK)
    text = "name: g\ngrid: {score: [dot], task: [even]}\nplugins: [p.py]\ndata: {min_length: %s, max_length: %s}\n"
    assert plan(text % (3, 5)).cells
    assert plan(text % (4, 4)).cells
    for problem in complaints(text % (5, 5)):
        assert "even has no source of length 5" in problem.what
    tested = text.replace("max_length: %s", "max_length: %s, test_lengths: [8, 9]")
    (problem,) = complaints(tested % (3, 5))
    assert "even has no source of length 9" in problem.what


def test_a_mistyped_billion_of_lengths_is_answered_soon(plan: Plans) -> None:
    begun = time.perf_counter()
    plan(SMALL + "data: {max_length: 1000000000}\n")
    assert time.perf_counter() - begun < 1


def test_sentence_pairs_bring_their_lengths(plan: Plans, tmp_path: Path) -> None:
    (tmp_path / "p.tsv").write_text(PAIRS)
    (tmp_path / "t.tsv").write_text("a b c d e\tx\n")
    text = (
        "name: g\nseeds: 1\ngrid: {score: [dot], task: [copy, translate], data.max_length: [7, 8]}\n"
        "data: {path: p.tsv, test_path: t.tsv, min_length: 4}\n"
    )
    found = plan(text)
    data = [cell.cell.data for cell in found.cells]
    assert [(d.min_length, d.max_length, d.path is None, d.vocabulary) for d in data] == [
        (4, 7, True, 20),
        (4, 8, True, 20),
        (2, 5, False, None),
    ]
    assert data[2].path == str(tmp_path / "p.tsv")
    assert len(reasons(found)) == 1


def test_lengths_that_are_not_those_of_the_pairs_do_not_hinder_them(plan: Plans, tmp_path: Path) -> None:
    (tmp_path / "p.tsv").write_text(PAIRS)
    found = plan(
        "name: g\nseeds: 1\ngrid: {score: [dot], task: [copy, translate], data.min_length: [15, 3]}\n"
        "data: {path: p.tsv}\nexclude: [{task: copy, data.min_length: 15}]\n"
    )
    assert labels(found, "task", "data.min_length") == [("copy", 3), ("translate", 2)]


def test_paths_as_an_axis_are_labelled_as_written(plan: Plans, tmp_path: Path) -> None:
    (tmp_path / "p.tsv").write_text(PAIRS)
    (tmp_path / "q.tsv").write_text(PAIRS + "one more\tpair\n")
    found = plan("name: g\nseeds: 1\ngrid: {score: [dot], task: [translate, copy], data.path: [p.tsv, q.tsv]}\n")
    assert labels(found, "task", "data.path") == [("translate", "p.tsv"), ("translate", "q.tsv"), ("copy", None)]
    assert reasons(found) == [f"copy does not use data.path: same as cell {found.cells[2].id}"]
