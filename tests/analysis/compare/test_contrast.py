"""Which value of an axis is better: the right seeds and settings are paired, and nothing is claimed of too few."""

import csv
import io
import json

import pytest
from made_up_run import failed, outcome, plan, write_run

from attnbench.analysis.compare import formats
from attnbench.analysis.compare.contrast import contrast
from attnbench.analysis.compare.notes import unshared
from attnbench.analysis.compare.pairing import ALL_TASKS, side_by_side
from attnbench.analysis.table.captions import caption
from attnbench.analysis.table.comparison import comparison
from attnbench.errors import AttnbenchError
from attnbench.grid.packs import Composition

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
        (score, task) for score in ("dot", "additive") for task in ("copy", "sort", ALL_TASKS)
    }
    one = line(found, "dot", "copy")
    assert (one.paired.difference, one.paired.low, one.paired.high) == pytest.approx((-0.2, -0.2, -0.2))
    assert one.paired.n == 8
    assert one.paired.p == pytest.approx(3 * 2 / 2**8)  # all of one sign, and three pairs of values
    assert one.verdict == "worse"
    assert one.probability.value < 0.5
    assert one.rank == 3
    assert line(found, "dot", ALL_TASKS).paired.n == 8  # a seed counts once


def test_what_others_are_held_against_can_be_chosen(tmp_path):
    found = contrast(frame_of(tmp_path), "score", against="dot")
    assert {x.verdict for x in found.lines} == {"better"}
    assert line(found, "general", "sort").probability.value > 0.5


@pytest.mark.parametrize("seeds", [2, 5])
def test_of_too_few_seeds_nothing_is_claimed(tmp_path, seeds):
    found = contrast(frame_of(tmp_path, seeds), "score")
    assert {x.verdict for x in found.lines if x.task != ALL_TASKS} == {"inconclusive"}


def test_of_a_loss_the_lower_is_better(tmp_path):
    frame = frame_of(tmp_path)
    frame["loss"] = 1 - frame["exact_match"]
    found = contrast(frame, "score", against="dot", metric="loss")
    one = line(found, "general", "copy")
    assert one.paired.difference == pytest.approx(-0.2)
    assert one.verdict == "better"
    assert one.probability.value > 0.5
    assert one.rank == 1


def test_settings_are_paired_with_their_like_and_a_seed_counts_once(tmp_path):
    """A width that helps both says nothing about the scores, and two widths of a seed are not two observations."""
    frame = frame_of(
        tmp_path,
        task=["copy"],
        model__width=[32, 64],
        accuracy=lambda labels: BASE[labels["score"]] + 0.03 * labels["seed"] - 0.004 * labels["model.width"],
    )
    one = line(contrast(frame, "score", against="dot"), "general", "copy")
    assert one.paired.n == 8
    assert (one.paired.low, one.paired.high) == pytest.approx((0.2, 0.2))


def test_a_setting_that_changes_with_the_axis_is_named(tmp_path):
    """One width for each: whether it is the score or the width cannot be told."""
    frame = frame_of(tmp_path, 2, score=["dot", "general"], task=["copy"], model__width=[32, 64])
    found = contrast(frame[(frame["score"] == "dot") == (frame["model.width"] == 32)], "score")
    assert found.notes == ("model.width varies with score",)
    assert not contrast(frame, "score").notes


def test_a_failed_seed_counts_as_the_worst_result(tmp_path):
    """Of ten seeds four diverge, and the others win: by the survivors alone, dot would be better with p = .031."""
    grid = plan(score=["dot", "general"], task=["copy"], seed=list(range(10)))
    written = [
        failed(c)
        if c.labels["score"] == "dot" and c.labels["seed"] < 4
        else outcome(c, exact_match=0.9 + 0.05 * (c.labels["score"] == "dot"))
        for c in grid.cells
    ]
    found = contrast(write_run(tmp_path, grid, written).frame(), "score", against="general")
    (one,) = found.lines
    assert (one.paired.n, one.verdict) == (10, "no difference found")
    assert one.paired.difference == pytest.approx(0.6 * 0.05 - 0.4 * 0.9)
    assert found.notes == ("4 failed cells: count as 0",)


