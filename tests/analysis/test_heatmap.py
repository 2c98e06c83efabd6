import numpy as np
import pytest

from attnbench.analysis.heatmap import heat_map, legend

WEIGHTS = np.array([[0.95, 0.05, 0.0], [0.3, 0.1, 0.6]])


def test_digits_are_tenths_and_brackets_mark_gold_links():
    links = np.array([[1, 0, 0], [0, 0, 1]])
    lines = heat_map(WEIGHTS, ["a", "b", "c"], ["x", "yy"], links, colour=False).plain.splitlines()
    assert lines == ["    a  b  c ", "x  [9] ·    ", "yy  3  1 [6]"]


@pytest.mark.parametrize(
    ("weight", "digit"),
    [(0.0, " "), (1e-9, "·"), (0.0999, "·"), (0.1, "1"), (0.3, "3"), (np.float32(0.7), "7"), (1.0, "9")],
)
def test_the_scale_is_fixed(weight, digit):
    assert heat_map(np.array([[weight]]), ["a"], ["x"], None, colour=False).plain.splitlines()[1] == f"x  {digit} "


def test_colours_run_from_black_to_white_and_gold_is_marked():
    drawing = heat_map(np.array([[0.0, 0.5, 1.0]]), ["a", "b", "c"], ["x"], np.array([[0, 1, 0]]), colour=True)
    backgrounds = [span.style.bgcolor.triplet.red for span in drawing.spans if getattr(span.style, "bgcolor", None)]
    assert backgrounds == [0, 128, 255]
    assert drawing.plain.splitlines()[1] == "x     ◆    "


def test_in_colour_a_dot_tells_a_small_weight_from_0_and_a_gold_link_says_which_it_is():
    weights = np.array([[0.0, 1e-9, 0.19, 0.21], [0.0, 1e-9, 1.0, 0.0]])
    links = np.array([[0, 0, 0, 0], [1, 1, 1, 0]])
    lines = heat_map(weights, list("abcd"), ["x", "y"], links, colour=True).plain.splitlines()
    assert lines[1:] == ["x     ·  ·    ", "y  ◇  ◆  ◆    "]


@pytest.mark.parametrize("colour", [False, True])
def test_the_legends_fit_80_columns_and_explain_0(colour):
    written = legend(colour, links=True)
    assert written.cell_len <= 80
    assert "0" in written.plain
    assert written.plain.count("·") >= 2


@pytest.mark.parametrize("colour", [False, True])
def test_a_legend_explains_gold_links_only_where_there_are_some(colour):
    assert "gold" in legend(colour, links=True).plain
    assert legend(colour, links=True).plain.startswith(legend(colour, links=False).plain)
    assert "gold" not in legend(colour, links=False).plain


def test_long_source_words_are_written_vertically_above_their_column():
    lines = heat_map(WEIGHTS, ["the", "cat", "x"], ["x", "y"], None, colour=False).plain.splitlines()
    assert [line.rstrip() for line in lines[:3]] == ["   t  c", "   h  a", "   e  t  x"]


def test_a_long_source_is_drawn_in_parts_that_fit():
    source = [str(n % 10) for n in range(60)]
    weights = np.eye(60)[50:51] * 0.94 + 0.001
    text = heat_map(weights, source, ["x"], None, colour=False, width=80).plain
    assert max(map(len, text.splitlines())) <= 80
    parts = text.split("\n\n")
    assert [part.splitlines()[1].count("·") for part in parts] == [26, 25, 8]
    assert "9" in parts[1].splitlines()[1]


def test_twenty_words_and_the_end_fit_80_columns_in_one_part():
    text = heat_map(np.zeros((1, 21)), ["word"] * 21, ["a-very-long-french-word"], None, colour=False).plain
    assert max(map(len, text.splitlines())) <= 80
    assert "\n\n" not in text
    assert "a-very-long… " in text


def test_wide_letters_keep_the_columns():
    lines = heat_map(np.eye(2), ["猫", "b"], ["猫", "x"], None, colour=False).plain.splitlines()
    assert lines == ["    猫 b ", "猫  9    ", "x      9 "]
