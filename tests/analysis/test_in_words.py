"""The answer of a run in words, on results made up by hand."""

import itertools

import made_up_run
import pytest

from attnbench.analysis.in_words import groups, in_words, lines
from attnbench.store.store import Store

SEEDS = range(10)


def frame_of(tmp_path, value, scores=("a", "b", "c"), tasks=("copy",), seeds=SEEDS, **axes):
    """The frame of a run; `value` gives the metrics of a cell from its labels, or None where it failed."""
    plan = made_up_run.plan("r", score=scores, task=tasks, seed=seeds, **axes)
    store = Store(tmp_path / "r")
    store.start(plan, "")
    for cell in plan.cells:
        metrics = value(cell.labels)
        outcome = made_up_run.failed(cell) if metrics is None else made_up_run.outcome(cell, **metrics)
        store.write_pack([outcome], [cell], {})
    return store.frame()


def wobble(labels, mean, size=0.01):
    """A value near the mean: every score wobbles in its own way."""
    return mean + size * ((labels["seed"] * (3 + len(labels["score"]) + ord(labels["score"][0])) % 5) - 2) / 2


def test_who_is_better_by_how_much_and_the_alignment_error_beside_it(tmp_path):
    means = {"a": (0.95, 0.02), "b": (0.5, 0.4), "c": (0.3, 0.6)}
    frame = frame_of(
        tmp_path, lambda of: {"exact_match": wobble(of, means[of["score"]][0]), "aer": means[of["score"]][1]}
    )
    (one,) = in_words(frame, "score")
    assert one.name == "copy"
    assert [(s.value, round(s.mean, 2), round(s.alignment_error, 2)) for s in one.standings] == [
        ("a", 0.95, 0.02), ("b", 0.5, 0.4), ("c", 0.3, 0.6),
    ]  # fmt: skip
    assert [(s.values, s.than) for s in one.superior] == [(("a",), ("b", "c")), (("b",), ("c",))]
    assert one.superior[0].low == pytest.approx(0.45, abs=0.01)
    assert one.superior[0].high == pytest.approx(0.65, abs=0.01)
    head, first, second = lines([one], "exact_match")
    assert head.startswith("copy: a 0.95")
    assert "(alignment error 0.02)" in head
    assert first.startswith("  a is better than b and c, by 0.45")
    assert second.startswith("  b is better than c, by 0.2")


def test_the_alignment_error_is_shown_where_other_settings_have_none(tmp_path):
    """Among the cells with an alignment error the scope does not vary: it distinguishes settings all the same."""

    def value(of):
        return {"exact_match": wobble(of, 0.5)} | ({"aer": 0.25} if of["scope"] == "global" else {})

    frame = frame_of(tmp_path, value, scores=("a",), scope=["none", "global"], model=["rnn", "pointer"])
    found = {one.name: {s.alignment_error for s in one.standings} for one in in_words(frame, "model")}
    assert found == {"copy, none": {None}, "copy, global": {0.25}}


def test_values_that_cannot_be_told_apart_are_named(tmp_path):
    """b and c win half of the seeds each."""

    def value(labels):
        wins = labels["seed"] % 2 == (labels["score"] == "b")
        return {"exact_match": 0.9 if labels["score"] == "a" else 0.6 + 0.1 * wins}

    (one,) = in_words(frame_of(tmp_path, value), "score")
    assert [(s.values, s.than) for s in one.superior] == [(("a",), ("b", "c"))]
    assert one.undecided == (("b", "c"),)
    assert lines([one], "exact_match")[-1] == "  cannot be told apart: b and c"


def test_values_that_are_equal_within_the_margin_are_equivalent(tmp_path):
    (one,) = in_words(frame_of(tmp_path, lambda of: {"exact_match": wobble(of, 0.9, 0.002)}), "score")
    assert one.equivalent == (("a", "b", "c"),)
    assert set(one.equivalent[0]) == {"a", "b", "c"}
    assert not one.undecided
    assert "  equivalent within ±0.02: " in lines([one], "exact_match")[1]


def test_too_few_seeds_say_how_many_could(tmp_path):
    frame = frame_of(tmp_path, lambda of: {"exact_match": {"a": 0.9, "b": 0.5, "c": 0.1}[of["score"]]}, seeds=range(5))
    (one,) = in_words(frame, "score")
    assert one.needed == 7
    assert lines([one], "exact_match")[1:] == ["  too few seeds to tell any of them apart: 7 or more can"]


def test_a_score_that_fails_is_the_worst(tmp_path):
    (one,) = in_words(frame_of(tmp_path, lambda of: None if of["score"] == "a" else {"exact_match": 0.5}), "score")
    assert one.standings[-1].value == "a"
    assert one.standings[-1].mean == 0
    assert [(s.values, s.than) for s in one.superior] == [(("b", "c"), ("a",))]
    assert lines([one], "exact_match")[1] == "  b and c are better than a, by 0.500"


def test_where_lower_is_better_the_lowest_is_the_best(tmp_path):
    frame = frame_of(
        tmp_path, lambda of: {"exact_match": 0.5, "loss": wobble(of, {"a": 3, "b": 2, "c": 1}[of["score"]])}
    )
    (one,) = in_words(frame, "score", "loss")
    assert [s.value for s in one.standings] == ["c", "b", "a"]
    assert one.superior[0].values == ("c",)


def test_every_setting_has_its_own_answer(tmp_path):
    def value(labels):
        good = (labels["score"] == "a") == (labels["task"] == "copy")
        return {"exact_match": wobble(labels, 0.9 if good else 0.2)}

    frame = frame_of(tmp_path, value, scores=("a", "b"), tasks=("copy", "sort"), model__width=[16, 32])
    found = in_words(frame, "score")
    assert [one.name for one in found] == ["copy, width 16", "copy, width 32", "sort, width 16", "sort, width 32"]
    assert [one.superior[0].values for one in found] == [("a",), ("a",), ("b",), ("b",)]


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([], ()),
        (["ab"], ("ab",)),
        (["ab", "bc"], ("ab", "bc")),
        (["ab", "bc", "ac"], ("abc",)),
        (["ab", "ac", "bc", "cd"], ("abc", "cd")),
        (["".join(pair) for pair in itertools.combinations("abcde", 2)], ("abcde",)),
    ],
)
def test_groups_are_the_largest_of_which_every_two_are_a_pair(pairs, expected):
    assert groups("abcde", {tuple(pair) for pair in pairs}) == tuple(tuple(group) for group in expected)


def test_a_setting_names_its_model_once(tmp_path):
    """A grid with the axis model.kind has it in two columns."""
    plan = made_up_run.plan("r", score=["a", "b"], model=["rnn", "ntm"], model__kind=["rnn", "ntm"], seed=[0, 1])
    cells = [cell for cell in plan.cells if cell.labels["model"] == cell.labels["model.kind"]]
    store = made_up_run.write_run(tmp_path, plan, [made_up_run.outcome(cell, exact_match=0.5) for cell in cells])
    frame = store.frame()
    assert [one.name for one in in_words(frame[frame["status"] == "done"], "score")] == ["copy, rnn", "copy, ntm"]
