"""Decisions as sentences and as records."""

import made_up_run
import pytest

import attnbench
from attnbench.analysis.decide.of_run import decisions_of
from attnbench.analysis.decide.wording import progress, records, sentences
from attnbench.analysis.report.page import report
from attnbench.store.store import Store

RULE = {"axis": "score", "metric": "exact_match", "margin": 0.05, "at_least": 2, "at_most": 20}


@pytest.fixture
def store(tmp_path) -> Store:
    """a is better than all, b and c are equivalent, b and d (and c and d) win half of the seeds each."""
    plan = made_up_run.plan("r", score=["a", "b", "c", "d"], seed=range(20))
    store = Store(tmp_path / "r")
    store.start(plan, "name: r\n", decide=RULE)
    for cell in plan.cells:
        score, seed = cell.labels["score"], cell.labels["seed"]
        value = {"a": 0.9, "b": 0.5, "c": 0.5 + seed % 2 / 1000, "d": 0.2 + 0.6 * (seed // 2 % 2)}[score]
        store.write_pack([made_up_run.outcome(cell, exact_match=value)], [cell], {})
    return store


def test_each_pair_is_in_one_sentence_with_its_difference_and_seeds(store):
    rule, found = decisions_of(store)
    first, *rest = sentences(rule, found)
    assert first.startswith("copy: a is better than b (+0.400, 10 seeds), c (+0.4")
    assert any(line.startswith("copy: equivalent: b and c (10 seeds)") for line in rest)
    undecided = next(line for line in rest if "undecided" in line)
    assert "b and d (20 seeds; could have shown a difference of 0." in undecided
    assert "c and d (20 seeds; could have shown a difference of 0." in undecided
    assert any(
        "at most 20. An error in any pair of a setting has a probability of at most 5 %" in line for line in rest
    )
    assert any("Equivalent: within ±0.05; failures in fewer than 26% of the seeds are not excluded." in x for x in rest)


def test_progress_counts_pairs_by_the_look_that_settled_them(store):
    _, found = decisions_of(store)
    (line,) = progress(found)
    assert line.startswith("copy: 4 of 6 pairs settled (")
    assert "at 10 seeds" in line
    assert line.endswith("; undecided: b and d, c and d")


def test_records_have_a_row_per_pair(store):
    rule, found = decisions_of(store)
    rows = records(rule, found)
    assert [(row["a"], row["b"]) for row in rows] == [*map(tuple, ("ab", "ac", "ad", "bc", "bd", "cd"))]
    assert rows[0]["verdict"] == "better"
    assert rows[0]["difference"] == pytest.approx(0.4)
    assert rows[0]["task"] == "copy"
    assert rows[3]["verdict"] == "equivalent"
    assert rows[4]["verdict"] == "undecided"
    assert rows[4]["smallest"] > 0.05


def test_a_run_with_a_fixed_number_of_seeds_decides_nothing(tmp_path):
    store = Store(tmp_path / "plain")
    store.start(made_up_run.plan("plain"), "")
    assert decisions_of(store) is None


def test_report_table_and_compare_have_the_decisions_and_no_other_test(store):
    run = attnbench.load("r", store.folder.parent)
    page = report(store)
    assert "a is better than b (+0.400, 10 seeds)" in page
    assert "sign-flip test over shared seeds" not in page
    assert "a is better than b (+0.400, 10 seeds)" in run.table().text


def test_a_failed_plan_file_is_refused(store):
    (store.folder / "plan.json").write_text((store.folder / "plan.json").read_text().replace("0.05", "0.0"))
    with pytest.raises(attnbench.AttnbenchError, match="cannot be read"):
        decisions_of(store)
