"""Which value of an axis is better: the right seeds and settings are paired, and nothing is claimed of too few."""

import csv
import io
import json

import pytest
from made_up_run import failed, outcome, plan, write_run

from attnbench.analysis import contrast_tables
from attnbench.analysis.contrast import EVERYTHING, contrast, side_by_side
from attnbench.errors import AttnbenchError

BASE = {"dot": 0.5, "general": 0.7, "additive": 0.6}


def frame_of(folder, seeds=8, accuracy=None, name="made-up", **axes):
    """Scores × copy and sort; each seed shifts all scores alike, so that only the pairing shows their order."""
    grid = plan(name, **{"score": list(BASE), "task": ["copy", "sort"], "seed": list(range(seeds))} | axes)
    accuracy = accuracy or (lambda labels: BASE[labels["score"]] + 0.03 * labels["seed"])
    return write_run(folder, grid, [outcome(c, exact_match=accuracy(c.labels)) for c in grid.cells]).frame()


def line(found, value, task):
    (one,) = [x for x in found.lines if (x.value, x.task) == (value, task)]
    return one


def test_seeds_are_paired_and_the_best_is_what_the_others_are_held_against(tmp_path):
    found = contrast(frame_of(tmp_path), "score")
    assert found.against == "general"
    assert {(x.value, x.task) for x in found.lines} == {
        (score, task) for score in ("dot", "additive") for task in ("copy", "sort", EVERYTHING)
    }
    one = line(found, "dot", "copy")
    assert (one.paired.difference, one.paired.low, one.paired.high) == pytest.approx((-0.2, -0.2, -0.2))
    assert one.paired.n == 8
    assert one.paired.p == pytest.approx(2 * 2 / 2**8)  # all of one sign, and two comparisons
    assert one.verdict == "worse"
    assert one.probability.value < 0.5
    assert one.rank == 3
    assert line(found, "dot", EVERYTHING).paired.n == 16


def test_what_others_are_held_against_can_be_chosen(tmp_path):
    found = contrast(frame_of(tmp_path), "score", against="dot")
    assert {x.verdict for x in found.lines} == {"better"}
    assert line(found, "general", "sort").probability.value > 0.5


@pytest.mark.parametrize("seeds", [2, 5])
def test_of_too_few_seeds_nothing_is_claimed(tmp_path, seeds):
    found = contrast(frame_of(tmp_path, seeds), "score")
    assert {x.verdict for x in found.lines if x.task != EVERYTHING} == {"cannot tell: too few seeds"}


def test_of_a_loss_the_lower_is_better(tmp_path):
    frame = frame_of(tmp_path)
    frame["loss"] = 1 - frame["exact_match"]
    found = contrast(frame, "score", against="dot", metric="loss")
    one = line(found, "general", "copy")
    assert one.paired.difference == pytest.approx(-0.2)
    assert one.verdict == "better"
    assert one.probability.value > 0.5
    assert one.rank == 1


def test_settings_are_paired_with_their_like_and_count_each(tmp_path):
    """A width that helps both alike says nothing about the scores."""
    frame = frame_of(
        tmp_path,
        task=["copy"],
        model__width=[32, 64],
        accuracy=lambda labels: BASE[labels["score"]] + 0.03 * labels["seed"] - 0.004 * labels["model.width"],
    )
    one = line(contrast(frame, "score", against="dot"), "general", "copy")
    assert one.paired.n == 16
    assert (one.paired.low, one.paired.high) == pytest.approx((0.2, 0.2))


def test_only_seeds_that_both_have_are_compared_and_failed_cells_are_not(tmp_path):
    grid = plan(score=["dot", "general"], task=["copy"], seed=list(range(4)))
    written = [
        failed(c)
        if (c.labels["score"], c.labels["seed"]) == ("dot", 0)
        else outcome(c, exact_match=0.1 * c.labels["seed"])
        for c in grid.cells
    ]
    found = contrast(write_run(tmp_path, grid, written).frame(), "score", against="dot")
    assert [x.paired.n for x in found.lines] == [3]
    assert found.lines[0].paired.difference == 0


def test_two_runs_are_compared_configuration_by_configuration(tmp_path):
    before = frame_of(tmp_path / "a", name="before")
    after = frame_of(tmp_path / "b", name="after", accuracy=lambda x: BASE[x["score"]] + 0.03 * x["seed"] + 0.01)
    found = contrast(side_by_side([("before", before), ("after", after)]), "run", "before")
    assert {(x.value, x.verdict) for x in found.lines} == {("after", "better")}
    assert line(found, "after", "copy").paired.n == 3 * 8
    assert line(found, "after", "copy").paired.difference == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"axis": "scor"}, ("no axis 'scor'", "score")),
        ({"axis": "scope"}, ("fewer than two values",)),
        ({"axis": "score", "against": "dott"}, ("no finished cell has 'dott'", "dot")),
        ({"axis": "score", "metric": "exact"}, ("no metric 'exact'", "exact_match")),
        ({"axis": "score", "metric": "parameters"}, ("neither more nor less is better",)),
    ],
)
def test_what_cannot_be_compared_is_told(tmp_path, arguments, words):
    with pytest.raises(AttnbenchError) as caught:
        contrast(frame_of(tmp_path, 2), **arguments)
    assert all(word in str(caught.value) for word in words)


def test_the_formats_agree(tmp_path):
    found = contrast(frame_of(tmp_path), "score", name="made-up")
    rows = list(csv.DictReader(io.StringIO(contrast_tables.to_csv(found))))
    assert [float(row["difference"]) for row in rows] == pytest.approx([x.paired.difference for x in found.lines])
    assert [row["verdict"] for row in json.loads(contrast_tables.to_json(found))] == [row["verdict"] for row in rows]
    markdown = contrast_tables.to_markdown(found)
    assert "| dot | copy | -0.200 [-0.200, -0.200] |" in markdown
    assert markdown.count("| worse |") == len(found.lines)
