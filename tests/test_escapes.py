"""Text of any origin, shown where its characters could do something."""

import csv
import io

import made_up_run
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnbench.analysis.compare import formats as compare_formats
from attnbench.analysis.compare.contrast import contrast
from attnbench.analysis.csv_text import csv_text
from attnbench.analysis.gate.baseline import rows_of
from attnbench.analysis.gate.baseline_file import read, write
from attnbench.analysis.table import formats as table_formats
from attnbench.errors import AttnbenchError, Problem
from attnbench.escapes import from_spreadsheet, harmless, markdown, one_line, spreadsheet
from attnbench.grid.document import Document
from attnbench.store.lock import HOLDER, _holder
from attnbench.store.store import Store

ACTED_ON = ["\x1b", "\x07", "\x9b", "\r", "\u202e", "\u2066", "\u200f", "\u2028", "\ud800", "\x7f"]


@pytest.mark.parametrize("character", ACTED_ON)
def test_what_a_terminal_acts_on_is_replaced(character):
    assert character not in harmless(f"a{character}b")
    assert len(one_line(f"a{character}b")) == 3


@pytest.mark.parametrize("text", ["deux\nlignes", "a\tb", "é", "你好", "שלום", "नमस्ते", "ب\u200cب", "👩\u200d🚀"])
def test_words_of_all_languages_are_kept(text):
    assert harmless(text) == text


def test_a_problem_cannot_begin_a_line_of_its_own():
    problem = Problem("x\nokay: all is well", "grid.yaml\n:1", "do\nthis", "score: \x1b[2Jdot\n       ^")
    assert str(problem).splitlines() == [
        "grid.yaml :1: x",
        "    okay: all is well",
        "    score: \ufffd[2Jdot",
        "           ^",
        "  → do",
        "    this",
    ]


def test_the_line_of_a_grid_is_harmless_and_its_caret_stays_in_place():
    place = Document("g.yaml", "a:\t\x1b[8m\u202edot\n").at(0, 9)
    assert place.source == "a: \ufffd[8m\ufffddot\n         ^"


def test_the_holder_of_a_lock_is_shown_on_one_line(tmp_path):
    (tmp_path / HOLDER).write_text('{"process": 1, "host": "h\\u001b[1m\\nfinished", "since": "\\u202eyesterday"}')
    assert _holder(tmp_path) == ": process 1 on h\ufffd[1m finished, since \ufffdyesterday"


def test_the_lines_of_a_baseline_are_harmless(tmp_path):
    """A problem quotes the names of columns and what is written in them."""
    file = tmp_path / "base\x1b[2J.csv"
    file.write_text("# metrics\x1b[1m\u202e\nscore,od\x1b[8md,\u202emetric\na\x1b]0;title\x07,b\n", encoding="utf-8")
    with pytest.raises(AttnbenchError) as raised:
        read(file)
    for text in map(str, raised.value.problems):
        assert set(ACTED_ON).isdisjoint(text)
    problem = Problem("what\x1b[2J", "where\u202e", "hint\x9b1m", "")
    assert str(problem) == "where\ufffd: what\ufffd[2J\n  → hint\ufffd1m"


def test_markdown_shows_a_text_literally():
    assert markdown("<b onclick=x>&amp;|`*a*`\nb") == r"&lt;b onclick=x&gt;&amp;amp;\|\`\*a\*\` b"
    assert markdown("![a](http://x) [-0.2, 0.1] [b]: c") == r"![a\](http://x) [-0.2, 0.1] [b\]: c"
    assert markdown("_x_ scaled_dot 2_000") == r"\_x\_ scaled_dot 2_000"


@pytest.fixture
def hostile(tmp_path) -> Store:
    """A run with a label that is HTML, and one that is a formula."""
    plan = made_up_run.plan("run", score=["<img src=x onerror=alert(1)>", "=1+1", "-0.5"], seed=[0, 1, 2])
    outcomes = [made_up_run.outcome(cell, exact_match=cell.cell.seed / 4) for cell in plan.cells]
    return made_up_run.write_run(tmp_path, plan, outcomes)


def test_no_html_in_the_markdown_of_a_table_or_a_comparison(hostile):
    table = table_formats.to_markdown(table_formats.comparison(hostile.frame(), name="<u>run</u>"))
    compared = compare_formats.to_markdown(
        contrast(hostile.frame(), "score", None, "exact_match", "<u>run</u>", ["<i>"])
    )
    for text in (table, compared):
        assert "&lt;img" in text
        assert "<" not in text


@pytest.mark.parametrize("label", ["=1+1", "+x", "-x", "@x", "=cmd|' /C calc'!A0", "'=x"])
def test_a_formula_is_quoted_in_csv(label):
    (row,) = csv.DictReader(io.StringIO(csv_text([{"score": label, "number": -0.5}])))
    assert row == {"score": f"'{label}", "number": "-0.5"}


def test_every_csv_quotes_formulas(hostile):
    table = table_formats.to_csv(table_formats.comparison(hostile.frame()))
    compared = compare_formats.to_csv(contrast(hostile.frame(), "score", None, "exact_match"))
    hostile.write_table()
    for text in (table, compared, (hostile.folder / "table.csv").read_text()):
        cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
        assert "'=1+1" in cells
        assert "=1+1" not in cells
        assert "-0.5" in cells


def test_a_label_that_is_quoted_in_a_baseline_is_the_same_when_it_is_read(hostile, tmp_path):
    rows = rows_of(hostile)
    write(rows, tmp_path / "base.csv")
    assert "'=1+1" in (tmp_path / "base.csv").read_text()
    assert {row.labels["score"] for row in read(tmp_path / "base.csv")} == {row.labels["score"] for row in rows}


@given(st.text(alphabet="'=+-@a1", max_size=5))
def test_a_quoted_text_is_read_back(text):
    assert from_spreadsheet(spreadsheet(text)) == text


@pytest.mark.parametrize("value", [None, 1, -0.5, True, "-0.5", "+1e-3", "–", "dot", "a=b"])
def test_other_values_are_not_quoted(value):
    assert spreadsheet(value) == value
