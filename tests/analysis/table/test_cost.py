"""The columns of costs: one number where the columns of a row agree, a range where they do not, a dash if unknown."""

import csv
import io
import json
import re

import pytest
from made_up_run import failed, outcome, plan, write_run
from rich.console import Console

from attnbench.analysis.table import formats
from attnbench.analysis.table.cost import cost_heads, cost_parts
from attnbench.analysis.table.formats import comparison

SIZES = {"dot": 99_959, "additive": 118_487}
FLOPS = {"dot": 26_100_000, "additive": 1_230_456_789}


def metrics(labels):
    """Translate has a larger vocabulary; the seconds are those of the pack, the same for its seeds."""
    translate = labels["task"] == "translate"
    return {
        "exact_match": 0.5, "parameters": SIZES[labels["score"]] + 37_220 * translate,
        "flops": FLOPS[labels["score"]], "seconds": 2.04 + translate,
    }  # fmt: skip


@pytest.fixture
def frame(tmp_path):
    grid = plan(score=["dot", "additive"], task=["copy", "sort", "translate"], seed=[0, 1])
    return write_run(tmp_path, grid, [outcome(c, **metrics(c.labels)) for c in grid.cells]).frame()


def test_a_row_has_one_number_where_its_columns_agree_and_else_their_range(frame):
    found = comparison(frame, cost=True)
    assert cost_heads(found) == ["parameters", "MFLOP", "seconds"]
    assert cost_parts(found, ("dot",)) == ["99,959–137,179", "26.1", "2.0–3.0"]
    assert cost_parts(found, ("additive",)) == ["118,487–155,707", "1,230.5", "2.0–3.0"]
    below = formats.caption(found)
    assert any(line.startswith("parameters: trained") and "MFLOP: million floating-point" in line for line in below)
    assert "a–b: from the lowest to the highest of the columns (task)." in below
    alike = comparison(frame, where=["task=copy", "task=sort"], cost=True)
    assert cost_parts(alike, ("dot",)) == ["99,959", "26.1", "2.0"]
    assert not any(line.startswith("a–b") for line in formats.caption(alike))


def test_costs_are_shown_only_on_request(frame):
    for text in (formats.to_markdown(comparison(frame)), formats.to_csv(comparison(frame))):
        assert not re.search("FLOP|flops|seconds", text)


@pytest.mark.parametrize(("flops", "unit", "shown"), [
    (999, "FLOP", "999"), (1_000, "kFLOP", "1.0"), (2_345_678_901, "GFLOP", "2.3"), (4e12, "TFLOP", "4.0"),
    (5e15, "PFLOP", "5.0"),
])  # fmt: skip
def test_the_unit_is_that_of_the_smallest_number(tmp_path, flops, unit, shown):
    grid = plan(score=["dot", "additive"])
    outcomes = [outcome(c, flops=int(flops) * factor) for c, factor in zip(grid.cells, (1, 1_000), strict=True)]
    found = comparison(write_run(tmp_path, grid, outcomes).frame(), cost=True)
    assert cost_heads(found)[1] == unit
    assert cost_parts(found, ("dot",))[1] == shown


def test_runs_of_earlier_versions_have_no_operations(tmp_path):
    grid = plan(score=["dot", "additive"])
    found = comparison(write_run(tmp_path, grid, [outcome(c, exact_match=0.5) for c in grid.cells]).frame(), cost=True)
    assert cost_parts(found, ("dot",)) == ["12,345", "–", "–"]
    text = formats.to_markdown(found)
    assert "| dot | 0.500 | 12,345 | – | – |" in text
    assert "FLOP: only of cells that were trained by this version" in text
    assert [record["flops"] for record in json.loads(formats.to_json(found))] == [None, None]


def test_failed_seeds_have_no_costs(tmp_path):
    grid = plan(score=["dot", "additive"], seed=[0, 1])
    outcomes = [outcome(grid.cells[0], seconds=4.0), *map(failed, grid.cells[1:])]
    found = comparison(write_run(tmp_path, grid, outcomes).frame(), cost=True)
    assert cost_parts(found, ("dot",)) == ["12,345", "–", "4.0"]
    assert cost_parts(found, ("additive",)) == ["–", "–", "–"]


