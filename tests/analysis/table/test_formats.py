import csv
import io
import json
import math
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from made_up_run import failed, outcome, plan, write_run
from rich.console import Console

from attnbench.analysis.table import formats, texts
from attnbench.analysis.table.formats import comparison
from attnbench.errors import AttnbenchError

ACCURACY = {("dot", "copy"): 0.9, ("dot", "sort"): 0.2, ("general", "copy"): 0.9002, ("general", "sort"): 0.6}


@pytest.fixture
def frame(tmp_path):
    """Two scores × two tasks × three seeds: the seeds lie .05 around the accuracies."""
    grid = plan(score=["general", "dot"], task=["sort", "copy"], seed=[0, 1, 2])
    return write_run(tmp_path, grid, [outcome(c, **_metrics(c.labels)) for c in grid.cells]).frame()


def _metrics(labels):
    accuracy = ACCURACY[labels["score"], labels["task"]] + 0.05 * (labels["seed"] - 1)
    return {"exact_match": accuracy, "loss": 1 - accuracy, "exact_match_at_20": accuracy / 2}


def best(compared):
    return {(row[0], head) for (row, head), cell in compared.cells.items() if cell.best}


def test_a_cell_is_the_mean_over_its_seeds(frame):
    cell = comparison(frame).cells[("dot",), "sort"]
    assert (cell.mean, cell.low, cell.high) == pytest.approx((0.2, 0.15, 0.25))
    assert (cell.n, cell.of, cell.failed) == (3, 3, 0)


def test_rows_and_columns_stand_in_the_plans_order(frame):
    compared = comparison(frame)
    assert (compared.rows, compared.heads) == ([("general",), ("dot",)], ["sort", "copy"])
    turned = comparison(frame, rows="task", columns="score")
    assert (turned.rows, turned.heads) == ([("sort",), ("copy",)], ["general", "dot"])


def test_the_best_of_a_column_are_all_that_look_the_same_unless_all_do(frame, tmp_path):
    assert best(comparison(frame)) == {("general", "sort")}
    grid = plan(score=["dot", "general", "cosine"])
    results = [outcome(c, exact_match=x) for c, x in zip(grid.cells, (0.9, 0.9002, 0.8), strict=True)]
    compared = comparison(write_run(tmp_path / "more", grid, results).frame())
    assert best(compared) == {("general", "copy"), ("dot", "copy")}
    assert [cell.verdict for cell in compared.cells.values()] == ["best", "best", "inconclusive"]


def test_a_loss_is_best_when_low_and_parameters_are_never(frame):
    assert best(comparison(frame, metric="loss", where=["task=sort"])) == {("general", "sort")}
    assert best(comparison(frame, metric="parameters")) == set()


def test_a_metric_at_a_length(frame):
    compared = comparison(frame, metric="exact_match@20")
    assert compared.cells[("general",), "sort"].mean == pytest.approx(0.3)
    assert best(compared) == {("general", "sort")}


def test_conditions_narrow_by_column_and_widen_by_value(frame):
    assert comparison(frame, where=["score=dot", "task=copy"]).cells.keys() == {(("dot",), "copy")}
    assert len(comparison(frame, where=["score=dot", "score=general"]).rows) == 2
    assert comparison(frame, where=["seed=1", "seed=2"]).cells[("dot",), "sort"].mean == pytest.approx(0.225)


def test_seeds_can_be_rows(frame):
    compared = comparison(frame, rows="seed", where=["score=dot"])
    assert compared.rows == [(0,), (1,), (2,)]
    assert compared.cells[(2,), "copy"].mean == pytest.approx(0.95)


def test_what_else_varies_is_not_averaged_over(tmp_path):
    grid = plan(
        model__width=[32, 64], scope=["global", "local-p window=3"], train__clip=[1, None], score=["dot", "cosine"]
    )
    frame = write_run(tmp_path, grid, [outcome(c, exact_match=i / 100) for i, c in enumerate(grid.cells)]).frame()
    compared = comparison(frame)
    assert compared.index == ("score", "scope", "model.width", "train.clip")
    assert len(compared.cells) == len(grid.cells)
    assert compared.rows[:3] == [("dot", "global", 32, 1), ("dot", "global", 32, None), ("dot", "global", 64, 1)]
    assert comparison(frame, where=["scope=global", "model.width=64", "train.clip=–"]).index == ("score",)


