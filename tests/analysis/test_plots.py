"""The plots, tested by the pixels and texts of the images."""

import made_up_run
import numpy as np
import pandas as pd
import pytest
from matplotlib import rc_context

from attnbench.analysis.alignment_painter import AlignmentPainter
from attnbench.analysis.plots import (
    Panel,
    accuracy_heatmap,
    alignment_panels,
    by_setting,
    png,
)
from attnbench.store.store import Store

WORDS = ["a", "b", "c"]
DARK, PALE, ORANGE = np.array([8, 48, 107]), np.array([247, 251, 255]), np.array([255, 149, 0])
GREY = np.array([228, 228, 228])


def alignment_image(weights, source, target, links, title=""):
    return AlignmentPainter(source, target, links).paint(weights, title)


def near(picture: np.ndarray, colour: np.ndarray, by: int = 3) -> np.ndarray:
    """Which pixels of a picture (H,W,3) have nearly the colour."""
    return (np.abs(picture.astype(int) - colour) <= by).all(axis=2)


def weights_area(picture: np.ndarray) -> np.ndarray:
    """The part of the picture left of its colour scale."""
    return picture[:, : picture.shape[1] - 50]


def test_source_runs_across_and_target_down() -> None:
    weights = np.zeros((3, 3))
    weights[0, 2] = 1
    rows, columns = np.nonzero(near(weights_area(alignment_image(weights, WORDS, WORDS, None)), DARK))
    pale_rows, pale_columns = np.nonzero(near(weights_area(alignment_image(weights, WORDS, WORDS, None)), GREY))
    assert rows.mean() < pale_rows.mean()
    assert columns.mean() > pale_columns.mean()


@pytest.mark.parametrize(("value", "colour"), [(1.0, DARK), (1e-9, PALE), (0.0, GREY)])
def test_the_scale_is_fixed_whatever_the_weights(value: float, colour: np.ndarray) -> None:
    picture = weights_area(alignment_image(np.full((3, 3), value), WORDS, WORDS, None))
    assert near(picture, colour).sum() > 3000
    half = weights_area(alignment_image(np.full((3, 3), 0.5), WORDS, WORDS, None))
    assert near(half, colour).sum() < 100


def test_gold_links_are_outlined_at_their_positions() -> None:
    links = np.zeros((3, 3), bool)
    links[2, 0] = True
    with_gold = alignment_image(np.zeros((3, 3)), WORDS, WORDS, links)
    without = alignment_image(np.zeros((3, 3)), WORDS, WORDS, None)
    rows, columns = np.nonzero((with_gold != without).any(axis=2))
    assert near(with_gold, ORANGE, 40).sum() > 30
    assert not near(without, ORANGE, 40).any()
    assert np.ptp(rows) < 40
    middle = np.argwhere(near(weights_area(without), GREY)).mean(axis=0)
    assert rows.mean() > middle[0]
    assert columns.mean() < middle[1]


def test_words_are_drawn_in_full_at_any_length() -> None:
    for count in (1, 3, 11, 21, 60):
        words = [f"word{i}" for i in range(count)]
        picture = alignment_image(np.eye(count), words, words, np.eye(count, dtype=bool), "a title")
        border = np.concatenate([picture[:2].ravel(), picture[-2:].ravel(), picture[:, :2].ravel()])
        assert (border == 255).all(), "something reaches the edge of the picture"
        ink = (picture < 90).all(axis=2)
        assert ink[:, :30].any(), "no target words"


def test_painting_again_leaves_no_trace_of_the_previous_image() -> None:
    painter = AlignmentPainter(WORDS, WORDS, np.eye(3, dtype=bool))
    first = painter.paint(np.eye(3), "first")
    painter.paint(np.ones((3, 3)), "a much longer second title")
    assert (painter.paint(np.eye(3), "first") == first).all()
    assert (alignment_image(np.eye(3), WORDS, WORDS, np.eye(3, dtype=bool), "first") == first).all()


def test_weights_of_another_sentence_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3, 3\) expected, found \(2, 3\)"):
        AlignmentPainter(WORDS, WORDS, None).paint(np.zeros((2, 3)))


def test_panels_show_exact_zeros_apart_from_small_weights() -> None:
    weights = np.array([[1.0, 0.0], [1e-12, 1 - 1e-12]])
    (axes, bar) = alignment_panels({("dot", "copy"): Panel(weights, ["a", "b"], ["a", "b"])}).axes
    (image,) = axes.images
    colours = (image.cmap(image.norm(image.get_array())) * 255).round()[..., :3]
    assert (colours[0, 1] == GREY).all()
    assert (colours[1, 0] == PALE).all()
    assert [text.get_text() for text in bar.texts] == ["0"]


def test_a_table_of_accuracies_has_no_colour_of_its_own_for_0(tmp_path_factory: pytest.TempPathFactory) -> None:
    axes = accuracy_heatmap(frame(tmp_path_factory, score=["dot", "general"])).axes[0]
    (image,) = axes.images
    colours = (image.cmap(image.norm(image.get_array())) * 255).round()[..., :3]
    assert (colours.reshape(-1, 3)[0] == PALE).all(), "the first accuracy is 0"


