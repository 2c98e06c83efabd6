"""Pictures of how an alignment formed, as arrays and as the files that MLflow's charts read."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import made_up_run
import numpy as np
import pytest
from PIL import Image

from attnbench.analysis.alignment_painter import AlignmentPainter
from attnbench.analysis.report.alignments import panel_of
from attnbench.analysis.scene_plots import ScenePainter
from attnbench.outcome import Alignments
from attnbench.tracking.pictures import IMAGE_KEY, AlignmentPictures, save
from attnbench.tracking.server import connect, database_uri

TITLE = "scaled_dot · self"


def forming(heads: int) -> Alignments:
    """One sentence at two training steps; all heads differ."""
    given = made_up_run.diagonal(["a", "b"], heads=heads)
    each = np.random.default_rng(0).dirichlet(np.ones(3), (2, heads or 1, 3))
    return replace(given, forming=each.mean(1), forming_heads=each if heads else each[:, :0])


def alone(alignments: Alignments, weights: np.ndarray, title: str) -> np.ndarray:
    source, target = alignments.forming_source, alignments.forming_target
    return AlignmentPainter(source, target, alignments.forming_links).paint(weights, title)


@pytest.mark.parametrize("heads", [2, 3])
def test_heads_are_drawn_after_their_mean(heads: int) -> None:
    given = forming(heads)
    found = list(AlignmentPictures().forming(given, TITLE))
    assert [step for step, _ in found] == [100, 200]
    for moment, (_, picture) in enumerate(found):
        mean, *others = np.split(picture, heads + 1, axis=1)
        np.testing.assert_array_equal(mean, alone(given, given.forming[moment], TITLE))
        for number, other in enumerate(others):
            np.testing.assert_array_equal(other, alone(given, given.forming_heads[moment, number], f"head {number}"))
        assert picture.dtype == np.uint8


def test_without_heads_there_is_the_alignment_alone() -> None:
    for given in (forming(0), replace(forming(0), forming_heads=np.zeros((0, 0, 0, 0)))):  # trained, and read back
        for moment, (_, picture) in enumerate(AlignmentPictures().forming(given, TITLE)):
            np.testing.assert_array_equal(picture, alone(given, given.forming[moment], TITLE))


@pytest.mark.parametrize("heads", [0, 2])
def test_of_an_image_the_pictures_show_the_image_at_every_step(heads: int) -> None:
    given = made_up_run.scenes(heads=heads)
    panel = replace(panel_of(given, 0), image=given.forming_image[0])
    found = list(AlignmentPictures().forming(given, TITLE))
    assert [step for step, _ in found] == [100, 200]
    for moment, (_, picture) in enumerate(found):
        weights = [(given.forming[moment], TITLE)]
        weights += [(given.forming_heads[moment, head], f"head {head}") for head in range(heads)]
        expected = [ScenePainter(panel).paint(*one) for one in weights]
        np.testing.assert_array_equal(picture, np.concatenate(expected, axis=1))


def test_the_same_words_for_another_image_or_other_links_are_another_picture() -> None:
    given = made_up_run.scenes()
    pictures = AlignmentPictures()
    others = [
        replace(given, forming_image=given.forming_image[..., ::-1]),
        replace(given, forming_links=given.forming_links[:, ::-1]),
        replace(given, forming_possible=given.forming_possible[:, :, ::-1]),
    ]
    (_, first), _ = pictures.forming(given, TITLE)
    for other in others:
        (_, picture), _ = pictures.forming(other, TITLE)
        assert (picture != first).any()
    (_, again), _ = pictures.forming(given, TITLE)
    assert (again == first).all()


def test_images_without_gold_links_are_drawn() -> None:
    given = made_up_run.scenes()
    without = replace(given, forming_links=given.forming_links[:0, :0], forming_possible=given.forming_possible[:0])
    for _, picture in AlignmentPictures().forming(without, TITLE):
        assert not (abs(picture.astype(int) - (0xFF, 0x95, 0)) <= 60).all(axis=2).any()


def kinds(paths: Iterator[Path] | list[Path]) -> list[str]:
    """File names with a word for each part that differs between two pictures of one step."""
    identifier = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    return sorted(re.sub(identifier, "ID", path.name) for path in paths)


def test_files_have_the_names_that_mlflow_gives_them(tmp_path: Path) -> None:
    """MLflow's pages find pictures by name. If a new version of MLflow names them otherwise, this test fails."""
    picture = np.zeros((30, 40, 3), np.uint8)
    client = connect(database_uri(tmp_path))
    run = client.create_run(client.create_experiment("one", (tmp_path / "artifacts").as_uri()))
    client.log_image(run.info.run_id, picture, key=IMAGE_KEY, step=7, timestamp=1234)
    (folder := tmp_path / "ours").mkdir()
    save(picture, folder, 7, 1234)
    theirs = list((tmp_path / "artifacts").rglob("*.*g")) + list((tmp_path / "artifacts").rglob("*.webp"))
    assert kinds(theirs) == kinds(folder.iterdir())
    assert {path.parent.name for path in theirs} == {"images"}
    tags = client.get_run(run.info.run_id).data.tags
    assert tags["mlflow.loggedImages"] == "True"


@pytest.mark.parametrize(
    ("shape", "small"),
    [((30, 40), (30, 40)), ((512, 256), (256, 128)), ((300, 3000), (26, 256)), ((1, 2000), (1, 256))],
)
def test_charts_have_a_small_picture_and_the_png_is_exact(
    tmp_path: Path, shape: tuple[int, int], small: tuple[int, int]
) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    save(picture, tmp_path, 0, 0)
    (png,), (webp,) = tmp_path.glob("*.png"), tmp_path.glob("*.webp")
    with Image.open(png) as full, Image.open(webp) as reduced:
        np.testing.assert_array_equal(np.asarray(full), picture)
        assert reduced.size == small[::-1]
