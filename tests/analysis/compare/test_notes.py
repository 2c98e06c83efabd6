"""The note of `compare` on the values whose number of parameters differs from the reference's."""

import pytest
from made_up_run import failed, outcome, plan, write_run

from attnbench.analysis.compare.contrast import contrast
from attnbench.analysis.compare.pairing import side_by_side


def frame_of(folder, size, name="made-up", **axes):
    grid = plan(name, **{"score": ["dot", "general", "additive"], "seed": [0, 1]} | axes)
    return write_run(folder, grid, [outcome(c, exact_match=0.5, parameters=size(c.labels)) for c in grid.cells]).frame()


@pytest.mark.parametrize(("general", "additive", "expected"), [
    (110, 100, []),
    (111, 100, ["general has 1.11 times the parameters of dot: 111 and 100."]),
    (50, 105, ["general has 0.500 times the parameters of dot: 50 and 100."]),
    (120, 150, ["Times the parameters of dot (100): general 1.20 (120), additive 1.50 (150)."]),
])  # fmt: skip
def test_values_that_differ_by_more_than_10_percent(tmp_path, general, additive, expected):
    sizes = {"dot": 100, "general": general, "additive": additive}
    frame = frame_of(tmp_path, lambda labels: sizes[labels["score"]])
    assert list(contrast(frame, "score", against="dot").notes) == expected


def test_a_value_has_the_numbers_of_the_setting_in_which_it_differs_most(tmp_path):
    """General differs most on copy, additive on sort."""
    sizes = {
        ("dot", "copy"): 100, ("general", "copy"): 200, ("additive", "copy"): 100,
        ("dot", "sort"): 200, ("general", "sort"): 210, ("additive", "sort"): 300,
    }  # fmt: skip
    frame = frame_of(tmp_path, lambda labels: sizes[labels["score"], labels["task"]], task=["copy", "sort"])
    assert contrast(frame, "score", against="dot").notes == (
        "Times the parameters of dot: general 2.00 (200 and 100 on copy), additive 1.50 (300 and 200 on sort).",
    )
    assert contrast(frame[frame["score"] != "additive"], "score", against="dot").notes == (
        "general has 2.00 times the parameters of dot: 200 and 100 on copy.",
    )


def test_of_many_values_some_are_named(tmp_path):
    widths = [8 * n for n in range(1, 10)]
    frame = frame_of(tmp_path, lambda labels: labels["model.width"], score=["dot"], model__width=widths)
    (note,) = contrast(frame, "model.width", against="8").notes
    assert note.startswith("Times the parameters of width 8 (8): width 16 2.00 (16), width 24 3.00 (24), ")
    assert note.endswith("width 56 7.00 (56) and 2 more.")


def test_failed_cells_have_no_parameters(tmp_path):
    """In a comparison they count as the worst result, which no number of parameters is."""
    grid = plan(score=["dot", "general"], seed=[0, 1])
    results = [outcome(c, exact_match=0.5) for c in grid.cells[:3]]
    frame = write_run(tmp_path, grid, [*results, failed(grid.cells[3])]).frame()
    assert contrast(frame, "score", against="dot").notes == ("1 failed cell: counts as 0",)


def test_two_runs(tmp_path):
    frames = [(name, frame_of(tmp_path, lambda _, n=size: n, name=name)) for name, size in (("a", 100), ("wide", 230))]
    assert contrast(side_by_side(frames), "run", "a").notes == (
        "run wide has 2.30 times the parameters of run a: 230 and 100.",
    )
