"""A plugin may consist of several files, and all of the user's own count: by their syntax, not by their place."""

import importlib
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_training import FAKE, pack

from attnbench import plugins, registry
from attnbench.cell import Cell, Component, Pack
from attnbench.engines.base import attempt
from attnbench.engines.ray_node import train_here
from attnbench.engines.shipment import named_files, ship
from attnbench.errors import AttnbenchError
from attnbench.fingerprint import changed, fingerprint
from attnbench.plugin_folder import PREFIX
from attnbench.plugins import code_of, load_plugin

PLUGIN = '''
import attnbench
{imports}

@attnbench.score("mine")
class Mine({base}):
    """Mine."""

    def __init__(self, by: float = 1.0):
        self.by = by

    def value(self):
        {inside}
        return {value}
'''
HELPER = '''
"""Scales."""

SCALE = 2


def scale():
    """Returns the scale."""
    return SCALE


class Base:
    pass
'''.lstrip()


@pytest.fixture(autouse=True)
def _leave_everything_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for each in registry.REGISTRIES.values():
        monkeypatch.setattr(each, "_added", dict(each._added))
    monkeypatch.setattr(plugins, "_loaded", {})
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith((PREFIX, "mylab")) or name in ("helper", "between"):
            del sys.modules[name]


def write(file: Path, imports: str = "", value: str = "1", inside: str = "pass", base: str = "object") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(PLUGIN.format(imports=imports, value=value, inside=inside, base=base))
    return file


def cell(**names: str) -> Cell:
    parts = {"score": "mine", **names}
    return pack(0).cell.model_copy(update={kind: Component(name=name) for kind, name in parts.items()})


def value() -> object:
    return registry.score.entry("mine").load()().value()