def test_failed_seeds_are_counted_and_do_not_win(tmp_path):
    grid = plan(score=["dot", "general", "cosine"], seed=[0, 1, 2])
    results = [outcome(c, exact_match=0.5) for c in grid.cells]
    results[0] = outcome(grid.cells[0], exact_match=0.9)
    results[2] = failed(grid.cells[2])
    results[6:] = [failed(c) for c in grid.cells[6:]]
    compared = comparison(write_run(tmp_path, grid, results).frame())
    dot, cosine = compared.cells[("dot",), "copy"], compared.cells[("cosine",), "copy"]
    assert (dot.mean, dot.n, dot.of, dot.failed) == (pytest.approx(0.7), 2, 3, 1)
    assert (cosine.mean, cosine.n, cosine.failed) == (None, 0, 3)
    assert not dot.best
    text = formats.to_markdown(compared)
    assert "| dot | 0.700 n=2/3 2/3 learned |" in text
    assert "| cosine | failed 3/3 |" in text
    assert "only a of b seeds" in text


def test_what_a_failed_seed_measured_before_does_not_count(tmp_path):
    grid = plan(seed=[0, 1])
    results = [
        outcome(grid.cells[0], exact_match=0.5),
        replace(outcome(grid.cells[1], exact_match=0.9), status="failed"),
    ]
    cell = comparison(write_run(tmp_path, grid, results).frame()).cells[("dot",), "copy"]
    assert (cell.mean, cell.n, cell.of, cell.failed) == (0.5, 1, 2, 1)


def test_rows_of_one_label_stand_together(tmp_path):
    grid = plan(score=["dot", "cosine"], model__width=[64, 32])
    frame = write_run(tmp_path, grid, map(outcome_of_half, grid.cells)).frame().iloc[[0, 2, 1, 3]]
    assert comparison(frame).rows == [("dot", 64), ("dot", 32), ("cosine", 64), ("cosine", 32)]


def test_a_different_number_of_seeds_is_shown_in_its_cell(tmp_path):
    grid = plan(score=["dot", "general", "cosine"], seed=[0, 1])
    text = formats.to_markdown(comparison(write_run(tmp_path, grid, map(outcome_of_half, grid.cells[:-1])).frame()))
    assert "Mean over n = 2 seeds" in text
    assert "| cosine | 0.500 n=1 |" in text
    assert "n=a: over a seeds." in text


def outcome_of_half(cell):
    return outcome(cell, exact_match=0.5)


def test_a_combination_that_is_not_there_is_a_dash(tmp_path):
    grid = plan(score=["dot", "general"], task=["copy", "sort"])
    text = formats.to_markdown(comparison(write_run(tmp_path, grid, map(outcome_of_half, grid.cells[:3])).frame()))
    assert "| general | 0.500 | – |" in text
    assert "–: no result." in text
    assert "interval" not in text
    assert "best" not in text


def test_all_mistakes_are_reported_at_once(frame):
    with pytest.raises(AttnbenchError) as error:
        comparison(frame, "scor", "taks", "exact_mach", ["score=dott", "scop=global", "global"])
    said = str(error.value)
    for hint in ("'score'?", "'task'?", "'exact_match'?", "'dot'?", "'scope'?", "column=value"):
        assert hint in said
    assert len(error.value.problems) == 6


def test_one_axis_cannot_be_both_rows_and_columns(frame):
    with pytest.raises(AttnbenchError, match="both 'task'"):
        comparison(frame, rows="task")


def test_no_finished_cell_and_no_selected_cell_are_reported(frame):
    with pytest.raises(AttnbenchError, match="no cell is finished"):
        comparison(frame.iloc[:0])
    with pytest.raises(AttnbenchError, match="score=dot and task=copy"):
        comparison(frame[frame["score"] != frame["task"].map({"sort": "general", "copy": "dot"})],
                   where=["score=dot", "task=copy"])  # fmt: skip


def test_csv_and_json_hold_full_precision(frame):
    compared = comparison(frame, where=["task=copy"])
    records = json.loads(formats.to_json(compared))
    names = ["score", "task", "mean", "low", "high", "n", "failed", "learned", "tie", "learned_low", "learned_high"]
    assert [list(r) for r in records] == [names] * 2
    assert [(r["learned"], r["tie"]) for r in records] == [(3, "best")] * 2
    assert records[0]["mean"] == pytest.approx(0.9002, abs=1e-12)
    rows = list(csv.DictReader(io.StringIO(formats.to_csv(compared))))
    assert [float(row["mean"]) for row in rows] == [record["mean"] for record in records]
    assert (rows[1]["score"], rows[1]["n"], rows[1]["failed"], rows[1]["tie"]) == (
        "dot",
        "3",
        "0",
        "best",
    )


