"""What tuning chose, in words, and how much a metric depends on a tuned field."""

import made_up_run
import pytest

from attnbench.analysis.plots import png
from attnbench.analysis.report.page import report
from attnbench.analysis.sensitivity_plot import sensitivity_plot
from attnbench.analysis.tuning import chosen_notes, sensitivity
from attnbench.grid.plan import Plan, PlannedCell
from attnbench.grid.tune import Tuned
from attnbench.store.store import Store

RATES = (0.001, 0.01)


@pytest.fixture
def store(tmp_path) -> Store:
    """Two scores on two tasks; dot is better with the first rate, additive with the second one; one cell failed."""
    plan = made_up_run.plan("r", score=["dot", "additive"], task=["copy", "sort"])
    tuning, tuned = [], []
    for cell in plan.cells:
        best = 0 if cell.labels["score"] == "dot" else 1
        ids = []
        for candidate, rate in enumerate(RATES):
            made = [
                PlannedCell(
                    f"{cell.id[-3:]}{candidate}{seed}",
                    cell.cell.model_copy(update={"tuning": True, "seed": 1_000_000 + seed}),
                    cell.labels | {"train.learning_rate": rate, "seed": 1_000_000 + seed},
                )
                for seed in range(2)
            ]
            tuning += made
            ids.append(tuple(one.id for one in made))
        candidates = tuple({"train.learning_rate": rate} for rate in RATES)
        tuned.append(Tuned(cell.labels, candidates, tuple(ids), best))
    store = Store(tmp_path / "r")
    store.start(Plan("r", plan.axes, plan.cells, [], tuning, tuned), "name: r\n")
    for number, cell in enumerate(tuning):
        good = (cell.labels["train.learning_rate"] == RATES[0]) == (cell.labels["score"] == "dot")
        value = (0.8 if good else 0.4) + (0.1 if cell.cell.seed % 2 else 0.0)
        outcome = made_up_run.outcome(cell, exact_match=value, loss=1 - value)
        store.write_pack([made_up_run.failed(cell) if number == 3 else outcome], [cell], {})
    for cell in plan.cells:
        store.write_pack([made_up_run.outcome(cell, exact_match=0.9)], [cell], {})
    return store


def test_the_choice_is_named_for_each_combination(store):
    assert chosen_notes(store.plan()) == [
        "train.learning_rate, chosen on validation among 2 candidates with 2 seeds each: "
        "0.01 for additive · copy, additive · sort; 0.001 for dot · copy, dot · sort"
    ]


def test_the_most_common_choice_of_many_is_that_of_all_others(store):
    plan = store.plan()
    plan["tuned"] *= 2  # more combinations
    for number, one in enumerate(plan["tuned"]):
        one = plan["tuned"][number] = {**one, "labels": one["labels"] | {"score": f"s{number}"}}
        one["chosen"] = int(number == 2)
    assert chosen_notes(plan)[0].endswith("0.01 for s2 · copy; 0.001 for all others")


def test_one_choice_for_all_is_said_once(store):
    plan = store.plan()
    for one in plan["tuned"]:
        one["chosen"] = 1
    assert chosen_notes(plan)[0].endswith("with 2 seeds each: 0.01 for all")
    for one in plan["tuned"]:
        one["chosen"] = None
    assert chosen_notes(plan) == []


def test_curves_have_the_mean_over_the_seeds_that_are_done(store):
    curves = sensitivity(store)["train.learning_rate", "exact_match"]
    assert [curve.labels["score"] for curve in curves] == ["dot", "dot", "additive", "additive"]
    # The second seed of the first curve's second candidate failed.
    assert curves[0].points == {0.001: pytest.approx(0.85), 0.01: pytest.approx(0.4)}
    assert curves[2].points == {0.001: pytest.approx(0.45), 0.01: pytest.approx(0.85)}
    assert [curve.chosen for curve in curves] == [0.001, 0.001, 0.01, 0.01]
    losses = sensitivity(store)["train.learning_rate", "loss"]
    assert losses[1].points == {0.001: pytest.approx(0.15), 0.01: pytest.approx(0.55)}


def test_a_run_without_tuning_has_no_curves(tmp_path):
    store = Store(tmp_path / "plain")
    store.start(made_up_run.plan("plain"), "")
    assert sensitivity(store) == {}


def test_the_picture_has_a_panel_per_task_and_a_line_per_combination(store):
    curves = sensitivity(store)["train.learning_rate", "exact_match"]
    figure = sensitivity_plot("train.learning_rate", "exact_match", curves)
    panels = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title() for axes in panels] == ["copy", "sort"]
    for axes in panels:
        assert axes.get_xscale() == "log"
        drawn = {line.get_label(): line for line in axes.get_lines()}
        assert list(drawn["dot"].get_xdata()) == [0.001, 0.01]
        assert list(drawn["additive"].get_ydata()) == [pytest.approx(0.45), pytest.approx(0.85)]
    assert png(figure).startswith(b"\x89PNG")


def test_values_that_are_no_numbers_are_drawn_in_their_order(store):
    plan = store.plan()
    assert plan["tuned"]
    curves = sensitivity(store)["train.learning_rate", "exact_match"]
    named = [
        type(curve)(curve.labels, dict(zip(("gru", "lstm"), curve.points.values(), strict=True)), "lstm")
        for curve in curves
    ]
    axes = sensitivity_plot("model.cell", "loss", named).axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["gru", "lstm"]


def test_the_report_has_the_choice_and_the_charts(store):
    page = report(store)
    assert "0.001 for dot · copy" in page  # in the section on tuning
    assert "Exact match against train.learning_rate" in page
    assert "Loss against train.learning_rate" in page
    assert "(chosen)" in page
    assert page.count("1000000") == 0
