"""Images with attention: the layout of their panels, as pictures and in the terminal."""

from dataclasses import replace

import made_up_run
import numpy as np
import pytest

from attnbench.analysis.colours import shades_of
from attnbench.analysis.plots import DPI, Panel, alignment_panels, png
from attnbench.analysis.report.alignments import longest_sentence, panel_of
from attnbench.analysis.scene_axes import INK, picture_of
from attnbench.analysis.scene_layout import INK_ON_WEIGHTS, Layout
from attnbench.analysis.scene_map import scene_map
from attnbench.analysis.scene_plots import ScenePainter
from attnbench.tasks.base import PATCH

ORANGE = np.array([0xFF, 0x95, 0x00])


def panel(n: int = 0) -> Panel:
    return panel_of(made_up_run.scenes(3), n)


def near(picture: np.ndarray, colour: np.ndarray, by: int = 8) -> np.ndarray:
    return np.asarray((abs(picture.astype(int) - colour) <= by).all(axis=-1))


def test_every_patch_has_one_place_and_panels_do_not_overlap() -> None:
    layout = Layout(rows=2, columns=3, words=5, across=4)
    places = {layout.place(word, patch) for word in range(5) for patch in range(6)}
    image = {(layout.corner(0)[0] + row, layout.corner(0)[1] + column) for row in range(2) for column in range(3)}
    assert len(places | image) == 6 * 6
    assert all(0 <= top < layout.height and 0 <= left < layout.width for top, left in places)
    weights = np.arange(1.0, 31).reshape(5, 6)
    placed = layout.weights(weights)
    assert placed.shape == layout.size
    for (word, patch), weight in np.ndenumerate(weights):
        assert placed[layout.place(word, patch)] == weight
    assert np.isfinite(placed).sum() == weights.size


def test_panels_of_few_words_are_in_one_row() -> None:
    assert Layout.of(np.zeros((16, 24)), words=2).size == (2 + 2, 3 * 3 + 2)


def test_a_picture_has_the_image_and_the_colour_of_every_weight_below_the_ink() -> None:
    given = panel()
    layout = Layout.of(given.image, 3)
    picture = picture_of(given.weights, given.image, layout)

    def pixel(place: tuple[int, int], down: int, along: int) -> list[int]:
        return picture[place[0] * PATCH + down, place[1] * PATCH + along].tolist()

    for (word, patch), weight in np.ndenumerate(given.weights):
        assert pixel(layout.place(word, patch), 0, 0) == shades_of(weight).tolist(), "a corner without ink"
    bright = shades_of(np.array(0.8))[:3] * (1 - INK_ON_WEIGHTS) + INK * INK_ON_WEIGHTS
    assert pixel(layout.place(0, 0), 3, 3)[:3] == bright.round().tolist()
    image = picture[layout.corner(0)[0] * PATCH :, : 3 * PATCH, :3][:16]
    assert (image == 255 * (1 - given.image[..., None])).all(), "the first panel is the image, black on white"
    assert picture[0, 0, 3] == 0, "nothing outside of the panels"


def test_a_weight_has_the_same_colour_whatever_else_is_in_the_picture() -> None:
    image, layout = np.zeros((16, 24)), Layout(2, 3, 1, 2)
    half, full = (picture_of(np.array([[0.5, *rest]]), image, layout) for rest in ([0.0] * 5, [0.1, 0.3, 1, 0, 0]))
    top, left = (PATCH * side for side in layout.place(0, 0))
    assert (half[top, left] == full[top, left]).all()


def test_gold_patches_are_outlined_and_possible_ones_with_less() -> None:
    def orange(**links: np.ndarray | None) -> np.ndarray:
        given = panel()
        one = Panel(given.weights, given.source, given.target, image=given.image, **links)
        return near(ScenePainter(one).paint(given.weights), ORANGE, 60)

    links, possible = panel().links, panel().possible
    assert links is not None
    none, gold, both = orange(), orange(links=links), orange(links=links, possible=possible)
    assert not none.any()
    assert (both & gold == gold).all()
    assert 0 < (both & ~gold).sum() < gold.sum()
    moved = orange(links=np.roll(links, 1, axis=1))
    assert moved.any()
    assert (moved != gold).any()


def test_a_painter_leaves_no_trace_of_the_previous_picture() -> None:
    given = panel()
    painter = ScenePainter(given)
    first = painter.paint(given.weights, "first")
    assert (painter.paint(np.ones((3, 6)), "a much longer second title") != first).any()
    assert (painter.paint(given.weights, "first") == first).all()
    border = np.concatenate([first[:2].ravel(), first[-2:].ravel(), first[:, :2].ravel(), first[:, -2:].ravel()])
    assert (border == 255).all(), "something reaches the edge"
    with pytest.raises(ValueError, match=r"\(3, 6\) expected, found \(2, 6\)"):
        painter.paint(np.zeros((2, 6)))