def hostile(tmp_path):
    grid = plan(score=["a|b <i>_&%$#{}~^\\"], task=["copy"], seed=[0])
    return comparison(
        write_run(tmp_path, grid, map(outcome_of_half, grid.cells)).frame(), name="[bold]x & <y>", notes=["n < 3"]
    )


def test_html_escapes_names(tmp_path):
    page = ElementTree.fromstring(formats.to_html(hostile(tmp_path)).replace("<br>", "<br/>"))
    assert page.find("tbody/tr/th").text == "a|b <i>_&%$#{}~^\\"
    assert page.find("caption").text.startswith("[bold]x & <y>")
    assert page.find("tbody/tr/td").text == "0.500"


def test_html_marks_the_best(frame):
    page = ElementTree.fromstring(formats.to_html(comparison(frame)).replace("<br>", "<br/>"))
    assert [s.text for s in page.iter("strong")] == ["0.600"]
    assert page.find("tbody/tr/td/strong").tail == " .55–.65"


def test_latex_escapes_names(tmp_path, frame):
    text = formats.to_latex(hostile(tmp_path))
    escaped = r"a|b <i>\_\&\%\$\#\{\}\textasciitilde{}\textasciicircum{}\textbackslash{} & 0.500 \\"
    assert escaped in text
    assert r"general & \textbf{0.600} .55--.65 & 0.900 .85--.96 \\" in formats.to_latex(comparison(frame))


def test_markdown_escapes_the_bar(tmp_path):
    assert "| a\\|b &lt;i&gt;" in formats.to_markdown(hostile(tmp_path))


def rich(compared, width=80, **options):
    console = Console(width=width, record=True, file=io.StringIO(), **options)
    formats.print_table(compared, console)
    return console.file.getvalue()


def test_off_a_terminal_stars_stand_for_bold_and_nothing_is_cut(frame):
    text = rich(comparison(frame, name="[bold]run[/bold]", notes=["a note"]), width=20)
    assert "\x1b" not in text
    assert "[bold]run[/bold]: exact_match (higher is better) by score and task" in text
    assert "general   0.600* .55–.65   0.900  .85–.96" in text
    assert "dot       0.200  .15–.25   0.900  .85–.95" in text
    assert "*: best of its column." in text
    assert "a note" in text


def test_on_a_terminal_the_best_is_bold(frame):
    text = rich(comparison(frame), force_terminal=True, color_system="truecolor")
    lines = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert "\x1b[1;32m0.600\x1b[0m" in lines["general"]
    assert "0.200" in lines["dot"]
    assert "\x1b[1;32m0.200" not in lines["dot"]
    assert "*" not in text


def test_six_scores_by_four_tasks_fit_80_columns(tmp_path):
    grid = plan(score=["additive", "scaled_dot"], task=["copy", "reverse", "sort", "translate"], seed=[0, 1])
    frame = write_run(tmp_path, grid, [outcome(c, exact_match=0.9 + c.cell.seed / 20) for c in grid.cells]).frame()
    lines = rich(comparison(frame, name="quickstart"), force_terminal=True, color_system=None).splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("0.925" in line for line in lines) == 2
    assert sum(line.count(".90–.95") for line in lines if "0.925" in line) == 8


def test_means_of_unequal_length_stand_below_each_other(tmp_path):
    grid = plan(score=["dot", "general"])
    frame = write_run(
        tmp_path, grid, [outcome(c, seconds=s) for c, s in zip(grid.cells, (5, 1234.56), strict=True)]
    ).frame()
    text = rich(comparison(frame, metric="seconds"))
    assert "dot           5.0* " in text
    assert "general   1,234.6 " in text


@pytest.mark.parametrize(("value", "decimals", "low", "high"), [
    (0.975, 2, ".97", ".98"), (1.0, 2, "1.0", "1.0"), (0.0, 2, ".00", ".00"), (12.5, 1, "12.5", "12.5"),
    (0.57, 2, ".57", ".57"), (1234.4, 0, "1,234", "1,235"), (0.9996, 2, ".99", "1.0"),
])  # fmt: skip
def test_the_ends_of_an_interval_are_short_and_hold_what_they_round(value, decimals, low, high):
    """.57 · 100 is 56.99…: what is exact stays so."""
    assert texts._end(value, decimals, math.floor) == low
    assert texts._end(value, decimals, math.ceil) == high


