"""What a cell says of its seeds: the statistic, what is told apart from the best, and who learned."""

import csv
import io
import json
import re
import sys

import numpy as np
import pytest
from made_up_run import failed, outcome, plan, write_run
from rich.console import Console

from attnbench.analysis.compare.contrast import contrast
from attnbench.analysis.stats import estimate
from attnbench.analysis.table import cell, formats
from attnbench.analysis.table.cell import FEWEST, SeedResults, TooFew, summarise
from attnbench.analysis.table.comparison import comparison
from attnbench.metrics import METRICS

UP = [0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1]  # no two alike, all of one sign
OTHERS = ["additive", "cosine", "general", "location", "scaled_dot"]
MIXED = [0.01, -0.02, 0.03, -0.04, 0.05, -0.06, 0.07, -0.08, 0.09, 0.011]


def run(folder, scores, metric="exact_match", tasks=("copy",), **axes):
    """A run of scores, each with its value per seed, on every task; None is a failed seed."""
    grid = plan(score=list(scores), task=list(tasks), seed=range(len(next(iter(scores.values())))), **axes)
    values = [(c, scores[c.labels["score"]][c.labels["seed"]]) for c in grid.cells]
    return write_run(folder, grid, [failed(c) if x is None else outcome(c, **{metric: x}) for c, x in values])


def below(steps, best=0.9):
    return [best - step for step in steps]


def ties(compared, column="copy"):
    return {row[0]: cell.verdict for (row, head), cell in compared.cells.items() if head == column}


@pytest.fixture
def ten(tmp_path):
    """Ten seeds: dot is best, cosine worse in every seed, general varies around it, location differs in three seeds."""
    scores = {
        "dot": [0.9] * 10,
        "cosine": below(UP),
        "general": below(MIXED),
        "location": below([0.1, 0.2, 0.3] + [0] * 7),
    }
    return run(tmp_path, scores).frame()


def test_verdicts_against_the_best_of_a_column(ten):
    compared = comparison(ten)
    assert ties(compared) == {
        "dot": "best",
        "cosine": "worse",
        "general": "no difference found",
        "location": "inconclusive",
    }
    assert [row[0] for (row, _), cell in compared.cells.items() if cell.best] == ["dot"]
    text = formats.to_markdown(compared)
    for line in ("| dot | **0.900** ", "| cosine | 0.845 ", "| general | 0.894≈ ", "| location | 0.840? "):
        assert line in text
    said = "Bold: best of its column; the others are worse, except ≈ not found worse, ? inconclusive: too few seeds"
    assert f"{said} (exact sign-flip test over shared seeds, Holm over all pairs, p ≤ .05)." in text
    assert "cannot distinguish" not in text


@pytest.mark.parametrize(("scores", "seeds"), [(11, 10), (12, 10), (5, 7), (5, 8)])
def test_a_table_in_which_nothing_can_be_found_is_not_tested(scores, seeds, monkeypatch):
    """A table of 60 rows took seconds, one of 400 rows hours."""
    metric = METRICS["exact_match"]
    values = {f"s{n}": {seed: 0.9 - 0.1 * n + 0.001 * seed for seed in range(seeds)} for n in range(scores)}
    calls = []
    plain = cell.compared_with
    monkeypatch.setattr(cell, "compared_with", lambda *args, **more: calls.append(1) or plain(*args, **more))
    found = cell._verdicts(values, "s0", metric, 0.0)
    monkeypatch.setattr(cell, "_pairs_of_cells", lambda _: 0)
    assert cell._verdicts(values, "s0", metric, 0.0) == found
    assert len(calls) == (2 if seeds == 8 else 1)  # that without the short cut, and the first where it is none


def test_every_format_has_the_marks(ten):
    compared = comparison(ten)
    assert r"general & 0.894$\approx$ " in formats.to_latex(compared)
    assert "<td>0.894≈ " in formats.to_html(compared)
    assert [record["tie"] for record in json.loads(formats.to_json(compared))] == [
        "best",
        "worse",
        "no difference found",
        "inconclusive",
    ]
    rows = csv.DictReader(io.StringIO(formats.to_csv(compared)))
    assert [row["tie"] for row in rows] == ["best", "worse", "no difference found", "inconclusive"]
    text = in_terminal(compared, 60, color_system=None)
    for line in ("dot        0.900* .90–.90", "cosine     0.845  ", "general    0.894≈ ", "location   0.840? "):
        assert f" {line}" in text
    text = re.sub(r"\x1b\[[0-9;]*m", "", in_terminal(compared, 24, color_system="standard"))
    assert re.search(r"general +0.894≈ *\n", text)
    assert re.search(r"dot +0.900 *\n", text)