def test_a_seed_that_never_arrives_is_slower_than_all_others(tmp_path):
    frame = frame_of(tmp_path, 8, task=["copy"], score=["dot", "general"])
    frame["steps_to_95"] = [
        None if score == "dot" and seed < 3 else 100.0 + 50 * (score == "general")
        for score, seed in zip(frame["score"], frame["seed"], strict=True)
    ]
    (one,) = contrast(frame, "score", against="general", metric="steps_to_95").lines
    assert one.paired.n == 8
    assert one.paired.difference == pytest.approx((5 * -50 + 3 * (300 - 150)) / 8)
    assert one.verdict == "no difference found"


def test_the_speed_of_a_pack_is_one_measurement(tmp_path):
    """Each pack of eight seeds has one time, copied to every seed, which is no evidence of a difference."""
    frame = frame_of(tmp_path, 8, task=["copy"], score=["dot", "general"])
    frame["seconds"] = [10.0 if score == "dot" else 10.5 for score in frame["score"]]
    (one,) = contrast(frame, "score", against="dot", metric="seconds").lines
    assert (one.paired.n, one.verdict) == (1, "inconclusive")


def of_packs(folder, packs, seconds):
    """Two scores whose seeds are trained in packs; seconds differ by microseconds in a pack, as measured ones do."""
    size = 4
    grid = plan(score=["dot", "general"], task=["copy"], seed=list(range(size * packs)))
    store = write_run(
        folder,
        grid,
        [
            outcome(
                c,
                seconds=seconds[c.labels["score"]] + c.labels["seed"] // size + 1e-6 * c.labels["seed"],
                tokens_per_second=1000.0 * seconds[c.labels["score"]],
                exact_match=0.9,
            )
            for c in grid.cells
        ],
    )
    ids = {}
    for cell in grid.cells:
        ids.setdefault((cell.labels["score"], cell.labels["seed"] // size), []).append(cell)
    store.start(
        grid,
        "name: made-up\n",
        [Composition(tuple(c.id for c in cells), tuple(c.labels["seed"] for c in cells)) for cells in ids.values()],
    )
    return store.frame()


@pytest.mark.parametrize("metric", ["seconds", "tokens_per_second"])
@pytest.mark.parametrize("packs", [1, 2])
def test_a_pack_has_one_measurement_of_its_time(tmp_path, packs, metric):
    """Also where the seeds of a pack differ by microseconds: 8 seeds are no evidence of a difference."""
    frame = of_packs(tmp_path, packs, {"dot": 10.0, "general": 11.0})
    found = contrast(frame, "score", against="dot", metric=metric)
    (one,) = found.lines
    assert (one.paired.n, one.verdict, one.needed, one.paired.low, one.probability.low) == (
        packs, "inconclusive", None, None, None,
    )  # fmt: skip
    expected = 1.0 if metric == "seconds" else 1000.0
    assert one.paired.difference == pytest.approx(expected)
    unit = f"{packs} pack{'s' * (packs > 1)}"
    assert formats.conclusions(found) == [
        f"copy, against dot: general is inconclusive ({unit}; 6 or more could decide)."
    ]
    table = comparison(frame, metric=metric)
    cell = table.cells[("dot",), "copy"]
    assert (cell.n, cell.of, cell.low) == (packs, packs, None)
    assert caption(table)[0] == f"Mean over n = {unit}; the seeds of a pack share one measurement."
    assert f"Inconclusive: {unit} cannot distinguish any row" in "\n".join(caption(table))


def test_six_packs_can_decide(tmp_path):
    found = contrast(of_packs(tmp_path, 6, {"dot": 10.0, "general": 11.0}), "score", against="dot", metric="seconds")
    (one,) = found.lines
    assert (one.paired.n, one.verdict) == (6, "worse")
    assert one.paired.low == pytest.approx(1.0)


def test_over_all_tasks_three_seeds_are_inconclusive(tmp_path):
    """Two tasks of three seeds are no six observations."""
    found = contrast(frame_of(tmp_path, 3), "score", against="general")
    assert {(x.paired.n, x.verdict) for x in found.lines} == {(3, "inconclusive")}


def test_one_sentence_of_the_test_set_is_not_better(tmp_path):
    frame = frame_of(
        tmp_path, 10, task=["copy"], score=["dot", "general"], accuracy=lambda x: 0.9 + 0.002 * (x["score"] == "dot")
    )
    found = contrast(frame, "score", against="general")
    assert (found.resolution, found.lines[0].verdict) == (0.004, "equivalent")
    assert "500 sentences; a difference below 0.004 (2 sentences)" in "\n".join(formats.caption(found))
    assert contrast(frame, "score", against="general", margin=0.0005).lines[0].verdict == "no difference found"


def test_of_unequal_seeds_those_in_common_are_compared(tmp_path):
    frame = frame_of(tmp_path, 6, score=["dot", "general"], task=["copy"])
    frame = frame[
        ((frame["score"] == "dot") & (frame["seed"] < 4)) | ((frame["score"] == "general") & (frame["seed"] > 1))
    ]
    one = line(contrast(frame, "score", against="dot"), "general", "copy")
    assert (one.paired.n, one.paired.difference) == (2, pytest.approx(0.2))
    assert one.rank == 1


def test_cells_without_the_metric_are_counted_in_a_note(tmp_path):
    frame = frame_of(tmp_path, 3, task=["copy"])
    frame["steps_to_95"] = [100.0 if accuracy > 0.5 else None for accuracy in frame["exact_match"]]
    found = contrast(frame, "score", against="general", metric="steps_to_95", notes=["and more"])
    assert found.notes == ("1 cell without steps_to_95: counts as the worst result", "and more")
    assert line(found, "dot", "copy").paired.n == 3


def test_the_best_has_a_value_in_most_settings_and_of_a_loss_the_least(tmp_path):
    frame = frame_of(tmp_path, 3)
    frame["loss"] = 1 - frame["exact_match"]
    assert contrast(frame, "score", metric="loss").against == "general"
    once = frame[(frame["score"] != "general") | (frame["task"] == "copy")]
    assert contrast(once, "score").against == "additive"


def test_ranks_are_over_the_settings_of_what_is_held_against(tmp_path):
    """One score was trained with another width alone: it is left out, and the others have their ranks still."""
    frame = frame_of(tmp_path, 3, task=["copy"], model__width=[32, 64, 128])
    frame = frame[(frame["score"] == "additive") == (frame["model.width"] == 128)]
    found = contrast(frame, "score", against="dot")
    assert [(x.value, x.rank) for x in found.lines] == [("general", 1.0)]
    assert found.notes == ("additive: no setting and seed shared with dot",)


def test_the_caption_explains_a_value_without_a_rank(tmp_path):
    frame = frame_of(tmp_path, 3, task=["copy"], model__width=[32, 64])
    whole = contrast(frame, "score", against="dot")
    assert "rank –" not in "\n".join(formats.caption(whole))
    found = contrast(frame[(frame["score"] != "additive") | (frame["model.width"] == 32)], "score", against="dot")
    assert line(found, "additive", "copy").rank is None
    assert "rank –: not in every setting of dot" in "\n".join(formats.caption(found))


def test_the_note_on_cells_without_a_normaliser_names_the_axis():
    """A dash alone would read as the explanation of an empty place in the table."""
    (note,) = unshared("normaliser", ["softmax", "–"], ["softmax"], "softmax")
    assert note == "normaliser –: no setting and seed shared with softmax"


def test_groups_of_the_same_value_and_task_are_told_apart_by_their_settings(tmp_path):
    frame = frame_of(
        tmp_path, 8, task=["copy"], score=["dot", "general"], model__width=[32, 64],
        accuracy=lambda x: 0.95 if x["score"] == "general" or x["seed"] < 4 else 0.05,
    )  # fmt: skip
    (note, *_) = contrast(frame, "score", against="general").notes
    assert "dot on copy · 32 4/8, dot on copy · 64 4/8." in note


def test_too_few_seeds_for_the_test_are_never_called_enough(tmp_path):
    """Every seed of one is above the other, for which Noether asks five; five cannot tell, nor can seven of two."""
    apart = {"accuracy": lambda labels: BASE[labels["score"]] + 0.003 * labels["seed"]}
    found = contrast(frame_of(tmp_path / "two", 5, task=["copy"], **apart), "score")
    assert {x.needed for x in found.lines} == {7}  # two comparisons: 2 · 2 / 2⁷ is below .05
    assert {x.verdict for x in contrast(frame_of(tmp_path / "enough", 7, task=["copy"], **apart), "score").lines} == {
        "worse"
    }
    found = contrast(frame_of(tmp_path / "one", 5, task=["copy"], score=["dot", "general"], **apart), "score")
    assert {x.needed for x in found.lines} == {6}


def test_two_runs_are_compared_configuration_by_configuration(tmp_path):
    before = frame_of(tmp_path / "a", name="before")
    after = frame_of(tmp_path / "b", name="after", accuracy=lambda x: BASE[x["score"]] + 0.03 * x["seed"] + 0.01)
    found = contrast(side_by_side([("before", before), ("after", after)]), "run", "before")
    assert {(x.value, x.verdict) for x in found.lines} == {("after", "better")}
    assert line(found, "after", "copy").paired.n == 8
    assert line(found, "after", "copy").paired.difference == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"axis": "scor"}, ("no axis 'scor'", "score")),
        ({"axis": "scope"}, ("fewer than two values",)),
        ({"axis": "score", "metric": "aer"}, ("no cell is done and has aer",)),
        ({"axis": "score", "against": "dott"}, ("no finished cell has 'dott'", "dot")),
        ({"axis": "score", "metric": "exact"}, ("no metric 'exact'", "exact_match")),
        ({"axis": "score", "metric": "parameters"}, ("has no better direction",)),
    ],
)
def test_an_impossible_comparison_is_reported(tmp_path, arguments, words):
    with pytest.raises(AttnbenchError) as caught:
        contrast(frame_of(tmp_path, 2), **arguments)
    assert all(word in str(caught.value) for word in words)


