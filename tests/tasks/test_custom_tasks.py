"""A user's task that returns something wrong: reported with the file and line of its class, before anything trains."""

from pathlib import Path

import numpy as np
import pytest

from attnbench import registry
from attnbench.cell import Component, Data
from attnbench.cli import main
from attnbench.errors import AttnbenchError
from attnbench.plugins import load_plugin
from attnbench.tasks.base import Examples
from attnbench.tasks.build import build_task
from attnbench.tasks.check import check_data, missing_lengths
from attnbench.tasks.draw import concatenate, stacked
from attnbench.tasks.streams import training_stream

RIGHT = """import sys
import random as python
import numpy as np
import attnbench

@attnbench.task("mine")
class Mine:
    source_words = target_words = ["<pad>", "<bos>", "</s>", *"abcdefghij"]

    def check(self, length):
        return None

    def generate(self, random, length, count):
        source = random.integers(3, 13, size=(count, length))
        target = source[:, ::-1].copy()
        links = np.tile(np.eye(length, dtype=bool)[::-1], (count, 1, 1))
        return attnbench.Examples(source, target, links)
"""
RETURN = "return attnbench.Examples(source, target, links)"
WORDS = '["<pad>", "<bos>", "</s>", *"abcdefghij"]'
CLASS = 6
# What is replaced, and the message.
EXAMPLES = {
    "a tuple": (RETURN, "return source, target, links", "returned tuple, expected attnbench.Examples"),
    "None": (RETURN, "return None", "returned NoneType, expected attnbench.Examples"),
    "lists": (RETURN, RETURN.replace("source,", "source.tolist(),"), "sources that are list, expected a NumPy array"),
    "a list of targets": (RETURN, RETURN.replace("target,", "target.tolist(),"), "targets that are list"),
    "float ids": (RETURN, RETURN.replace("source,", "source * 1.0,"), "source ids of type float64, expected integers"),
    "float targets": (RETURN, RETURN.replace("target,", "target * 1.0,"), "target ids of type float64"),
    "one row": (RETURN, RETURN.replace("target,", "target[:1],"), "returned targets (1, 3), expected 64 rows"),
    "an id too large": ("(3, 13,", "(3, 14,", "returned source ids that are not integers from 3 to 12"),
    "PAD in a target": ("links =", "target[:, 0] = 0; links =", "returned a target with PAD (0) before its last word"),
    "PAD in a source": ("links =", "source[:, 0] = 0; links =", "returned source ids that are not"),
    "int links": ("dtype=bool", "dtype=int", "returned links of type int64, expected bool"),
    "a list of links": (RETURN, RETURN.replace("links)", "links.tolist())"), "links that are list"),
    "links without a row": (RETURN, RETURN.replace("links)", "links[:, 1:])"), "links (64, 2, 3), expected (64, 3, 3)"),
    "links of some lengths": (
        RETURN,
        RETURN.replace("links)", "links if length < 5 else None)"),
        "has links for length 3 but none for length 5",
    ),
    "other random numbers": (
        "target =",
        "source[:, 0] = python.randrange(3, 13); target =",
        "generated different sentences from the same random numbers",
    ),
}  # fmt: skip
LISTS = {
    "nothing": ("[]", "source_words must begin with <pad>, <bos>, </s>, found []"),
    "another order": ('["<bos>", "<pad>", "</s>", "a"]', "must begin with <pad>, <bos>, </s>"),
    "text": ('"abc"', "source_words is str, expected a list of words"),
    "a generator": ("(w for w in 'abc')", "source_words is generator, expected a list"),
    "numbers": ('["<pad>", "<bos>", "</s>", 1]', "has 1 at index 3, expected text"),
    "an empty word": ('["<pad>", "<bos>", "</s>", ""]', "has '' at index 3"),
    "NUL": ('["<pad>", "<bos>", "</s>", "a\\0"]', "has 'a\\x00' at index 3"),
    "a surrogate": ('["<pad>", "<bos>", "</s>", "\\ud800"]', "has '\\ud800' at index 3"),
    "a word twice": ('["<pad>", "<bos>", "</s>", "a", "b", "a"]', "has 'a' twice, at index 3 and 5"),
}


@pytest.fixture(autouse=True)
def _leave_the_registry_as_it_was(monkeypatch):
    for each in registry.REGISTRIES.values():
        monkeypatch.setattr(each, "_added", dict(each._added))


