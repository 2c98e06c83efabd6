"""The task caption in a grid file: its lengths, its errors, and a file of one's own images."""

import numpy as np
import pytest

from attnbench.errors import AttnbenchError
from grid.conftest import Plans

GRID = "name: g\nseeds: 1\ngrid: {score: [dot], task: [TASKS]}\nmodel: {kind: captioner}\n"


def test_the_lengths_are_the_digits_and_those_of_other_tasks_stay(plan: Plans) -> None:
    text = GRID.replace("TASKS", "copy, caption, {name: caption, digits: [2, 7]}") + "data: {max_length: 9}\n"
    found = plan(
        text.replace("model: {kind: captioner}\n", "").replace(
            "score: [dot]", "score: [dot], model.kind: [rnn, captioner]"
        )
    )
    lengths = {
        (one.cell.task.name, *one.cell.task.options.get("digits", ())): (
            one.cell.data.min_length,
            one.cell.data.max_length,
        )
        for one in found.cells
    }
    assert lengths == {("copy",): (3, 9), ("caption", 1, 5): (1, 5), ("caption", 2, 7): (2, 7)}
    assert all(one.cell.data.vocabulary is None for one in found.cells if one.cell.task.name == "caption")


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("{name: caption, digits: [4, 2]}", r"should be the smaller number and the larger one, found \[4, 2\]"),
        ("{name: caption, digits: [0, 2]}", "'digits'"),
        ("{name: caption, digits: 3}", "'digits'"),
        ("{name: caption, digits: [3]}", r"'digits': should be \[int > 0, int > 0\], found \[3\]"),
        ("{name: caption, digits: [1, 2, 3]}", r"'digits': should be \[int > 0, int > 0\], found \[1, 2, 3\]"),
        ("{name: caption, digits: [1, 26]}", "a scene has 25 cells, one for each digit, and no room for 26 digits"),
        ("{name: caption, jitter: 4}", "'jitter': should be at most 3, found 4(?s:.*)is an int ≥ 0 and ≤ 3"),
        ("{name: caption, clutter: 56}", "beside 5 digits a scene has room for 55 fragments, and clutter is 56"),
    ],
)
def test_a_scene_that_cannot_be_is_an_error_before_anything_is_trained(plan: Plans, task: str, message: str) -> None:
    with pytest.raises(AttnbenchError, match=message) as error:
        plan(GRID.replace("TASKS", task))
    assert all(problem.where.partition("grid.yaml:")[2].startswith("3:") for problem in error.value.problems)


def test_test_lengths_are_numbers_of_digits(plan: Plans) -> None:
    assert plan(GRID.replace("TASKS", "caption") + "data: {test_lengths: [6, 25]}\n").cells
    with pytest.raises(AttnbenchError, match="no room for 26 digits"):
        plan(GRID.replace("TASKS", "caption") + "data: {test_lengths: [26]}\n")


def test_the_lengths_of_own_images_are_those_of_the_file(plan: Plans, tmp_path) -> None:
    words = np.array([["a", ""], ["b", "c"]] * 300)
    images = np.random.default_rng(0).integers(0, 256, (600, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "own.npz", images=images, words=words)
    found = plan(GRID.replace("TASKS", "caption") + "data: {path: own.npz}\n")
    (one,) = found.cells
    assert (one.cell.data.min_length, one.cell.data.max_length) == (1, 2)
    (tmp_path / "own.npz").unlink()
    np.savez(tmp_path / "own.npz", images=images[:, :7], words=words)
    with pytest.raises(AttnbenchError, match="are 7 × 8 pixels"):
        plan(GRID.replace("TASKS", "caption") + "data: {path: own.npz}\n")


def test_an_option_digits_of_a_custom_task_is_its_own(plan: Plans, tmp_path) -> None:
    (tmp_path / "mine.py").write_text(
        "import attnbench\n"
        "@attnbench.task('mine')\n"
        "class Mine:\n"
        "    def __init__(self, digits: int = 3):\n"
        "        self.source_words = self.target_words = ['<pad>', '<bos>', '</s>', *map(str, range(digits))]\n"
        "    def check(self, length): return None\n"
        "    def generate(self, random, length, count):\n"
        "        source = random.integers(3, len(self.source_words), size=(count, length))\n"
        "        return attnbench.Examples(source, source.copy(), None)\n"
    )
    found = plan("name: g\nseeds: 1\nplugins: [mine.py]\ngrid: {score: [dot], task: [mine]}\ndata: {max_length: 9}\n")
    assert [(one.cell.data.min_length, one.cell.data.max_length) for one in found.cells] == [(3, 9)]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("data: {max_length: 3}\n", "data.max_length cannot be set for caption: the lengths are its digits"),
        ("zip: {data.min_length: [1, 2], data.max_length: [3, 4]}\n", "data.min_length cannot be set for caption"),
    ],
)
def test_lengths_beside_the_digits_are_errors(plan: Plans, more: str, message: str) -> None:
    with pytest.raises(AttnbenchError, match=message):
        plan(GRID.replace("TASKS", "caption") + more)


@pytest.mark.parametrize(
    ("task", "more", "message"),
    [
        ("{name: caption, clutter: 4}", "", "clutter is of the scenes of caption, and not used with data.path"),
        ("caption", "zip: {task.jitter: [0, 1]}\n", "task.jitter is of the scenes of caption"),
    ],
)
def test_options_of_scenes_beside_a_file_are_errors(plan: Plans, tmp_path, task: str, more: str, message: str) -> None:
    np.savez(tmp_path / "own.npz", images=np.zeros((9, 8, 8)), words=np.array([["a"]] * 9))
    with pytest.raises(AttnbenchError, match=message) as error:
        plan(GRID.replace("TASKS", task) + "data: {path: own.npz}\n" + more)
    assert all("grid.yaml:" in problem.where for problem in error.value.problems)