def test_where_nothing_is_shared_what_parts_the_cells_is_named(tmp_path):
    frame = frame_of(tmp_path, 2, task=["copy"], model__width=[32, 64], model__cell=["gru", "lstm"])
    frame = frame[frame["score"] != "additive"]
    narrow, gru, dot = frame["model.width"] == 32, frame["model.cell"] == "gru", frame["score"] == "dot"
    with pytest.raises(AttnbenchError, match=r"vary in model\.width, model\.cell; select") as caught:
        contrast(frame[(narrow == gru) == dot], "score", name="made-up")
    assert "made-up: no value shares a setting and a seed with" in str(caught.value)


def test_where_a_setting_has_no_common_value_its_values_are_named(tmp_path):
    """Then no choice of cells helps: the hint was to select some with --where."""
    frame = frame_of(tmp_path, 2, task=["copy"], model__width=[16, 32, 64])
    dot, wide = frame["score"] == "dot", frame["model.width"] == 64
    frame["model.width"] = frame["model.width"].astype(float)  # as where one of two runs has no such axis
    with pytest.raises(AttnbenchError) as caught:
        contrast(frame[dot != wide], "score", against="dot", name="made-up")
    words = "model.width is 16, 32 in dot and 64 in the rest: train both with the same values, or compare another axis"
    assert f"{words}: --axis model.width" in str(caught.value)
    assert "no cell can be paired with one of dot" in str(caught.value)