def loaded(folder: Path, code: str) -> Component:
    (folder / "mine.py").write_text(code)
    load_plugin(folder / "mine.py")
    return Component(name="mine")


def problem_of(call, *arguments):
    with pytest.raises(AttnbenchError) as raised:
        call(*arguments)
    (problem,) = raised.value.problems
    return problem


def test_a_correct_task_passes(tmp_path):
    component = loaded(tmp_path, RIGHT)
    check_data(component, Data(test_lengths=(20,)))
    without_links = RIGHT.replace(RETURN, RETURN.replace("links)", "None)")).replace('"mine"', '"other"')
    (tmp_path / "other.py").write_text(without_links)
    load_plugin(tmp_path / "other.py")
    check_data(Component(name="other"), Data())


@pytest.mark.parametrize("case", EXAMPLES)
def test_wrong_examples(case, tmp_path):
    right, wrong, message = EXAMPLES[case]
    assert RIGHT.count(right) == 1
    problem = problem_of(check_data, loaded(tmp_path, RIGHT.replace(right, wrong)), Data(max_length=6))
    assert message in problem.what
    assert problem.where == f"{tmp_path / 'mine.py'}:{CLASS}"


@pytest.mark.parametrize("case", LISTS)
def test_wrong_words_are_found_when_the_task_is_built(case, tmp_path):
    words, message = LISTS[case]
    problem = problem_of(build_task, loaded(tmp_path, RIGHT.replace(WORDS, words)), Data())
    assert message in problem.what
    assert problem.what.startswith("the task 'mine': ")
    assert problem.where == f"{tmp_path / 'mine.py'}:{CLASS}"


@pytest.mark.parametrize("words", [WORDS.replace("[", "(").replace("]", ")"), f"np.array({WORDS})"])
def test_words_may_be_in_a_tuple_or_an_array(words, tmp_path):
    check_data(loaded(tmp_path, RIGHT.replace(WORDS, words)), Data())


def test_the_place_is_the_line_of_the_task_that_raised(tmp_path):
    code = RIGHT.replace("target = ", "target = np.stack([]) if length == 4 else ")
    problem = problem_of(check_data, loaded(tmp_path, code), Data())
    assert "the task 'mine' raised ValueError" in problem.what
    assert problem.where == f"{tmp_path / 'mine.py'}:15"


@pytest.mark.parametrize("verb", ["expand", "run"])
@pytest.mark.parametrize(
    ("right", "wrong", "line"),
    [
        ("    def check(self, length):\n", "    def check(self, length):\n        sys.exit()\n", 11),
        ("        source = random", "        sys.exit(0)\n        source = random", 14),
        ("    def check", "    def __init__(self):\n        raise SystemExit\n\n    def check", 11),
    ],
)
def test_sys_exit_is_an_error(right, wrong, line, verb, tmp_path, capsys):
    (tmp_path / "mine.py").write_text(RIGHT.replace(right, wrong))
    (tmp_path / "grid.yaml").write_text("name: g\nseeds: 1\nplugins: [mine.py]\ngrid: {score: [dot], task: [mine]}\n")
    with pytest.raises(SystemExit) as ended:
        main([verb, str(tmp_path / "grid.yaml"), "--results", str(tmp_path / "results")])
    if verb == "expand" and line == 14:
        assert ended.value.code == 0  # expand generates nothing
        return
    assert ended.value.code == 2
    assert f"{tmp_path / 'mine.py'}:{line}: the task 'mine' raised SystemExit" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        ("GeneratorExit", "raised GeneratorExit: "),
        ("type('Odd', (BaseException,), {'__str__': lambda self: 1 / 0})", "because its __str__ raised ZeroDivisionE"),
    ],
)
def test_any_exception_of_a_task_is_an_error(raised, told, tmp_path):
    code = RIGHT.replace("        source = random", f"        raise {raised}\n        source = random")
    problem = problem_of(check_data, loaded(tmp_path, code), Data())
    assert told in problem.what
    assert problem.where == f"{tmp_path / 'mine.py'}:14"


def test_joined_examples_keep_a_target_without_padding():
    part = Examples(np.full((1, 2), 3), np.full((1, 1), 3), None)
    longer = Examples(np.full((1, 2), 3), np.full((1, 3), 3), None)
    assert concatenate([part, longer]).target.tolist() == [[3, 0, 0], [3, 3, 3]]