def test_panels_of_images_and_of_sentences_may_be_in_one_figure() -> None:
    words = ["a", "b"]
    items = {("dot", "caption"): panel(), ("dot", "copy"): Panel(np.eye(2), words, words)}
    figure = alignment_panels(items)
    scene, text = figure.axes[:2]
    assert [label.get_text() for label in scene.texts] == ["7", "2", "</s>"]
    assert (len(scene.get_xticks()), len(text.get_xticks())) == (0, 2)
    assert png(figure).startswith(b"\x89PNG")
    assert alignment_panels({("dot", "copy"): items["dot", "copy"]}).get_figwidth() * DPI < figure.get_figwidth() * DPI


def test_a_long_word_is_cut_off_and_its_letters_stay_readable() -> None:
    """One of 100,000 letters had no size at all, of which matplotlib warned."""
    panel = panel_of(made_up_run.scenes(), 0)
    long = replace(panel, target=["x" * 100_000, *panel.target[1:]])
    figure = alignment_panels({("dot", "caption"): long})
    png(figure)
    written = next(text for text in figure.axes[0].texts if text.get_text().startswith("xx"))
    assert written.get_text() == "x" * 11 + "…"
    assert written.get_fontsize() > 4


def test_of_images_the_one_with_the_most_words_is_shown_without_padding() -> None:
    made = made_up_run.scenes(3)
    assert longest_sentence(made).target == ["7", "2", "</s>"]
    last = panel_of(made, 2)
    assert (last.weights.shape, last.links.shape, last.possible.shape) == ((2, 6),) * 3
    assert (last.image == made.images[2]).all()


def drawing(n: int = 0, width: int = 80, colour: bool = False, links: bool = True) -> list[str]:
    one = panel(n)
    text = scene_map(
        one.image,
        one.weights,
        one.target,
        one.links if links else None,
        one.possible if links else None,
        colour,
        width,
    )
    return text.plain.splitlines()


def test_in_the_terminal_brackets_mark_gold_patches_and_parentheses_possible_ones() -> None:
    lines = drawing()
    assert [line[28:39] for line in lines[:3]] == ["     7     ", "│[8](2)   │", "│         │"]
    assert [line[41:52] for line in lines[:3]] == ["     2     ", "│         │", "│[8](2)   │"]
    assert [line[54:65] for line in lines[:3]] == ["   </s>    ", "│ 1  1  1 │", "│ 1  1  1 │"]
    assert not set("[]()") & set("".join(drawing(links=False)))


def test_in_colour_gold_and_possible_patches_have_marks() -> None:
    lines = drawing(colour=True)
    assert "│ ◆  •    │" in lines[1]
    assert lines[0].startswith("│▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀▀│")


def test_the_image_is_drawn_in_shades() -> None:
    lines = [line[1:25] for line in drawing()]
    bright = [(row, column) for row, line in enumerate(lines) for column, shade in enumerate(line) if shade == "█"]
    # Pixels 2 to 5 down and 3 to 4 along of the patches 0 and 3; a line is two pixels high.
    assert bright == [(row, column) for row in (1, 2, 5, 6) for column in (3, 4)]


@pytest.mark.parametrize("width", [30, 50, 80, 140])
@pytest.mark.parametrize("colour", [True, False])
def test_a_drawing_fits_the_terminal_and_has_every_panel(width: int, colour: bool) -> None:
    image = np.random.default_rng(0).random((40, 40))
    words = [str(n) for n in range(10, 19)]
    weights = np.full((9, 25), 0.04)
    lines = scene_map(image, weights, words, None, None, colour, width).plain.splitlines()
    assert max(map(len, lines)) <= width
    assert [word for line in lines for word in line.split() if word in words] == words
    assert sum(line.count(" · ") for line in lines) == weights.size


def test_a_large_image_is_reduced() -> None:
    image = np.zeros((160, 160))
    image[:80, 80:] = 1
    lines = scene_map(image, np.full((1, 400), 1 / 400), ["x"], None, None, False, 80).plain.splitlines()
    assert lines[0] == "│" + " " * 20 + "█" * 20 + "│"
    assert lines[19] == "│" + " " * 40 + "│"


@pytest.mark.parametrize("colour", [True, False])
def test_an_image_of_many_patches_has_one_column_per_patch(colour: bool) -> None:
    links = np.eye(1, 28 * 28, dtype=bool)
    weights = np.full((1, 28 * 28), 0.25)
    lines = scene_map(np.zeros((224, 224)), weights, ["x"], links, links, colour, 80).plain.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].endswith("│" + ("◆" + " " * 27 if colour else "2" * 28) + "│")