@pytest.mark.parametrize("width", [120, 44])
def test_on_a_narrow_terminal_the_intervals_stand_below_and_no_number_is_broken(tmp_path, width):
    grid = plan(score=["scaled_dot"], task=["sort", "copy"], seed=[0, 1, 2], model__reverse_source=[True, False])
    cells = [outcome(c, exact_match=0.4 + 0.1 * c.labels["seed"]) for c in grid.cells]
    console = Console(
        width=width, file=io.StringIO(), force_terminal=True, color_system="standard", legacy_windows=False
    )
    formats.print_table(comparison(write_run(tmp_path, grid, cells).frame()), console)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", console.file.getvalue())
    assert shown.count("0.500") == shown.count(".40–.60") == 4
    assert ("0.500 .40–.60" in shown) == (width == 120)
    assert max(map(len, shown.splitlines())) <= width


def eleven_lengths(folder):
    """A table of two scores by eleven lengths, of which each mean differs from all others."""
    lengths = list(range(10, 21))
    grid = plan(score=["additive", "scaled_dot"], seed=[0, 1])
    outcomes = []
    for number, cell in enumerate(grid.cells):
        at = {f"exact_match_at_{length}": (length + number // 2 * 20) / 100 for length in lengths}
        outcomes.append(outcome(cell, exact_match=0.5, **at))
    return comparison(write_run(folder, grid, outcomes).frame(), columns="length")


@pytest.mark.parametrize("width", [80, 40, 24])
def test_many_columns_are_split_into_blocks_with_whole_numbers(tmp_path, width):
    compared = eleven_lengths(tmp_path)
    lines = rich(compared, width=width, force_terminal=True, color_system=None).splitlines()
    table = [line.split() for line in lines[1:]]
    heads = [word for words in table if words[:1] == ["score"] for word in words[1:]]
    additive = [word.rstrip("*") for words in table if words[:1] == ["additive"] for word in words[1:]]
    assert [head for head in heads if head.isdigit()] == [str(length) for length in compared.heads]
    assert [word for word in additive if word.startswith("0.")] == [f"{n / 100:.3f}" for n in range(10, 21)]
    assert max(map(len, lines)) <= width
    assert sum(words[:1] == ["score"] for words in table) > 1


def test_a_table_that_fits_narrow_is_not_split(tmp_path):
    grid = plan(score=["dot", "general"], task=["copy", "sort", "reverse"], seed=[0, 1, 2])
    frame = write_run(tmp_path, grid, [outcome(c, exact_match=0.4 + c.cell.seed / 10) for c in grid.cells]).frame()
    text = rich(comparison(frame), width=44, force_terminal=True, color_system=None)
    assert text.count("score") == 2  # in the title, and once above the rows


@pytest.mark.parametrize(("columns", "widest"), [("60", 60), ("", 300), ("wide", 300)])
def test_without_a_terminal_columns_sets_the_width(tmp_path, monkeypatch, columns, widest):
    monkeypatch.setenv("COLUMNS", columns)
    console = Console(file=io.StringIO(), width=int(columns) if columns.isdigit() else None)
    formats.print_table(eleven_lengths(tmp_path), console)
    longest = max(map(len, console.file.getvalue().splitlines()))
    assert (longest <= widest) is True
    assert (longest > 100) == (widest == 300)


def test_numbers_for_machines_have_no_noise_in_their_last_digits(tmp_path):
    grid = plan(score=["dot"], model__width=[0.1 + 0.2, 1], seed=range(3))
    values = [0.1, 0.136, 0.202] * 2
    assert sum(values[:3]) / 3 != 0.146
    outcomes = [outcome(cell, exact_match=value) for cell, value in zip(grid.cells, values, strict=True)]
    compared = comparison(write_run(tmp_path, grid, outcomes).frame(), columns="model.width")
    for rows in (json.loads(formats.to_json(compared)), list(csv.DictReader(io.StringIO(formats.to_csv(compared))))):
        assert {str(row["mean"]) for row in rows} == {"0.146"}
        # A label is what the user wrote, to its last digit.
        assert str(rows[0]["model.width"]) == "0.30000000000000004"