def test_a_task_of_odd_lengths_is_trained_on_those_of_the_range(tmp_path):
    odd = RIGHT.replace("return None", 'return None if length % 2 else f"mine has no source of length {length}"')
    component, data = loaded(tmp_path, odd), Data(min_length=4, max_length=10)
    check_data(component, data)
    assert missing_lengths(component, data) == [4, 6, 8, 10]
    stream = training_stream(build_task(component, data), component, data, seeds=(0,), batch_size=2)
    assert {stream.batch().source.shape[2] for _ in range(50)} == {5, 7, 9}
    assert stream.longest == 9


def test_a_run_says_on_which_lengths_it_trains(tmp_path, capsys):
    odd = RIGHT.replace("return None", 'return None if length % 2 else "none of this length"')
    (tmp_path / "mine.py").write_text(odd)
    (tmp_path / "grid.yaml").write_text(
        "name: g\nseeds: 1\nplugins: [mine.py]\ngrid: {score: [dot], task: [mine]}\nmodel: {width: 4, embedding: 4}\n"
        "data: {min_length: 4, max_length: 8, validation_examples: 5, test_examples: 5}\n"
        "train: {steps: 2, batch_size: 2, valid_every: 2}\n"
    )
    with pytest.raises(SystemExit) as ended:
        main(
            [
                "run",
                str(tmp_path / "grid.yaml"),
                "--results",
                str(tmp_path / "results"),
                "--engine",
                "serial",
                "--no-mlflow",
            ]
        )
    assert ended.value.code == 0
    told = " ".join(capsys.readouterr().err.split())
    assert "the task mine has no sources of length 4, 6, 8: it is trained on length 5, 7" in told


IMAGES = RIGHT.replace("    def check", "    images, image_size = True, SIZE\n\n    def check").replace(
    RETURN, "return attnbench.Examples(random.random((count, *self.image_size)), target, None)"
)


@pytest.mark.parametrize("size", ["(20, 16)", "(4, 8)", "(0, 8)", "(8, 8, 8)", "8", "None"])
def test_images_are_multiples_of_a_patch(size, tmp_path):
    problem = problem_of(check_data, loaded(tmp_path, IMAGES.replace("SIZE", size)), Data())
    assert problem.what == f"the task 'mine' has images and the image_size {size}"
    assert problem.where.endswith(f"mine.py:{CLASS}")


def test_images_of_whole_patches_are_right(tmp_path):
    check_data(loaded(tmp_path, IMAGES.replace("SIZE", "(16, 8)")), Data())


REFERENCES = {
    "a list": ("source[:, None, ::-1].tolist()", "list, expected a NumPy array of integers"),
    "numbers": ("source[:, None, ::-1] * 1.0", "float64, expected a NumPy array of integers"),
    "one per source": ("source[:, ::-1]", "the shape (2, 3), expected (2,R,T)"),
    "none": ("source[:, :0, None]", "the shape (2, 0, 1), expected (2,R,T)"),
    "others": ("source[:, None, ::-1] % 10 + 3", "references without the target of an example"),
    "PAD": ("np.pad(source[:, None, ::-1], ((0, 0), (0, 0), (1, 0)))", "a reference with PAD (0) before its last word"),
}


@pytest.mark.parametrize("case", REFERENCES)
def test_wrong_references(case, tmp_path):
    returned, message = REFERENCES[case]
    code = f"{RIGHT}\n    def references(self, source):\n        return {returned}\n"
    problem = problem_of(check_data, loaded(tmp_path, code), Data())
    assert problem.what == f"Mine.references returned {message}"
    assert problem.where.endswith(f"mine.py:{CLASS}")


def test_right_references(tmp_path):
    returned = "np.stack([source, source[:, ::-1]], axis=1)"
    check_data(loaded(tmp_path, f"{RIGHT}\n    def references(self, source):\n        return {returned}\n"), Data())


@pytest.mark.parametrize("join", [concatenate, stacked])
def test_sure_links_are_possible_where_only_some_parts_have_possible_ones(join):
    source, sure = np.full((1, 2), 3), np.eye(2, dtype=bool)[None]
    with_, without = Examples(source, source, sure, np.ones((1, 2, 2), bool)), Examples(source, source, sure)
    joined = join([with_, without])
    assert joined.possible.reshape(2, 2, 2).tolist() == [[[True] * 2] * 2, sure[0].tolist()]
    assert joined.links.reshape(2, 2, 2).tolist() == [sure[0].tolist()] * 2
    assert join([without, without]).possible is None
