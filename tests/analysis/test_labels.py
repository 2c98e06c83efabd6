"""Which cells a condition such as "scope=global" selects, and what is suggested where it selects none."""

import pytest
from made_up_run import failed, outcome, plan, write_run

from attnbench.analysis.compare.contrast import contrast
from attnbench.analysis.gate.baseline import rows_of
from attnbench.analysis.labels import filtered, labels_written, listed, row_label, varying
from attnbench.analysis.table.comparison import comparison
from attnbench.errors import AttnbenchError

LABELS = ["–", "dot", "cosine strength=1.0", 1, 2.5, 1e-3, True, None]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("dot", ["dot"]),
        ("–", ["–", None]),
        ("none", ["–", None]),
        ("null", ["–", None]),
        ("1", [1]),
        ("1.0", [1]),
        ("2.50", [2.5]),
        ("1e-3", [1e-3]),
        ("0.001", [1e-3]),
        ("true", [True]),
        ("1.00001", []),
        ("nan", []),
        ("cosine", []),
    ],
)
def test_a_value_means_the_labels_that_equal_it(written, meant):
    # By type as well: True == 1 in Python.
    assert [(type(label), label) for label in labels_written(written, LABELS)] == [(type(m), m) for m in meant]


def test_a_row_is_named_by_its_labels_with_the_axes_that_do_not_explain_themselves():
    assert row_label(["task", "model.width", "score", "train.clip"], ["copy", 16, "–", None]) == "copy · width 16"
    assert row_label(["task", "model.width"], ["copy", 16], between=", ") == "copy, width 16"
    assert row_label(["score"], ["–"]) == "–"


def test_a_list_of_labels_ends_with_and():
    assert [listed(["a"]), listed(["a", 1]), listed(["a", None, True])] == ["a", "a and 1", "a, – and true"]


def test_combinations_are_distinguished_by_the_axes_that_vary():
    rows = [{"score": "dot", "task": task, "seed": seed, "model.width": 16} for task in ("a", "b") for seed in (0, 1)]
    assert varying(rows) == ["task"]
    assert varying(rows, apart=["task"]) == ["score"]


def test_a_label_that_is_written_so_comes_first():
    assert labels_written("none", ["none", None]) == ["none"]


@pytest.fixture
def frame(tmp_path):
    grid = plan(score=["dot", "cosine", "–"], model__width=[1.0, 2], seed=[0, 1])
    return write_run(tmp_path, grid, [outcome(cell, exact_match=0.5, exact_match_at_9=0.25) for cell in grid.cells])


@pytest.mark.parametrize(("condition", "rows"), [("score=none", 4), ("model.width=1", 6), ("model.width=2.0", 6)])
def test_conditions_select_by_what_is_meant(frame, condition, rows):
    assert len(filtered(frame.frame(), [condition], "made-up")) == rows


def test_the_hint_names_what_can_be_typed(frame):
    with pytest.raises(AttnbenchError, match="known names: cosine, dot, none") as raised:
        filtered(frame.frame(), ["score=xyz"], "made-up")
    assert "–" not in raised.value.problems[0].hint


@pytest.mark.parametrize("of", ["table", "compare", "baseline"])
def test_a_length_that_was_not_tested_gets_the_lengths_that_were(frame, of):
    asked = {
        "table": lambda: comparison(frame.frame(), metric="exact_match@5"),
        "compare": lambda: contrast(frame.frame(), "score", metric="exact_match@5"),
        "baseline": lambda: rows_of(frame, ["exact_match@5"]),
    }
    with pytest.raises(AttnbenchError) as raised:
        asked[of]()
    # Both lengths of the configuration are columns; only 9 was measured.
    assert raised.value.problems[0].hint in ("tested lengths: 9, 20", "tested lengths: 9")


def test_a_metric_that_was_not_measured_by_length_says_so(frame):
    with pytest.raises(AttnbenchError, match=r"aer was not measured by length: set data\.test_lengths"):
        comparison(frame.frame(), metric="aer@5")


def test_a_run_of_failed_cells_says_that_they_failed_and_how_to_repeat_them(tmp_path):
    grid = plan(score=["dot", "general"], seed=[0, 1])
    store = write_run(tmp_path, grid, [failed(cell, "no score today") for cell in grid.cells])
    for asked in (lambda: contrast(store.frame(), "score"), lambda: rows_of(store)):
        with pytest.raises(AttnbenchError, match="no score today") as raised:
            asked()
        assert all("--retry-failed" in problem.hint for problem in raised.value.problems)


def test_an_axis_with_one_value_names_those_that_have_several(frame):
    with pytest.raises(AttnbenchError) as raised:
        contrast(frame.frame(), "task")
    assert raised.value.problems[0].hint == "choose another axis: score, model.width"
