"""The note on the sides of a comparison with the most and the fewest parameters."""

import pytest

from attnbench.analysis.parameters import most_and_fewest, on

SEPARATE = ("task", "length")


def note(axes, sizes):
    (line,) = most_and_fewest(axes, sizes, SEPARATE)
    return line


@pytest.mark.parametrize(("larger", "noted"), [(110, False), (111, True)])
def test_only_more_than_10_percent_is_noted(larger, noted):
    found = most_and_fewest(["score"], {("dot",): 100, ("general",): larger}, SEPARATE)
    assert found == (["general has 1.11 times the parameters of dot: 111 and 100."] if noted else [])


@pytest.mark.parametrize(("most", "times"), [(24_570, "1.35"), (728_000, "40.0"), (18_200_000, "1,000")])
def test_the_most_and_the_fewest_of_several(most, times):
    sizes = {("cosine",): 19_000, ("dot",): 18_200, ("additive",): most, ("scaled_dot",): 18_200}
    assert note(["score"], sizes) == (
        f"additive has {times} times the parameters of dot: {most:,} and 18,200, the most and the fewest."
    )


def test_one_side_alone_and_tasks_are_not_compared():
    assert most_and_fewest(["score", "task"], {}, SEPARATE) == []
    assert most_and_fewest(["score", "task"], {("dot", "copy"): 100, ("dot", "translate"): 200}, SEPARATE) == []
    assert most_and_fewest(["score", "seed"], {("dot", 0): 100, ("dot", 1): 100}, SEPARATE) == []


def test_the_task_is_named_where_the_numbers_depend_on_it():
    sizes = {("dot", "copy"): 100, ("general", "copy"): 120, ("dot", "sort"): 100, ("general", "sort"): 120}
    assert note(["score", "task"], sizes) == "general has 1.20 times the parameters of dot: 120 and 100."
    sizes |= {("dot", "translate"): 200, ("general", "translate"): 220}
    assert note(["score", "task"], sizes) == "general has 1.20 times the parameters of dot: 120 and 100 on copy."


def test_sides_are_named_by_the_labels_in_which_they_differ():
    """Here the scores differ at width 32 alone; lengths change no number and are not named."""
    axes, widths = ["score", "model.width", "task", "length"], {16: 10, 32: 11}
    sizes = {
        (score, width, "copy", length): base + more * (width == 32)
        for width, base in widths.items() for score, more in (("dot", 0), ("general", 5)) for length in (10, 20)
    }  # fmt: skip
    assert note(axes, sizes).startswith("general · width 32 has 1.60 times the parameters of dot · width 16: 16 and 10")
    wide = {labels: size for labels, size in sizes.items() if labels[1] == 32 or labels[0] == "general"}
    assert note(axes, wide).startswith("width 32 has 1.60 times the parameters of width 16: 16 and 10 on general")


def test_a_side_without_a_score_or_a_scope_is_named_with_its_axis():
    sizes = {("dot", "global"): 200.0, ("–", "none"): 100.0}
    assert note(["score", "scope"], sizes) == "dot · global has 2.00 times the parameters of scope none: 200 and 100."
    assert "of score –:" in note(["score"], {("dot",): 200, ("–",): 100})


def test_an_axis_without_a_value_on_both_sides_is_not_named_as_the_place():
    """As model.fusion of experiments/ci.yaml, which only the lstmn has."""
    axes = ["model", "score", "model.fusion"]
    sizes = {
        ("rnn", "dot", None): 100, ("transformer", "dot", None): 280,
        ("lstmn", "dot", "deep"): 150, ("lstmn", "dot", "none"): 140,
    }  # fmt: skip
    expected = "transformer has 2.80 times the parameters of rnn: 280 and 100, the most and the fewest."
    assert note(axes, sizes) == expected
    assert on(axes, ("lstmn", "dot", "deep"), [2], sizes) == " on fusion deep"
