"""What names the rows of a comparison: nothing that varies is averaged over, and nothing is said twice."""

from dataclasses import replace

import pytest
from made_up_run import outcome, plan, write_run

from attnbench.analysis.table import formats
from attnbench.analysis.table.comparison import comparison


def summarised(tmp_path, grid, holds=lambda _: True, **options):
    """The comparison of the cells of a grid whose labels fulfil a condition, as `zip` would leave them."""
    grid = replace(grid, cells=[cell for cell in grid.cells if holds(cell.labels)])
    return comparison(write_run(tmp_path, grid, [outcome(c, exact_match=0.5) for c in grid.cells]).frame(), **options)


def test_rows_are_models_where_several_are_compared(tmp_path):
    several = plan(model=["rnn", "pointer"], score=["dot", "cosine"])
    assert summarised(tmp_path, several).index == ("model", "score")
    assert summarised(tmp_path, several).rows[:2] == [("rnn", "dot"), ("rnn", "cosine")]
    assert summarised(tmp_path, several, rows="score").index == ("score", "model")
    assert summarised(tmp_path, several, columns="model").index == ("score",)
    assert summarised(tmp_path, plan(model=["pointer"], score=["dot", "cosine"])).index == ("score",)


def lengths(tmp_path, *pairs, **options):
    """Two scores, at pairs of data.min_length and data.max_length."""
    low, high = ([*dict.fromkeys(numbers)] for numbers in zip(*pairs, strict=True))
    grid = plan(score=["dot", "cosine"], data__min_length=low, data__max_length=high)
    return summarised(tmp_path, grid, lambda c: (c["data.min_length"], c["data.max_length"]) in pairs, **options)


def test_an_axis_that_changes_with_another_is_shown_once(tmp_path):
    pairs = (5, 10), (10, 15), (None, 20)
    found = lengths(tmp_path, *pairs, notes=["a note"])
    assert found.index == ("score", "data.min_length")
    assert found.rows == [(score, low) for score in ("dot", "cosine") for low, _ in pairs]
    assert found.notes == ("data.max_length varies with data.min_length", "a note")
    assert "data.max_length varies with data.min_length" in formats.to_markdown(found)
    across = lengths(tmp_path, *pairs, columns="data.max_length")
    assert (across.index, across.heads) == (("score",), [10, 15, 20])
    assert across.notes == ("data.min_length varies with data.max_length",)


@pytest.mark.parametrize("pairs", [
    [(5, 10), (5, 15), (10, 20)], [(5, 10), (10, 15), (15, 15)], [(5, 10), (10, 15), (5, 15)],
])  # fmt: skip
def test_axes_that_are_not_one_to_one_stay(tmp_path, pairs):
    found = lengths(tmp_path, *pairs)
    assert (found.index, found.notes) == (("score", "data.min_length", "data.max_length"), ())
    assert len(found.rows) == len(found.cells) == 6
    assert lengths(tmp_path, *pairs, columns="data.max_length").index == ("score", "data.min_length")


def test_what_goes_together_is_judged_by_what_is_shown(tmp_path):
    pairs = (5, 10), (5, 15), (10, 20)
    found = lengths(tmp_path, *pairs, where=["data.max_length=10", "data.max_length=20"])
    assert (found.index, found.notes[:1]) == (
        ("score", "data.min_length"), ("data.max_length varies with data.min_length",)
    )  # fmt: skip
    assert lengths(tmp_path, *pairs, where=["data.max_length=20"]).notes == ()


def test_model_score_scope_and_task_are_never_left_out(tmp_path):
    """Here each of them goes with the others; model.width goes with the score too, and is an axis of the grid."""
    tied = {("rnn", "dot", "global", "copy"), ("lstmn", "cosine", "self", "sort")}
    axes = {
        "model": ["rnn", "lstmn"],
        "score": ["dot", "cosine"],
        "scope": ["global", "self"],
        "task": ["copy", "sort"],
    }
    found = summarised(tmp_path, plan(**axes), lambda c: tuple(c[axis] for axis in axes) in tied)
    assert (found.index, found.columns, found.notes) == (("model", "score", "scope"), "task", ())
    turned = summarised(
        tmp_path, plan(**axes), lambda c: tuple(c[a] for a in axes) in tied, rows="scope", columns="seed"
    )
    assert (turned.index, turned.notes) == (("scope", "model", "score", "task"), ())
    widths = plan(model=["rnn", "lstmn"], score=["dot", "cosine"], model__width=[32, 64])
    found = summarised(tmp_path, widths, lambda c: c["model.width"] == {"dot": 32, "cosine": 64}[c["score"]])
    assert (found.index, found.notes) == (("model", "score"), ("model.width varies with score",))


def test_the_kind_of_a_model_is_shown_once(tmp_path):
    """A grid that varies model.kind has it as an axis, beside the column model."""
    grid = plan(model=["rnn", "pointer"], model__kind=["rnn", "pointer"], score=["dot", "cosine"])
    options = {"grid": grid, "holds": lambda c: c["model"] == c["model.kind"]}
    for rows, others in (
        (None, ("model", "score")),
        ("score", ("score", "model")),
        ("model.kind", ("model.kind", "score")),
    ):
        found = summarised(tmp_path, **options, rows=rows)
        assert (found.index, len(found.rows), found.notes) == (others, 4, ())
    assert summarised(tmp_path, **options, rows="score", columns="model.kind").index == ("score",)