def in_terminal(compared, width, **options):
    console = Console(width=width, file=io.StringIO(), force_terminal=True, **options)
    formats.print_table(compared, console)
    return console.file.getvalue()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("metric", ["exact_match", "loss"])
def test_table_and_compare_agree(tmp_path, seed, metric):
    """Same pairs, same test, same correction; 6 to 9 seeds, some failed, so that every verdict comes about."""
    rng = np.random.default_rng(seed)
    n = 6 + seed % 4
    lean = {"dot": (0, 0.02), "general": (0.02, 0.02), "cosine": (-0.2, 0.02), "location": (-0.01, 0.05)}
    scores = {name: (0.5 + by + spread * rng.normal(size=n)).tolist() for name, (by, spread) in lean.items()}
    scores["location"][0] = None
    frame = run(tmp_path, scores, metric).frame()
    compared = comparison(frame, metric=metric)
    best = next(row[0] for (row, _), cell in compared.cells.items() if cell.verdict == "best")
    found = contrast(frame, "score", metric=metric)
    assert found.against == best
    in_table = {name: verdict for name, verdict in ties(compared).items() if name != best}
    assert in_table == {line.value: line.verdict for line in found.lines}


def test_many_seeds_that_hardly_differ_are_marked_each(tmp_path):
    """It is not the number of seeds that is too small, but that of those that differ."""
    frame = run(tmp_path, {"dot": [0.9] * 10, "cosine": below([0.1, 0.2] + [0] * 8)}).frame()
    assert comparison(frame).too_few is None
    assert "| cosine | 0.870? " in formats.to_markdown(comparison(frame))


@pytest.mark.parametrize(("n", "others", "says"), [
    (1, 1, "Inconclusive: 1 seed cannot distinguish any row from the best (p is 1 at best); 6 or more can."),
    (2, 1, "Inconclusive: 2 seeds cannot distinguish any row from the best (p is .5 at best); 6 or more can."),
    (3, 1, "Inconclusive: 3 seeds cannot distinguish any row from the best (p is .25 at best); 6 or more can."),
    (3, 5, "Inconclusive: 3 seeds cannot distinguish any row from the best (p is .25 at best); 10 or more can."),
    (5, 1, "Inconclusive: 5 seeds cannot distinguish any row from the best (p is .062 at best); 6 or more can."),
    (6, 1, None),
    (6, 5, "Inconclusive: 6 seeds cannot distinguish any row from the best "
           "(p is .031 at best, .47 among all pairs of 6 rows by Holm); 10 or more can."),
    (10, 5, None),
])  # fmt: skip
def test_too_few_seeds_are_noted_once(tmp_path, n, others, says):
    scores = {"dot": [0.9] * n} | {name: below(UP[:n]) for name in OTHERS[:others]}
    compared = comparison(run(tmp_path, scores).frame())
    lines = formats.caption(compared)
    assert [line for line in lines if "Inconclusive" in line] == ([says] if says else [])
    assert set(ties(compared).values()) == {"best", "inconclusive" if says else "worse"}
    assert not any(sign in formats.to_markdown(compared).replace("\n", "") for sign in "?≈")
    test = "(exact sign-flip test over shared seeds, Holm over all pairs, p ≤ .05)"
    told = f"Bold: best of its column; the others are worse {test}."
    assert ("Bold: best of its column." if says else told) in lines


@pytest.mark.parametrize(("n", "statistic", "says"), [
    (1, "mean", "Mean over n = 1 seed."),
    (2, "mean", "Mean over n = 2 seeds, then the range of the seeds (a 95 % interval needs 5 seeds)."),
    (4, "mean", "Mean over n = 4 seeds, then the range of the seeds (a 95 % interval needs 5 seeds)."),
    (5, "mean", "Mean over n = 5 seeds, then its 95 % interval (percentile bootstrap, expanded for few seeds)."),
    (5, "iqm", "Interquartile mean over n = 5 seeds, then the range of the seeds (a 95 % interval needs 6 seeds)."),
    (7, "median", "Median over n = 7 seeds, then the range of the seeds (a 95 % interval needs 8 seeds)."),
    (8, "median", "Median over n = 8 seeds, then its 95 % interval (percentile bootstrap, expanded for few seeds)."),
])  # fmt: skip
def test_the_caption_names_the_statistic_and_its_interval(tmp_path, n, statistic, says):
    assert formats.caption(comparison(run(tmp_path, {"dot": UP[:n]}).frame(), statistic=statistic))[0] == says


