"""Accuracy against length: the length as an axis of a table, and which lengths lie beyond those trained on."""

import json

import pytest
from made_up_run import outcome, plan, rewrite, write_run

from attnbench.analysis.table import formats
from attnbench.analysis.table.captions import BEYOND
from attnbench.analysis.table.comparison import comparison
from attnbench.analysis.table.lengths import trained_lengths
from attnbench.errors import AttnbenchError


@pytest.fixture
def lengths(tmp_path):
    """Two scores, trained up to 10 and up to 30, tested at 9 and 20."""
    grid = plan(score=["dot", "cosine"], data__max_length=[10, 30])
    results = [outcome(c, exact_match=0.9, exact_match_at_9=0.8, exact_match_at_20=i / 10, token_accuracy_at_20=0.7)
               for i, c in enumerate(grid.cells)]  # fmt: skip
    return write_run(tmp_path, grid, results).frame(), {c.id: (3, c.labels["data.max_length"]) for c in grid.cells}


def test_the_metric_by_length(lengths):
    frame, _ = lengths
    compared = comparison(frame, columns="length")
    assert (compared.index, compared.heads) == (("score", "data.max_length"), [9, 20])
    assert compared.cells[("cosine", 30), 20].mean == pytest.approx(0.3)
    assert compared.cells[("cosine", 30), 9].mean == pytest.approx(0.8)
    assert comparison(frame, columns="length", metric="token_accuracy").heads == [20]
    assert comparison(frame, columns="length", where=["length=20", "score=dot"]).heads == [20]
    turned = comparison(frame, rows="length", columns="data.max_length")
    assert turned.rows[:2] == [(9, "dot"), (9, "cosine")]
    assert {row for (row, _), cell in turned.cells.items() if cell.best} == {(20, "cosine")}


def test_lengths_beyond_those_trained_on_are_marked_where_they_are(lengths):
    frame, trained = lengths
    text = formats.to_markdown(comparison(frame, columns="length", trained=trained))
    assert "| score | data.max_length | 9 | 20 |" in text
    assert f"| dot | 10 | 0.800 | 0.000 {BEYOND} |" in text
    assert "| dot | 30 | 0.800 | 0.100 |" in text
    assert f"Trained on lengths 3–10 or 3–30; {BEYOND}: longer." in text
    one = comparison(frame, columns="length", trained=trained, where=["data.max_length=10"])
    assert f"| score | 9 | 20 {BEYOND} |" in formats.to_markdown(one)
    assert "| dot | 0.800 | 0.000 |" in formats.to_markdown(one)
    assert [record["beyond"] for record in json.loads(formats.to_json(one))] == [False, True] * 2
    assert "Trained on lengths 3–30." in formats.caption(
        comparison(frame, columns="length", trained=trained, where=["data.max_length=30"])
    )
    turned = comparison(frame, rows="length", columns="score", trained=trained, where=["data.max_length=10"])
    assert r"20 $\rangle$ & 0.000 & 0.200" in formats.to_latex(turned)


def test_what_was_trained_on_is_read_from_the_cells(tmp_path):
    grid = plan()
    store = write_run(tmp_path, grid, [outcome(grid.cells[0], exact_match=0.5)])
    cell = store.frame()["cell"][0]
    assert trained_lengths(store, [cell]) == {cell: (3, 10)}
    rewrite(store.folder / "cells" / f"{cell}.json", lambda record: record["config"]["data"].update(path="own.tsv"))
    assert trained_lengths(store, [cell]) == {}


def test_mistakes_about_lengths_are_reported(lengths):
    frame, _ = lengths
    bare = frame.drop(columns=[column for column in frame.columns if "@" in column])
    for given, metric, column, says in (
        (frame, "aer", "length", "measured by length: exact_match, token_accuracy"),
        (
            frame,
            "exact_match@20",
            "length",
            "for one length already\n  → use --metric exact_match with the axis length",
        ),
        (frame, "exact_match", "lenght", "did you mean 'length'"),
        (bare, "exact_match", "length", "set data.test_lengths in the grid"),
    ):
        with pytest.raises(AttnbenchError) as error:
            comparison(given, columns=column, metric=metric)
        assert says in str(error.value)