WAYS = {
    "a sibling": {"imports": "import helper", "value": "helper.scale()"},
    "a name of a sibling": {"imports": "from helper import scale", "value": "scale()"},
    "everything of a sibling": {"imports": "from helper import *", "value": "scale()"},
    "a relative import": {"imports": "from .helper import scale", "value": "scale()"},
    "a relative module": {"imports": "from . import helper as other", "value": "other.scale()"},
    "inside a function": {"inside": "import helper", "value": "helper.scale()"},
    "a base class": {"imports": "from helper import Base, scale", "base": "Base", "value": "scale()"},
    "a sibling of a sibling": {"imports": "from between import scale", "value": "scale()"},
    "a package": {"imports": "from lib.parts.numbers import scale", "value": "scale()"},
    "a package by name": {"imports": "import lib.parts.numbers", "value": "lib.parts.numbers.scale()"},
    "the __init__ of a package": {"imports": "from lib import scale", "value": "scale()"},
    "a module of a package": {"imports": "from lib.parts import numbers", "value": "numbers.scale()"},
    "a folder without __init__": {"imports": "from plain.numbers import scale", "value": "scale()"},
    "a module on the path": {"imports": "from mylab_functional import scale", "value": "scale()"},
}
FOUND = {
    "a package": "lib/parts/numbers.py",
    "a package by name": "lib/parts/numbers.py",
    "a module of a package": "lib/parts/numbers.py",
    "the __init__ of a package": "lib/parts/numbers.py",
    "a folder without __init__": "plain/numbers.py",
    "a module on the path": "../path/mylab_functional.py",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a plugin, with everything that WAYS import."""
    made = tmp_path / "project"
    files = {
        "helper.py": HELPER,
        "between.py": "from helper import scale\n",
        "lib/__init__.py": "from lib.parts.numbers import scale\n",
        "lib/parts/__init__.py": "",
        "lib/parts/numbers.py": HELPER,
        "plain/numbers.py": HELPER,
        "../path/mylab_functional.py": HELPER,
    }
    made.mkdir()
    for name, text in files.items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path / "path")
    return made


@pytest.mark.parametrize("way", WAYS)
def test_what_a_plugin_imports_counts_by_its_syntax(folder, way):
    plugin = write(folder / "my_score.py", **WAYS[way])
    name = FOUND.get(way, "helper.py")
    load_plugin(plugin)
    assert value() == 2
    before = fingerprint(cell())
    (folder / name).write_text(
        "# A comment.\n\n" + HELPER.replace("Returns the scale.", "Something else.\n\n    More.")
    )
    load_plugin(plugin)
    assert changed(before, fingerprint(cell())) == []
    (folder / name).write_text(HELPER.replace("= 2", "= 3"))
    load_plugin(plugin)
    assert value() == 3
    key = name.removeprefix("../path/").removesuffix(".py") if ".." in name else f"plugin:{name}"
    assert changed(before, fingerprint(cell())) == [key]


def test_built_in_components_do_not_depend_on_a_plugin(folder):
    before = fingerprint(cell(score="dot"))
    load_plugin(write(folder / "my_score.py"))
    assert fingerprint(cell(score="dot")) == before


def test_installed_packages_and_the_standard_library_do_not_count(folder):
    load_plugin(
        write(folder / "my_score.py", imports="import json\nimport numpy\nimport yaml\nfrom scipy import stats")
    )
    assert list(code_of({"score": "mine"})) == ["plugin:my_score.py"]


def test_files_of_attnbench_that_a_plugins_neighbour_imports_count(folder):
    (folder / "helper.py").write_text("from attnbench.scores.cosine import Cosine\n")
    load_plugin(write(folder / "my_score.py", imports="import helper"))
    assert "scores/cosine.py" in fingerprint(cell())


def test_a_moved_project_has_the_same_code(folder, tmp_path):
    load_plugin(write(folder / "my_score.py", imports="from helper import scale\nfrom lib.parts import numbers"))
    before = fingerprint(cell())
    shutil.move(folder, tmp_path / "renamed")
    registry.score._added.pop("mine")
    load_plugin(tmp_path / "renamed" / "my_score.py")
    assert fingerprint(cell()) == before


def test_files_of_one_name_in_two_folders_are_told_apart(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "helper.py").write_text(f"NAME = {name!r}\n")
    first = write(tmp_path / "a" / "part.py", imports="import helper", value="helper.NAME")
    second = write(tmp_path / "b" / "part.py", imports="import helper", inside="import helper", value="helper.NAME")
    second.write_text(second.read_text().replace('score("mine")', 'scope("other")'))
    load_plugin(first)
    load_plugin(second)
    assert value() == "a"
    assert registry.scope.entry("other").load()().value() == "b"
    both = cell(scope="other")
    before = fingerprint(both)
    assert before != fingerprint(cell())
    for file in (first, second):
        file.write_text(file.read_text() + "\nMORE = 1\n")
        load_plugin(file)
        assert changed(before, fingerprint(both)) == ["plugin:part.py"]
        before = fingerprint(both)


def test_a_plugins_folder_is_importable_for_the_plugin_only(folder):
    (folder / "random.py").write_text("raise RuntimeError('shadowed')\n")
    (folder / "torch.py").write_text("raise RuntimeError('shadowed')\n")
    (folder / "yaml.py").write_text("MINE = 5\n")
    path = list(sys.path)
    load_plugin(write(folder / "my_score.py", imports="import random, torch, helper, yaml", value="random, yaml.MINE"))
    assert value() == (random, 5)
    assert sys.path == path
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("helper")
    assert importlib.import_module("yaml").safe_load("1") == 1


def test_a_neighbour_that_is_on_the_path_too_is_loaded_once(folder, monkeypatch):
    plugin = write(folder / "my_score.py", imports="from between import scale", value="scale()")
    load_plugin(plugin)
    before = fingerprint(cell())
    as_in_a_worker()
    monkeypatch.syspath_prepend(folder)
    helper = importlib.import_module("helper")
    load_plugin(plugin)
    assert registry.score.entry("mine").load().value.__globals__["scale"] is helper.scale
    assert fingerprint(cell()) == before
    (folder / "helper.py").write_text(HELPER.replace("= 2", "= 300"))
    load_plugin(plugin)
    assert value() == 300
    assert changed(before, fingerprint(cell())) == ["plugin:helper.py"]


def test_a_neighbour_that_was_broken_is_imported_once_it_is_fixed(folder):
    (folder / "helper.py").write_text("1 / 0\n")
    plugin = write(folder / "my_score.py", imports="from helper import scale", value="scale()")
    with pytest.raises(AttnbenchError, match=r"ZeroDivisionError: division by zero, line 1 of helper.py"):
        load_plugin(plugin)
    (folder / "helper.py").write_text(HELPER)
    load_plugin(plugin)
    assert value() == 2


def test_the_file_that_registers_a_class_of_another_counts(folder):
    (folder / "factory.py").write_text("def make(by):\n    class Made:\n        BY = by\n    return Made\n")
    plugin = folder / "my_score.py"
    plugin.write_text("import attnbench\nfrom factory import make\nattnbench.score('mine')(make(2.0))\n")
    load_plugin(plugin)
    before = fingerprint(cell())
    plugin.write_text("import attnbench\nfrom factory import make\nattnbench.score('mine')(make(3.0))\n")
    load_plugin(plugin)
    assert changed(before, fingerprint(cell())) == ["plugin:my_score.py"]


def test_a_module_counts_with_its_package_and_is_loaded_again(tmp_path, monkeypatch):
    write(tmp_path / "mylab" / "scores.py", imports="from .functional import scale", value="scale()")
    (tmp_path / "mylab" / "__init__.py").write_text("")
    (tmp_path / "mylab" / "functional.py").write_text(HELPER)
    monkeypatch.syspath_prepend(tmp_path)
    load_plugin("mylab.scores")
    before = fingerprint(cell())
    assert {"mylab", "mylab.scores", "mylab.functional"} <= before.keys()
    (tmp_path / "mylab" / "functional.py").write_text(HELPER.replace("= 2", "= 30"))
    load_plugin("mylab.scores")
    assert value() == 30
    assert changed(before, fingerprint(cell())) == ["mylab.functional"]


def planned(plugin: Path) -> Pack:
    load_plugin(plugin)
    return pack(0).model_copy(update={"cell": cell(), "plugins": (plugin,), "code": code_of({"score": "mine"})})


def outcomes(described: Pack, report=lambda _: None) -> set[tuple[str, str | None]]:
    return {(one.status, one.error) for one in attempt(described, "cpu", FAKE, report)}


CHANGED = (
    "helper.py changed while the grid ran\n"
    "  → run the grid again to train with the new version, or restore it and use --retry-failed"
)


def as_in_a_worker() -> None:
    """Forgets the plugins, as if this were a process that has just started."""
    for name in [name for name in sys.modules if name.startswith(PREFIX)]:
        del sys.modules[name]
    plugins._loaded.clear()
    registry.score._added.pop("mine")


def test_code_edited_while_the_grid_runs_is_not_trained(folder):
    described = planned(write(folder / "my_score.py", imports="import helper", value="helper.scale()"))
    (folder / "helper.py").write_text(HELPER.replace("= 2", "= 3"))
    assert outcomes(described) == {("done", None)}  # this process has loaded what was planned
    assert value() == 2
    as_in_a_worker()
    assert outcomes(described) == {("failed", CHANGED)}
    (folder / "helper.py").write_text(HELPER + "# only a comment\n")
    assert outcomes(described) == {("done", None)}


def test_code_that_is_imported_late_is_checked_when_it_was(folder):
    described = planned(write(folder / "my_score.py", inside="import helper", value="helper.scale()"))
    as_in_a_worker()
    load_plugin(described.plugins[0])
    (folder / "helper.py").write_text(HELPER.replace("= 2", "= 3"))
    assert value() == 3
    assert outcomes(described) == {("failed", CHANGED)}


def test_a_plugins_neighbours_travel_to_a_node(folder):
    ways = "from helper import scale\nfrom lib.parts import numbers"
    described = planned(write(folder / "my_score.py", imports=ways, value="scale() + numbers.scale()"))
    shipped = [ship(path, bytes) for path in named_files(described)]
    as_in_a_worker()
    folder.rename(folder.with_name("elsewhere"))
    found = train_here(described, shipped, bytes, None, "cpu", FAKE, lambda _: None)
    assert {(one.status, one.error) for one in found} == {("done", None)}
    assert value() == 4
    as_in_a_worker()
    other = described.model_copy(update={"code": described.code | {"plugin:helper.py": "other"}})
    assert train_here(other, shipped, bytes, None, "cpu", FAKE, lambda _: None)[0].error == CHANGED