def test_the_caption_of_few_and_many_seeds(tmp_path):
    frame = run(tmp_path, {"dot": UP[:6], "cosine": [0.1, 0.2, None, None, None, None]}).frame()
    assert "expanded for few seeds; below 5 seeds, their range)." in formats.caption(comparison(frame))[0]


@pytest.mark.parametrize("statistic", ["mean", "iqm", "median"])
def test_from_how_many_seeds_an_interval_is_narrower_than_the_range(statistic):
    for n in range(2, 12):
        values = np.random.default_rng(n).normal(size=n)
        found = estimate(values, statistic)
        whole = (found.low, found.high) == pytest.approx((values.min(), values.max()))
        assert whole == (n < FEWEST[statistic])


@pytest.mark.parametrize("values", [[0.3, 0.1, 0.2], [0.1], [0.25] * 7, [0.1, 0.1, 0.4, 0.2], UP])
def test_a_cell_has_the_estimate_of_its_seeds(values):
    """Also where no bootstrap is needed for it."""
    for statistic in ("mean", "iqm", "median"):
        results = SeedResults(dict(enumerate(values)), of=len(values))
        found = summarise(results, METRICS["exact_match"], statistic)
        known = estimate(values, statistic)
        assert (found.mean, found.low, found.high, found.n) == pytest.approx(
            (known.value, known.low, known.high, known.n)
        )


def test_the_statistic_decides_the_numbers_and_the_best(tmp_path):
    frame = run(tmp_path, {"dot": [0.0, 0.9, 0.9], "cosine": [0.7, 0.7, 0.7]}).frame()
    means, medians = comparison(frame), comparison(frame, statistic="median")
    assert [cell.best for cell in means.cells.values()] == [False, True]
    assert [cell.best for cell in medians.cells.values()] == [True, False]
    assert [record["median"] for record in json.loads(formats.to_json(medians))] == [0.9, 0.7]


def test_three_seeds_need_no_scipy(tmp_path, monkeypatch):
    """Which takes longer to import than all the rest of a table."""
    frame = run(tmp_path, {"dot": [0.9, 0.8, 0.7], "cosine": [0.7, 0.6, 0.5]}).frame()
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    assert set(ties(comparison(frame)).values()) == {"best", "inconclusive"}


def test_seeds_that_learned_are_counted_where_some_did_not(tmp_path):
    scores = {"dot": [0.9, 0.5, 1, 0.1, 0.2], "cosine": [0.9] * 5, "general": [0.1] * 5, "location": [0, 1, None, 1, 1]}
    frame = run(tmp_path, scores).frame()
    compared = comparison(frame)
    assert [cell.learned for cell in compared.cells.values()] == [3, 5, 0, 3]
    text = formats.to_markdown(compared)
    assert "3/5 learned |" in text
    assert "n=4/5 3/5 learned |" in text
    assert text.count(" learned |") == 2
    assert "a/b learned: a of b seeds reached .5; the mean of two such groups has no interval." in text
    everyone = formats.to_markdown(comparison(frame, where=["score=cosine", "score=general"]))
    assert "learned" not in everyone
    assert re.search(r"dot +0.540 *\n +3/5 learned *\n", in_terminal(compared, 60, color_system=None))
    narrow = in_terminal(compared, 20, color_system=None)
    assert max(map(len, narrow.splitlines())) <= 20


def test_ordinary_spread_around_one_half_is_not_learning_in_part(tmp_path):
    frame = run(tmp_path, {"dot": [0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.62, 0.66]}).frame()
    compared = comparison(frame)
    assert "learned" not in formats.to_markdown(compared)
    assert json.loads(formats.to_json(compared))[0]["learned"] == 5


