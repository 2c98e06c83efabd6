"""What is logged to MLflow: overviews as figures, and the saved view."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import made_up_run
import numpy as np
import pytest

from attnbench.tracking.content import (
    MAX_DESCRIPTION,
    overview_files,
    overview_pictures,
    saved_view,
    series_points,
)


def test_an_overview_of_images_has_the_words_of_each(tmp_path: Path) -> None:
    plan = made_up_run.plan(score=["dot", "additive"], task=["caption"])
    outcomes = [
        replace(made_up_run.outcome(planned, exact_match=0.5), alignments=made_up_run.scenes())
        for planned in plan.cells
    ]
    store = made_up_run.write_run(tmp_path, plan, outcomes)
    figure = dict(overview_pictures(store.frame(), store.folder))["alignments_global.png"]()
    assert figure is not None
    shown = [[text.get_text() for text in axes.texts] for axes in figure.axes if axes.images]
    assert shown == [["7", "2", "</s>"]] * 2


def test_a_cell_without_an_alignment_leaves_its_panel_out(tmp_path: Path) -> None:
    plan = made_up_run.plan(score=["dot", "additive"], scope=["self"])
    with_one = [
        replace(made_up_run.outcome(planned, exact_match=0.5), alignments=made_up_run.diagonal(["a"], heads=heads))
        for planned, heads in zip(plan.cells, (2, 0), strict=True)
    ]
    without = [replace(outcome, alignments=None) for outcome in with_one]
    for outcomes, expected in (
        (with_one, {"alignments_self.png": 2}),
        ([without[0], with_one[1]], {"alignments_self.png": 1}),
        (without, {}),
    ):
        store = made_up_run.write_run(tmp_path, plan, outcomes)
        drawn = {name: draw() for name, draw in overview_pictures(store.frame(), store.folder)}
        pictures = {name: figure for name, figure in drawn.items() if figure is not None}
        assert "exact_match.png" in pictures
        shown = {name: sum(bool(axes.images) for axes in figure.axes) for name, figure in pictures.items()}
        assert {name: count for name, count in shown.items() if name != "exact_match.png"} == expected


def test_accuracy_against_length_needs_two_lengths(tmp_path: Path) -> None:
    plan = made_up_run.plan(score=["dot"])
    for lengths, expected in (
        ({"exact_match_at_9": 0.5}, False),
        ({"exact_match_at_9": 0.5, "exact_match_at_20": 0.25}, True),
    ):
        outcomes = [made_up_run.outcome(planned, exact_match=0.5, **lengths) for planned in plan.cells]
        store = made_up_run.write_run(tmp_path, plan, outcomes)
        page = dict(overview_files(store.frame(), store.folder))["exact_match_by_length.html"]()
        assert (page is not None) is expected
    assert page is not None
    page = page.decode()
    assert "0.500 at 9" in page
    assert "0.250 at 20" in page
    assert 'class="shade"' in page, "the trained lengths"
    assert ".shade" in page, "its style"


def view_of(tmp_path: Path, **metrics: float) -> dict[str, Any]:
    plan = made_up_run.plan(score=["dot"])
    outcomes = [made_up_run.outcome(planned, **metrics) for planned in plan.cells]
    state: dict[str, Any] = json.loads(
        json.loads(saved_view(made_up_run.write_run(tmp_path, plan, outcomes).frame(), 700))["state"]
    )
    return state


def test_a_view_has_the_metrics_that_there_are_under_their_names_in_mlflow(tmp_path: Path) -> None:
    columns = view_of(tmp_path, exact_match=0.5, loss=1.0, exact_match_at_9=0.25)["selectedColumns"]
    assert columns == ["metrics.`exact_match`", "metrics.`loss`", "metrics.`exact_match_at_9`"]


def test_a_view_begins_with_alignments_only_if_there_are_some(tmp_path: Path) -> None:
    (chart,) = view_of(tmp_path, exact_match=0.5, alignment_entropy=0.5)["compareRunCharts"]
    assert (chart["imageKeys"], chart["step"]) == (["alignment"], 700)
    assert "compareRunCharts" not in view_of(tmp_path, exact_match=0.5)


def test_a_view_of_many_lengths_fits_into_a_tag(tmp_path: Path) -> None:
    lengths = {f"exact_match_at_{length}": 0.5 for length in range(9, 300)}
    assert len(json.dumps(view_of(tmp_path, alignment_entropy=0.5, **lengths))) < MAX_DESCRIPTION / 2


def test_time_passes_evenly_between_validations() -> None:
    losses = [{"step": step, "train/loss": 1.0} for step in (10, 20, 30)]
    history = [*losses[:2], losses[2] | {"seconds": 3.0}, {"step": 40, "train/loss": 1.0}]
    times = [at for name, _, at, _ in series_points(history, 5000) if name == "train/loss"]
    assert times == [6000, 7000, 8000, 8000]
    assert [at for _, _, at, _ in series_points(losses, 5000)] == [5000] * 3


def test_the_times_of_a_long_history_are_computed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    interp = np.interp
    monkeypatch.setattr(np, "interp", lambda *arguments: calls.append(1) or interp(*arguments))
    history = [{"step": step, "train/loss": 1.0, "seconds": float(step)} for step in range(1, 100)]
    assert len(list(series_points(history, 0))) == 198
    assert len(calls) == 1