def test_the_caption_says_what_so_few_pairs_tell(tmp_path):
    told = {n: "\n".join(formats.caption(contrast(frame_of(tmp_path / f"{n}", n), "score"))) for n in (4, 5)}
    assert "the mean over 4 seeds that both have" in told[4]
    assert "their range" in told[4]
    assert "their range" not in told[5]
    assert "Each seed counts once" in told[5]


def test_the_title_says_which_way_is_better(tmp_path):
    frame = frame_of(tmp_path, 2).assign(loss=1.0)
    assert "exact_match (higher is better)" in formats.title(contrast(frame, "score"))
    assert "loss (lower is better)" in formats.title(contrast(frame, "score", metric="loss"))


def test_the_formats_agree(tmp_path):
    found = contrast(frame_of(tmp_path), "score", name="made-up")
    rows = list(csv.DictReader(io.StringIO(formats.to_csv(found))))
    assert [float(row["difference"]) for row in rows] == pytest.approx([x.paired.difference for x in found.lines])
    assert [row["verdict"] for row in json.loads(formats.to_json(found))] == [row["verdict"] for row in rows]
    markdown = formats.to_markdown(found)
    assert "| dot | copy | worse | 0.605 | -0.200 [-0.200, -0.200] |" in markdown
    assert "| general | copy | reference | 0.805 |  |  |  | 1.00 |  |" in markdown
    assert markdown.count("| worse |") == len(found.lines)


def test_json_has_the_means_and_ranks_of_both_sides(tmp_path):
    rows = json.loads(formats.to_json(contrast(frame_of(tmp_path), "score")))
    dot = next(row for row in rows if (row["score"], row["task"]) == ("dot", "copy"))
    assert (dot["mean"], dot["against_mean"]) == pytest.approx((0.605, 0.805))
    assert (dot["rank"], dot["against_rank"]) == (3, 1)
    assert (dot["within_margin"], dot["fewest_seeds"]) == (False, 7)


