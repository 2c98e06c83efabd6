"""The registry: built-ins read from their files alone, a user's own by decorator, and its messages."""

import inspect
import subprocess
import sys
import typing
from importlib import import_module
from pathlib import Path

import pytest
import torch

import attnbench
from attnbench.errors import AttnbenchError
from attnbench.registered.entry import REQUIRED
from attnbench.registry import REGISTRIES, Registry

BUILTINS = [(kind, name) for kind, r in REGISTRIES.items() for name in r.names() if r.is_builtin(name)]


def python(code: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd)


def test_names_are_known_without_importing_torch_or_a_built_in():
    code = """
import sys
from attnbench.registry import REGISTRIES, scope, score
for r in REGISTRIES.values():
    for name in r.names():
        r.entry(name).options, r.origin(name), r.entry(name).doc
assert {"cosine", "general"} <= set(score.names()) and {"none", "hard"} <= set(scope.names())
assert scope.entry("local-p").resolve({"window": 3}) == {"window": 3}
heavy = [m for m in ("torch", "mlflow", "attnbench.scores.dot") if m in sys.modules]
assert not heavy, heavy
"""
    done = python(code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("kind", "name"), BUILTINS)
def test_what_is_read_is_what_is_imported(kind, name):
    """The entry made from the syntax has the names and defaults of the real constructor, and its options' types."""
    entry = REGISTRIES[kind].entry(name)
    cls = entry.load()
    signature = inspect.signature(cls, eval_str=True).parameters.values()
    declared = [p for p in signature if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    assert [(p.name, p.default) for p in entry.parameters] == [(p.name, p.default) for p in declared]
    types = {p.name: typing.Any if p.annotation is REQUIRED else p.annotation for p in declared}
    assert [repr(option.type) for option in entry.options] == [repr(types[option.name]) for option in entry.options]
    assert entry.doc == inspect.getdoc(cls)


@pytest.mark.parametrize(("kind", "name"), BUILTINS)
def test_origin_is_the_line_of_the_class(kind, name):
    entry = REGISTRIES[kind].entry(name)
    file, line = REGISTRIES[kind].origin(name).rsplit(":", 1)
    assert Path(file) == Path(inspect.getfile(entry.load()))
    near = Path(file).read_text().splitlines()[int(line) - 1 : int(line) + 1]  # the decorator or the class itself
    assert f"class {entry.load().__name__}" in "".join(near)


@pytest.mark.parametrize(("kind", "name"), BUILTINS)
def test_a_built_in_is_in_the_file_of_its_name(kind, name):
    assert REGISTRIES[kind].entry(name).file.stem.rstrip("_") == name.replace("-", "_")


def fresh() -> Registry:
    return Registry("score", frozenset({"width"}))


def test_decorated_class_is_described_and_built():
    mine = fresh()

    @mine("mine")
    class Mine:
        """What it is."""

        def __init__(self, width: int, depth: int, slope: float = 0.5):
            self.given = (width, depth, slope)

    entry = mine.entry("mine")
    assert entry.doc == "What it is."
    assert [(o.name, o.type, o.default) for o in entry.options] == [("depth", int, REQUIRED), ("slope", float, 0.5)]
    assert mine.origin("mine").startswith(f"{__file__}:")
    assert mine.build("mine", {"depth": 2}, width=7, max_source_length=9).given == (7, 2, 0.5)
    assert "mine" in mine
    assert not mine.is_builtin("mine")
    assert mine.names()[-1] == "mine"
    assert mine.names()[:-1] == attnbench.score.names()


def test_options_are_completed_and_all_mistakes_reported_at_once():
    mine = fresh()

    @mine("mine")
    class Mine:
        def __init__(self, depth: int, slope: float = 0.5, max_source_length: int = 9):
            pass

    resolve = mine.entry("mine").resolve
    assert resolve({"depth": 1}) == {"depth": 1, "slope": 0.5}
    assert resolve({"depth": 1, "slope": 2, "max_source_length": 4}) == {"depth": 1, "slope": 2, "max_source_length": 4}
    with pytest.raises(AttnbenchError) as error:
        resolve({"slop": 1.0, "slope": "steep"})
    told = {problem.where: str(problem) for problem in error.value.problems}
    assert "needs the option 'depth'" in told["depth"]
    assert "found 'steep'" in told["slope"]
    assert "did you mean 'slope'?" in told["slop"]
    with pytest.raises(AttnbenchError, match="found true"):
        resolve({"depth": True})


@pytest.fixture
def two_modules(tmp_path, monkeypatch):
    """Two files of one class each, at line 1 and at line 3."""
    (tmp_path / "collision_first.py").write_text("class First:\n    pass\n")
    (tmp_path / "collision_second.py").write_text("\n\nclass Second:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield import_module("collision_first").First, import_module("collision_second").Second
    del sys.modules["collision_first"], sys.modules["collision_second"]


@pytest.mark.parametrize("known", ["general", "twice"])
def test_a_name_taken_names_both_places(two_modules, tmp_path, known):
    mine = fresh()
    first, second = two_modules
    if known == "twice":
        mine(known)(first)
    other = mine.origin(known)
    with pytest.raises(AttnbenchError) as error:
        mine(known)(second)
    assert other in str(error.value)
    assert f"{tmp_path / 'collision_second.py'}:3" in str(error.value)
    assert mine.origin(known) == other


def test_two_classes_of_one_file_cannot_share_a_name():
    """The second would take the first's place in silence."""
    mine = fresh()

    @mine("shared")
    class First:
        pass

    with pytest.raises(AttnbenchError, match="shared"):

        @mine("shared")
        class Second:
            pass

    assert mine.entry("shared").load() is First


def test_registers_a_class_that_was_typed_at_a_prompt(tmp_path):
    """The contract's Python example, where no file holds the class: a notebook, a prompt, python -c."""
    code = """
import attnbench
@attnbench.score("my_score")
class MyScore:
    def __init__(self, width, max_source_length, temperature=1.0): ...
assert "my_score" in attnbench.score.names()
"""
    done = python(code, tmp_path)
    assert done.returncode == 0, done.stderr


def test_an_unknown_name_is_reported_with_the_nearest():
    with pytest.raises(AttnbenchError, match=r"unknown score 'aditive'\n  → did you mean 'additive'\?"):
        fresh().entry("aditive")


def test_the_public_names_are_all_there():
    for name in ("Attention", "AttnbenchError", "build_score", "model", "scope", "score", "task"):
        assert name in attnbench.__all__
        assert hasattr(attnbench, name)
    with pytest.raises(AttributeError, match="no attribute 'attend'"):
        attnbench.attend  # noqa: B018
    assert issubclass(attnbench.Attention, torch.nn.Module)