def test_seconds_are_a_mean_over_packs_as_in_the_table_of_seconds(tmp_path):
    """A pack of three seeds and one of one: two measurements."""
    grid = plan(seed=[0, 1, 2, 3])
    outcomes = [outcome(c, seconds=seconds) for c, seconds in zip(grid.cells, (2.0, 2.0, 2.0, 4.0), strict=True)]
    frame = write_run(tmp_path, grid, outcomes).frame().assign(pack=["first", "first", "first", "second"])
    (record,) = formats.records(comparison(frame, cost=True))
    (measured,) = formats.records(comparison(frame, metric="seconds"))
    assert record["seconds"] == measured["mean"] == 3.0


def test_csv_and_json_have_full_numbers_of_each_cell(frame):
    found = comparison(frame, cost=True)
    records = json.loads(formats.to_json(found))
    assert list(records[0])[-3:] == ["parameters", "flops", "seconds"]
    by_cell = {(r["score"], r["task"]): (r["parameters"], r["flops"], r["seconds"]) for r in records}
    assert by_cell["additive", "copy"] == (118_487, 1_230_456_789, 2.04)
    assert by_cell["dot", "translate"] == (137_179, 26_100_000, 3.04)
    rows = list(csv.DictReader(io.StringIO(formats.to_csv(found))))
    assert (rows[0]["parameters"], rows[0]["flops"], rows[0]["seconds"]) == ("99959", "26100000", "2.04")


def test_every_line_of_a_printed_table_has_all_columns(frame):
    found = comparison(frame, cost=True)
    lines = [line for line in formats.to_markdown(found).splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {8}
    tex = formats.to_latex(found)
    assert r"\begin{tabular}{lrrrrrr}" in tex
    assert r"99,959--137,179 & 26.1 & 2.0--3.0 \\" in tex
    page = formats.to_html(found)
    assert page.count('<th scope="col">') == 7
    assert '<td colspan="7">' in page
    assert "<td>0.500 .50–.50</td><td>99,959–137,179</td><td>26.1</td><td>2.0–3.0</td></tr>" in page


def rich(found, width):
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None)
    formats.print_table(found, console)
    return console.file.getvalue().splitlines()


def test_on_a_wide_terminal_costs_are_in_the_same_line(frame):
    lines = rich(comparison(frame, cost=True), 120)
    assert any(re.search(r"dot +0.500.* 99,959–137,179 +26.1 +2.0–3.0", line) for line in lines)


@pytest.mark.parametrize("width", [80, 50])
def test_on_a_narrow_terminal_costs_are_together_and_no_number_is_broken(frame, width):
    lines = rich(comparison(frame, cost=True), width)
    assert max(map(len, lines)) <= width
    assert any(re.search("parameters +MFLOP +seconds", line) for line in lines)
    numbers = " ".join(lines)
    assert all(number in numbers for number in ("99,959–", "137,179", "1,230.5", "2.0–"))


def test_by_length_the_costs_of_a_row_are_one_number(tmp_path):
    grid = plan(score=["dot", "additive"])
    cells = [outcome(c, **metrics(c.labels), exact_match_at_9=0.5, exact_match_at_20=0.1) for c in grid.cells]
    found = comparison(write_run(tmp_path, grid, cells).frame(), columns="length", cost=True)
    assert cost_parts(found, ("dot",)) == ["99,959", "26.1", "2.0"]


def test_the_note_on_parameters_is_below_every_table(frame):
    note = "additive has 1.19 times the parameters of dot: 118,487 and 99,959 on copy."
    assert note in formats.caption(comparison(frame))
    assert note in formats.caption(comparison(frame, rows="task", columns="score"))
    assert note not in formats.caption(comparison(frame, where=["score=dot"]))


def test_the_note_is_about_the_sides_with_a_value(tmp_path):
    """An alignment error is of no model without attention: it is not compared with the others."""
    grid = plan(score=["dot", "general", "–"])
    cells = zip(grid.cells, (0.5, 0.5, None), (100, 105, 50), strict=True)
    outcomes = [outcome(c, exact_match=0.5, aer=aer, parameters=size) for c, aer, size in cells]
    frame = write_run(tmp_path, grid, outcomes).frame()
    assert comparison(frame).notes == (
        "general has 2.10 times the parameters of score –: 105 and 50, the most and the fewest.",
    )
    assert comparison(frame, metric="aer").notes == ()