def test_better_within_the_margin_says_both_and_its_json_keeps_the_verdict(tmp_path):
    frame = frame_of(
        tmp_path, 10, task=["copy"], score=["dot", "general"], accuracy=lambda x: 0.9 + 0.01 * (x["score"] == "dot")
    )
    found = contrast(frame, "score", against="general")
    assert formats.conclusions(found) == ["copy, against general: dot is better, within the margin of ±0.02."]
    assert "| dot | copy | better, within the margin |" in formats.to_markdown(found)
    (row,) = json.loads(formats.to_json(found))
    assert (row["verdict"], row["within_margin"]) == ("better", True)


@pytest.mark.parametrize(("seeds", "scores", "says"), [
    (3, 2, "(3 seeds; 6 or more could decide)"), (6, 3, "(6 seeds; 7 or more could decide)"),
    (1, 3, "(1 seed; 7 or more could decide)"),
])  # fmt: skip
def test_inconclusive_says_how_many_seeds_could_decide(tmp_path, seeds, scores, says):
    """The same number as in the caption of `table`."""
    frame = frame_of(tmp_path, seeds, task=["copy"], score=list(BASE)[:scores])
    (sentence,) = formats.conclusions(contrast(frame, "score"))
    assert sentence.endswith(f"inconclusive {says}.")
    needed = says.split("; ")[1].split()[0]
    assert f"; {needed} or more can." in "\n".join(caption(comparison(frame)))


def test_seeds_that_do_not_differ_are_said_to_be_too_few(tmp_path):
    frame = frame_of(
        tmp_path, 10, task=["copy"], score=["dot", "general"],
        accuracy=lambda x: 0.9 - 0.3 * (x["score"] == "dot" and x["seed"] < 3),
    )  # fmt: skip
    found = contrast(frame, "score", against="general")
    assert formats.conclusions(found) == [
        "copy, against general: dot is inconclusive (too few of the 10 seeds differ; 6 must)."
    ]


def test_tasks_are_compared_without_a_second_column_of_tasks(tmp_path):
    found = contrast(frame_of(tmp_path), "task")
    assert formats.head(found)[:2] == ["task", "verdict"]
    assert [row["task"] for row in json.loads(formats.to_json(found))] == ["sort"]
    assert formats.conclusions(found)[0].startswith("Against copy: sort")


def test_the_reference_is_the_best_also_where_it_was_named(tmp_path):
    frame = frame_of(tmp_path)
    assert formats.title(contrast(frame, "score", "general")).endswith("against general (the best)")
    assert formats.title(contrast(frame, "score", "dot")).endswith("against dot")


def test_needed_is_shown_only_without_a_verdict(tmp_path):
    decided = contrast(frame_of(tmp_path), "score")
    assert "needed:" not in "\n".join(formats.caption(decided))
    assert all(items[-1] in ("", "–") for items, _ in formats.rows(decided))
    undecided = contrast(frame_of(tmp_path / "few", 3), "score")
    assert "needed: the seeds in total" in "\n".join(formats.caption(undecided))
    assert {items[-1] for items, line in formats.rows(undecided) if line} == {"7"}


def test_a_value_whose_seeds_fall_into_two_groups_is_named(tmp_path):
    """`table` prints no interval of its mean, so `compare` says why not to trust its own."""
    frame = frame_of(
        tmp_path, 8, task=["copy"], score=["dot", "general"],
        accuracy=lambda x: 0.95 if x["score"] == "general" or x["seed"] < 4 else 0.05,
    )  # fmt: skip
    found = contrast(frame, "score", against="general")
    assert "Seeds that learned (exact match of at least 0.5): dot on copy 4/8." in found.notes[0]
    spread = frame_of(
        tmp_path / "b", 8, task=["copy"], score=["dot", "general"], accuracy=lambda x: 0.4 + 0.03 * x["seed"]
    )
    assert not contrast(spread, "score", against="general").notes


def test_numbers_for_machines_have_no_noise_in_their_last_digits(tmp_path):
    found = contrast(frame_of(tmp_path), "score")

    def noisy(rows):
        numbers = [value for row in rows for value in row.values() if isinstance(value, float)]
        return [value for value in numbers if float(f"{value:.14g}") != value]

    assert noisy(formats.records(found))
    assert noisy(json.loads(formats.to_json(found))) == []
    as_text = [row["mean"] for row in csv.DictReader(io.StringIO(formats.to_csv(found)))]
    assert [float(f"{float(text):.14g}") for text in as_text] == [float(text) for text in as_text]
