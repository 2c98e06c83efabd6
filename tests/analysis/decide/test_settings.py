"""Which settings a run has, what is decided in each, and which cells that needs."""

from typing import Any

import pytest

from attnbench.analysis.decide.sequential import Answer
from attnbench.analysis.decide.settings import Rule, needed, settings, settled_cells
from attnbench.store.index import CellSummary

RULE = Rule("score", "exact_match", margin=0.05, at_least=4, at_most=20)


def cells(seeds: int = 20, scores: tuple[str, ...] = ("a", "b"), **axes: list[Any]) -> dict[str, dict[str, Any]]:
    found: list[dict[str, Any]] = [{"model": "rnn", "scope": "global"}]
    for axis, values in ({"task": ["copy"]} | axes | {"score": list(scores)}).items():
        found = [labels | {axis: value} for labels in found for value in values]
    labelled = [labels | {"seed": seed} for labels in found for seed in range(seeds)]
    return {f"{number:04d}": labels for number, labels in enumerate(labelled)}


def ended(
    planned: dict[str, dict[str, Any]], seeds: int, values: dict[str, float | None], metric: str = "exact_match"
) -> dict[str, CellSummary]:
    """Results of the first seeds: constant per score, plus a little that varies; None: the seed failed."""
    found = {}
    for id_, labels in planned.items():
        if labels["seed"] >= seeds:
            continue
        value = values[labels["score"]]
        status = "failed" if value is None else "done"
        metrics = {} if value is None else {metric: value + (labels["seed"] % 3) / 1000}
        found[id_] = CellSummary(status, metrics, None, (), 500, {}, "")
    return found


def test_a_setting_is_a_combination_of_all_axes_but_the_compared_one() -> None:
    planned = cells(task=["copy", "sort"], width=[16, 32])
    found = settings(planned, {}, RULE)
    assert [setting.labels for setting in found] == [
        {"task": task, "width": width} for task in ("copy", "sort") for width in (16, 32)
    ]
    assert all(len(setting.cells) == 2 * 20 for setting in found)


def test_an_axis_that_the_compared_one_determines_does_not_divide() -> None:
    """`none` has no score, and a scope may have a normaliser of its own: both belong to what is compared."""
    planned = cells(scores=("a", "b"))
    for labels in planned.values():
        labels["strength"] = {"a": 1, "b": 2}[labels["score"]]
    (setting,) = settings(planned, {}, RULE)
    assert list(setting.decision.pairs) == [("a", "b")]


def test_before_any_result_every_value_needs_the_first_look() -> None:
    planned = cells(task=["copy", "sort"])
    for setting in settings(planned, {}, RULE):
        assert {planned[id_]["seed"] for id_ in needed([setting], planned, RULE)} == set(
            range(setting.decision.looks[0])
        )
        assert not settled_cells(setting, planned, RULE)


def test_values_that_are_settled_need_no_more_seeds_in_their_setting_alone() -> None:
    planned = cells(task=["copy", "sort"])
    copy = {id_: labels for id_, labels in planned.items() if labels["task"] == "copy"}
    sort = {id_: labels for id_, labels in planned.items() if labels["task"] == "sort"}
    first = settings(planned, {}, RULE)[0].decision.looks[0]
    noisy = {}
    for id_, labels in sort.items():
        if labels["seed"] < first:
            # Each score wins half of the seeds.
            wins = labels["seed"] % 2 == (labels["score"] == "a")
            noisy[id_] = CellSummary("done", {"exact_match": 0.9 if wins else 0.1}, None, (), 500, {}, "")
    found = settings(planned, ended(copy, first, {"a": 0.9, "b": 0.1}) | noisy, RULE)
    assert found[0].decision.pairs["a", "b"].verdict is Answer.BETTER
    assert len(needed([found[0]], planned, RULE)) == 2 * first
    assert settled_cells(found[0], planned, RULE) == set(copy)
    assert found[1].decision.pairs["a", "b"].verdict is Answer.OPEN
    assert len(needed([found[1]], planned, RULE)) == 2 * found[1].decision.looks[1]
    assert not settled_cells(found[1], planned, RULE)


@pytest.mark.parametrize("metric", ["exact_match", "loss", "aer"])
def test_a_failed_seed_has_the_worst_value(metric: str) -> None:
    planned = cells()
    rule = Rule("score", metric, 0.05, 4, 20)
    (setting,) = settings(planned, ended(planned, 20, {"a": 0.4, "b": None}, metric), rule)
    assert setting.decision.pairs["a", "b"].verdict is Answer.BETTER


def test_a_difference_below_two_test_sentences_is_no_difference() -> None:
    planned = cells()
    results = ended(planned, 20, {"a": 0.5, "b": 0.5})
    for id_, labels in planned.items():
        if labels["score"] == "a":
            metrics = {"exact_match": results[id_].metrics["exact_match"] + 0.003}
            results[id_] = CellSummary("done", metrics, None, (), 500, {}, "")
    rule = Rule("score", "exact_match", 0.001, 4, 20)
    (setting,) = settings(planned, results, rule)
    assert setting.decision.pairs["a", "b"].verdict is Answer.UNDECIDED
    finer = {id_: CellSummary("done", one.metrics, None, (), 5000, {}, "") for id_, one in results.items()}
    (setting,) = settings(planned, finer, rule)
    assert setting.decision.pairs["a", "b"].verdict is Answer.BETTER


def test_a_single_value_has_nothing_to_compare_and_gets_the_fewest_seeds() -> None:
    single = cells(scores=("a",), task=["sort"]).values()
    planned = cells() | {f"x{number}": labels for number, labels in enumerate(single)}
    found = settings(planned, {}, RULE)
    assert found[1].decision is None
    assert len(needed([found[1]], planned, RULE)) == RULE.at_least
    assert settled_cells(found[1], planned, RULE) == set(found[1].cells)


def test_more_seeds_change_nothing_that_was_decided() -> None:
    """Neither the value that stands for failed seeds, nor the resolution, depends on later seeds."""
    planned = cells(scores=("a", "b", "c"))
    rule = Rule("score", "loss", 0.05, 12, 20)
    results = ended(planned, 20, {"a": 0.4, "b": 0.9, "c": None}, "loss")
    few = {id_: one for id_, one in results.items() if planned[id_]["seed"] < 12}
    late = max(id_ for id_ in results if planned[id_]["score"] == "b")
    results[late] = CellSummary("done", {"loss": 50.0}, None, (), 3, {}, "")
    before, after = (settings(planned, found, rule)[0].decision for found in (few, results))
    settled = {pair for pair, one in before.pairs.items() if one.verdict is not Answer.OPEN}
    assert settled
    for pair in settled:
        assert after.pairs[pair].verdict is before.pairs[pair].verdict
        assert after.pairs[pair].seeds == before.pairs[pair].seeds