def test_the_caption_has_the_interval_of_the_csv(tmp_path):
    """Of ten seeds that all learned, the exact 95 % interval of the share begins at .025^(1/10) = .69."""
    compared = comparison(run(tmp_path, {"dot": [0.9 + x for x in UP]}).frame())
    (low,) = [float(row["learned_low"]) for row in csv.DictReader(io.StringIO(formats.to_csv(compared)))]
    assert low == pytest.approx(0.025**0.1)
    line = "Intervals are for the seeds that learn (reach .5). Where all 10 did, that is 69 to 100 % of all seeds"
    assert f"{line} (exact 95 % interval)." in formats.caption(compared)


def test_an_alignment_error_is_not_learned(tmp_path):
    grid = plan(score=["dot"], task=["copy"], seed=range(8))
    frame = write_run(tmp_path, grid, [outcome(c, exact_match=0.9, aer=UP[c.cell.seed]) for c in grid.cells]).frame()
    assert "learn" not in "".join(formats.caption(comparison(frame, metric="aer")))
    groups = write_run(
        tmp_path / "b", grid, [outcome(c, exact_match=0.9 * (c.cell.seed % 2), aer=UP[c.cell.seed]) for c in grid.cells]
    ).frame()
    assert "a of b seeds reached an exact match of .5" in "".join(formats.caption(comparison(groups, metric="aer")))


def test_failed_is_explained(tmp_path):
    frame = run(tmp_path, {"dot": [0.9] * 3, "cosine": [None] * 3}).frame()
    assert "failed 3/3: 3 of 3 seeds failed." in formats.caption(comparison(frame))


@pytest.mark.parametrize(("metric", "counts"), [
    ("exact_match", True), ("exact_match_at_20", True), ("exact_match_unseen", True), ("token_accuracy", True),
    ("aer", False), ("loss", False), ("alignment_mass", False),
])  # fmt: skip
def test_only_accuracies_are_learned(tmp_path, metric, counts):
    frame = run(tmp_path, {"dot": [0.9, 0.1]}, metric).frame()
    cell = comparison(frame, metric=metric.replace("_at_", "@")).cells[("dot",), "copy"]
    assert cell.learned == (1 if counts else None)


def test_nothing_competes_across_tasks(tmp_path):
    """One task may be easier than another."""
    grid = plan(score=["dot", "cosine"], task=["copy", "sort"], scope=["global"])
    results = [outcome(c, exact_match=x) for c, x in zip(grid.cells, (0.9, 0.3, 0.8, 0.4), strict=True)]
    frame = write_run(tmp_path, grid, results).frame()
    compared = comparison(frame, columns="scope", rows="score")
    assert {row for (row, _), cell in compared.cells.items() if cell.best} == {("dot", "copy"), ("cosine", "sort")}
    assert "Bold: best of its column and task." in formats.caption(compared)
    assert not any(cell.best for cell in comparison(frame, rows="task", columns="score").cells.values())
    assert "Bold: best of its column." in formats.caption(comparison(frame))


def test_without_a_better_there_are_no_marks(tmp_path):
    frame = run(tmp_path, {"dot": UP, "cosine": below(UP)}, "alignment_entropy").frame()
    assert set(ties(comparison(frame, metric="alignment_entropy")).values()) == {None}
    assert len(formats.caption(comparison(frame, metric="alignment_entropy"))) == 1


def test_rows_without_a_shared_seed_are_not_compared(tmp_path):
    compared = comparison(run(tmp_path, {"dot": UP[:2]}).frame(), rows="seed")
    assert [cell.verdict for cell in compared.cells.values()] == [None, "best"]


def test_what_is_worse_is_not_bold_though_it_looks_the_same(tmp_path):
    """Ten seeds with a loss that is a little higher: compare says worse, and so does the table."""
    scores = {"dot": [0.1] * 10, "cosine": [0.1 + x / 1000 for x in UP], "general": [0.5] * 10}
    compared = comparison(run(tmp_path, scores, "loss").frame(), metric="loss")
    assert ties(compared) == {"dot": "best", "cosine": "worse", "general": "worse"}
    assert [cell.best for cell in compared.cells.values()] == [True, False, False]


@pytest.mark.parametrize(("seeds", "rows", "needed"), [(3, 2, 6), (3, 3, 7), (6, 6, 10)])
def test_the_seeds_that_would_do(seeds, rows, needed):
    assert TooFew(seeds, rows).needed == needed
