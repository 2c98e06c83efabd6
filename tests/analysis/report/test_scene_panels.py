"""The alignments of images in the report."""

import base64
import dataclasses
import io

import made_up_run
import numpy as np
import pytest
from html_page import parse
from matplotlib.image import imread

from attnbench.analysis.report.alignments import panel_of
from attnbench.analysis.report.page import report
from attnbench.analysis.report.panel import description, frame
from attnbench.analysis.report.scene_panel import PATCH_WIDTH
from attnbench.analysis.report.sheets import sheet_of
from attnbench.analysis.scene_layout import Layout
from attnbench.outcome import NO_LINKS
from attnbench.tasks.base import PATCH

LAYOUT = Layout(rows=2, columns=3, words=3, across=4)


def pixels(address):
    """The image (H,W,4) of a data URL: red, green, blue and opacity from 0 to 1."""
    found = imread(io.BytesIO(base64.b64decode(address.removeprefix("data:image/png;base64,"))))
    return found if found.shape[2] == 4 else np.concatenate([found, np.ones((*found.shape[:2], 1))], axis=2)


def test_the_picture_of_an_image_has_its_panels_where_the_frame_has_them():
    made = made_up_run.scenes(heads=2)
    sheet = sheet_of(made, first=0, whole=True)
    picture = pixels(parse(sheet.picture).one("image")["href"])
    # Two images and two steps, each with the mean before the two heads; the second image has one word less.
    heights = [4] * 3 + [4] * 3 + [4] * 6
    assert picture.shape[:2] == (sum(heights), LAYOUT.width)
    first = picture[: LAYOUT.height]
    shown = np.isfinite(LAYOUT.weights(np.zeros((3, 6))))
    assert (first[..., 3] == shown).all(), "transparent between the panels"
    darkness = 3 - first[..., :3].sum(axis=-1)
    for (word, patch), weight in np.ndenumerate(made.weights[0]):
        if weight == 0.8:
            assert darkness[LAYOUT.place(word, patch)] == max(darkness[shown])
    assert sheet.correct[:3] == (2, 2, 2)
    assert (len(sheet.sentences), sheet.steps) == (2, (100, 200))


def box_of(path):
    """The places, in patches, of the squares of an SVG path."""
    places = [part.split("h")[0].split() for part in path["d"].split("M")[1:]]
    return {(int(float(y) // PATCH_WIDTH), int(float(x) // PATCH_WIDTH)) for x, y in places}


def test_a_frame_has_the_image_words_and_links():
    made = made_up_run.scenes()
    drawn = parse(frame(sheet_of(made, first=0, whole=True).sentences[0], "f0"))
    assert [text.text for text in drawn.all("text")] == ["7", "2", "</s>"]
    assert len(drawn.all("rect")) == 4
    gold, possible = drawn.all("path")
    assert box_of(gold) == {LAYOUT.place(0, 0), LAYOUT.place(1, 3)}
    assert possible["class"] == "gold possible"
    assert box_of(possible) == {LAYOUT.place(0, 1), LAYOUT.place(1, 4)}
    ink = pixels(drawn.one("image", class_="ink")["href"])[..., 3]
    top, left = (PATCH * side for side in LAYOUT.corner(0))
    np.testing.assert_allclose(ink[top : top + 16, left : left + 24], made.images[0], atol=1 / 255)
    group = drawn.one("g", id="f0")
    assert group["data-box"].split()[6:] == [str(LAYOUT.width), str(LAYOUT.height)]
    assert group["data-linked"] == "2"


def test_the_description_names_patches():
    text = description(panel_of(made_up_run.scenes(), 0))
    assert text.startswith("2 of 2 target words with gold links have their largest weight on one; ")
    assert "largest weight of each target word, on the patch in row,column: 7 → 1,1 0.80, 2 → 2,1 0.80" in text


def page_of(tmp_path, **tasks):
    grid = made_up_run.plan(score=["dot"], task=list(tasks))
    outcomes = [
        dataclasses.replace(made_up_run.outcome(cell, exact_match=0.5), alignments=tasks[cell.labels["task"]])
        for cell in grid.cells
    ]
    return parse(report(made_up_run.write_run(tmp_path, grid, outcomes))).one("section", id="alignments")


@pytest.mark.parametrize(
    ("tasks", "words", "images"),
    [
        ({"caption": made_up_run.scenes()}, False, True),
        ({"copy": made_up_run.diagonal(["a"])}, True, False),
        ({"caption": made_up_run.scenes(), "copy": made_up_run.diagonal(["a"])}, True, True),
    ],
)
def test_the_note_explains_the_panels_that_there_are(tmp_path, tasks, words, images):
    section = page_of(tmp_path, **tasks)
    note = section.all("p")[0].text
    assert ("source words across" in note) is words
    assert ("only possible are dashed" in note) is images
    kinds = ["sentence"] * words + ["image"] * images
    assert f"Other {' and '.join(f'{kind}s' for kind in kinds)}, seeds" in note
    assert section.one("table", class_="panels")["data-kinds"] == " or ".join(kinds)
    assert len(section.all("svg", class_="panel")) == len(tasks)
    assert bool(section.all("image", class_="ink")) is images


@pytest.mark.parametrize("made", [made_up_run.scenes(), made_up_run.diagonal(["a"])])
def test_the_note_names_no_links_where_there_are_none(tmp_path, made):
    none = dict.fromkeys(("links", "possible", "forming_links", "forming_possible"), NO_LINKS)
    note = page_of(tmp_path, caption=dataclasses.replace(made, **none)).all("p")[0].text
    assert "Attention weights on" in note
    assert "link" not in note


def test_possible_links_are_explained_only_where_there_are_some(tmp_path):
    made = dataclasses.replace(made_up_run.scenes(), possible=NO_LINKS, forming_possible=NO_LINKS)
    note = page_of(tmp_path, caption=made).all("p")[0].text
    assert "gold links are outlined." in note
    assert "possible" not in note