def test_panels_have_rows_of_scores_and_columns_of_tasks() -> None:
    panel = Panel(np.eye(3), WORDS, WORDS, np.eye(3, dtype=bool))
    items = {("dot", "copy"): panel, ("dot", "sort"): panel, ("additive", "copy"): panel}
    figure = alignment_panels(items)
    panels = figure.axes[:4]
    assert [axes.get_title() for axes in panels] == ["copy", "sort", "", ""]
    assert [axes.get_ylabel() for axes in panels] == ["dot", "", "additive", ""]
    assert [len(axes.images) for axes in panels] == [1, 1, 1, 0]
    assert {axes.images[0].get_clim() for axes in panels[:3]} == {(0, 1)}
    assert panels[3].texts[0].get_text() == "–"
    assert [len(axes.get_xticks()) for axes in panels[:3]] == [3, 3, 0], "words again where they are the same"
    assert png(figure).startswith(b"\x89PNG")


def frame(tmp_path_factory: pytest.TempPathFactory, **axes: list[object]) -> pd.DataFrame:
    plan = made_up_run.plan(**axes)
    store = Store(tmp_path_factory.mktemp("run"))
    store.start(plan, "")
    for number, planned in enumerate(plan.cells):
        store.write_pack([made_up_run.outcome(planned, exact_match=number / len(plan.cells))], [planned], {})
    return store.frame()


def test_accuracy_is_only_averaged_over_seeds(tmp_path_factory: pytest.TempPathFactory) -> None:
    rows = frame(tmp_path_factory, score=["dot", "additive"], task=["sort", "copy"], model__width=[32, 64], seed=[0, 1])
    figure = accuracy_heatmap(rows)
    panels = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in panels] == ["global · model.width 32", "global · model.width 64"]
    # Each cell is 1/16 more than the cell before it; seeds vary fastest, then widths, tasks and scores.
    expected = np.array([[0.5, 4.5], [8.5, 12.5]]) / 16
    assert np.allclose(panels[0].images[0].get_array(), expected)
    assert np.allclose(panels[1].images[0].get_array(), expected + 2 / 16)
    assert [text.get_text() for text in panels[0].get_yticklabels()] == ["dot", "additive"]
    assert [text.get_text() for text in panels[0].get_xticklabels()] == ["sort", "copy"]
    assert panels[0].images[0].get_clim() == (0, 1)


@pytest.mark.parametrize("axis", ["score", "task", "model__width"])
def test_labels_of_the_heat_map_are_drawn_literally(axis: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """As mathematics, the first two could not be parsed, and matplotlib would warn of the third: it has no font."""
    rows = frame(tmp_path_factory, **{"score": ["dot"], axis: ["$\\alpha_$", "x $\\frac{$", "a\u0378_b^c"]})
    assert png(accuracy_heatmap(rows)).startswith(b"\x89PNG")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_labels_of_panels_are_drawn_literally(place: int) -> None:
    for label in ("$\\alpha_$", "x $\\frac{$", "a\u0378_b^c"):
        row, column, title = [label if n == place else "dot" for n in range(3)]
        figure = alignment_panels({(row, column): Panel(np.eye(3), WORDS, WORDS)}, title)
        assert png(figure).startswith(b"\x89PNG")


def test_a_score_without_results_is_a_dash(tmp_path_factory: pytest.TempPathFactory) -> None:
    rows = frame(tmp_path_factory, score=["dot", "additive"], task=["sort", "copy"])
    rows.loc[1, "exact_match"] = None
    texts = [text.get_text() for axes in accuracy_heatmap(rows).axes for text in axes.texts]
    assert texts == ["0.00", "–", "0.50", "0.75"]


def test_a_setting_is_named_by_what_varies(tmp_path_factory: pytest.TempPathFactory) -> None:
    rows = frame(tmp_path_factory, scope=["global", "local-m"], train__steps=[100, 200])
    assert [name for name, _ in by_setting(rows)] == [
        "global · train.steps 100",
        "global · train.steps 200",
        "local-m · train.steps 100",
        "local-m · train.steps 200",
    ]
    assert [name for name, _ in by_setting(rows[rows["train.steps"] == 100])] == ["global", "local-m"]


def test_the_users_matplotlibrc_has_no_influence(tmp_path_factory: pytest.TempPathFactory) -> None:
    panel = Panel(np.eye(2), ("a", "b"), ("c", "d"), np.eye(2, dtype=bool))
    rows = frame(tmp_path_factory, score=["dot", "additive"], task=["sort", "copy"])

    def pictures() -> list[bytes]:
        painted = AlignmentPainter(panel.source, panel.target, panel.links).paint(panel.weights, "title")
        return [painted.tobytes(), png(alignment_panels({("dot", "copy"): panel})), png(accuracy_heatmap(rows))]

    usual = pictures()
    with rc_context({"text.usetex": True, "savefig.bbox": "tight", "font.size": 40, "xtick.labelsize": 40}):
        assert pictures() == usual
