"""Plugins: a file, a module or an entry point, loaded once, and what is told when one cannot be."""

import os
import py_compile
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import torch

import attnbench
from attnbench import registry
from attnbench.errors import AttnbenchError
from attnbench.plugins import load_entry_points, load_plugin

PLUGIN = """
import torch
import attnbench

@attnbench.score("halved")
class Halved(torch.nn.Module):
    def __init__(self, width, max_source_length, temperature: float = 2.0):
        super().__init__()
        self.temperature = temperature
        self.given = (width, max_source_length)

    def forward(self, query, keys):
        return query @ keys.mT / self.temperature
"""


@pytest.fixture(autouse=True)
def _leave_everything_as_it_was(monkeypatch):
    for each in registry.REGISTRIES.values():
        monkeypatch.setattr(each, "_added", dict(each._added))
    modules = set(sys.modules)
    yield
    for name in set(sys.modules) - modules:
        if "plugin" in name:
            del sys.modules[name]


def write(folder: Path, text: str = PLUGIN, name: str = "my_plugin.py") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def test_a_plugins_score_is_built_and_attends(tmp_path):
    load_plugin(write(tmp_path))
    score = attnbench.build_score({"name": "halved", "temperature": 4.0}, width=3, max_source_length=9)
    assert score.given == (3, 9)
    query, keys = torch.randn(2, 3, 3), torch.randn(2, 5, 3)
    assert torch.equal(score(query, keys), query @ keys.mT / 4)
    out = attnbench.Attention("halved", "local-m", width=3, max_source_length=9, window=1, temperature=1.0)(
        query, keys, keys
    )
    assert (out.weights[:, 0, 2:] == 0).all()
    assert registry.score.origin("halved").startswith(f"{tmp_path / 'my_plugin.py'}:")


def test_an_import_changes_neither_the_working_folder_nor_stdout(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = f"import os\nprint('loading')\nos.chdir({os.sep!r})\n{PLUGIN}"
    load_plugin(write(tmp_path, text, "noisy_plugin.py"))
    assert os.getcwd() == str(tmp_path)
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "loading\n")


def test_a_second_load_does_nothing(tmp_path, monkeypatch):
    file = write(tmp_path)
    load_plugin(file)
    first = registry.score.entry("halved").load()
    load_plugin(str(file))
    load_plugin(tmp_path / ".." / tmp_path.name / "my_plugin.py")
    monkeypatch.chdir(tmp_path)
    load_plugin("my_plugin.py")
    assert registry.score.entry("halved").load() is first


def test_two_plugins_of_one_file_name_are_both_loaded(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    load_plugin(write(tmp_path / "a"))
    load_plugin(write(tmp_path / "b", PLUGIN.replace('"halved"', '"other"')))
    assert {"halved", "other"} <= set(registry.score.names())


def test_a_plugin_is_loaded_as_a_module_by_its_dotted_name(tmp_path, monkeypatch):
    write(tmp_path, name="dotted_plugin.py")
    monkeypatch.syspath_prepend(tmp_path)
    load_plugin("dotted_plugin")
    assert "halved" in registry.score


def test_what_a_module_imports_is_compiled_from_its_source_and_not_taken_from_a_pyc_file(tmp_path, monkeypatch):
    """Python takes a .pyc file for current where the source has the same size and was edited in the same second."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.syspath_prepend(tmp_path)
    helper = write(tmp_path, "FACTOR = 1.0\n", "factor_for_plugin.py")
    write(tmp_path, f"import factor_for_plugin\n{PLUGIN}", "module_plugin.py")
    compiled = Path(py_compile.compile(str(helper), doraise=True))
    times = helper.stat()
    helper.write_text("FACTOR = 9.0\n")
    os.utime(helper, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert compiled.exists()
    load_plugin("module_plugin")
    assert sys.modules["factor_for_plugin"].FACTOR == 9.0


def test_an_installed_entry_point_is_loaded(tmp_path, monkeypatch):
    write(tmp_path, name="installed_plugin.py")
    info = tmp_path / "installed_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: installed_plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[attnbench.plugins]\nmine = installed_plugin\n")
    monkeypatch.syspath_prepend(tmp_path)
    load_entry_points()
    assert "halved" in registry.score


def test_a_name_that_is_taken_names_both_places(tmp_path):
    file = write(tmp_path, PLUGIN.replace('"halved"', '"general"'))
    with pytest.raises(AttnbenchError) as error:
        load_plugin(file)
    assert f"{file}:" in str(error.value)
    assert registry.score.origin("general") in str(error.value)
    assert "scores/general.py" in registry.score.origin("general")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = 1\nraise RuntimeError('out of luck')\n", ["RuntimeError", "out of luck", "line 2"]),
        ("def f():\n    return 1 / 0\n\n\nf()\n", ["ZeroDivisionError", "line 2"]),
        ("def f(:\n", ["SyntaxError", "line 1"]),
        ("import no_such_module_anywhere\n", ["no_such_module_anywhere", "line 1"]),
        ("import sys\nsys.exit(5)\n", ["SystemExit"]),
    ],
)
def test_a_plugin_that_raises_is_reported_with_its_place(tmp_path, text, told):
    file = write(tmp_path, text)
    for _ in range(2):  # a broken plugin does not count as loaded
        with pytest.raises(AttnbenchError) as error:
            load_plugin(file)
        assert all(part in str(error.value) for part in ["my_plugin.py", *told])


def test_a_mended_plugin_loads_after_it_failed(tmp_path):
    with pytest.raises(AttnbenchError):
        load_plugin(write(tmp_path, PLUGIN + "\nraise RuntimeError\n"))
    load_plugin(write(tmp_path, PLUGIN + "\nMENDED = True  # and of another size\n"))
    assert "halved" in registry.score


@pytest.mark.parametrize("plugin", ["nowhere/at_all.py", "no.such.module"])
def test_a_missing_plugin_is_reported(plugin):
    with pytest.raises(AttnbenchError) as error:
        load_plugin(plugin)
    assert Path(plugin).name in str(error.value)


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        ("GeneratorExit('at import')", "GeneratorExit: at import, line 6 of my_plugin.py"),
        ("Unprintable()", "Unprintable: its message cannot be shown, because its __str__ raised ValueError, line 6"),
        ("RuntimeError('x' * 50_000_000)", " … [50,000,000 characters] … "),
    ],
)
def test_any_exception_at_import_is_reported_in_short(tmp_path, raised, told):
    text = "class Unprintable(Exception):\n    def __str__(self):\n        raise ValueError\n\n\n"
    with pytest.raises(AttnbenchError) as error:
        load_plugin(write(tmp_path, text + f"raise {raised}\n"))
    assert told in str(error.value)
    assert len(str(error.value)) < 2000


@pytest.mark.parametrize(
    ("statement", "state"),
    [
        ("import os; os.chdir('/')", os.getcwd),
        ("torch.set_default_dtype(torch.float64)", torch.get_default_dtype),
        ("torch.set_default_device('meta')", torch.get_default_device),
        ("torch.set_grad_enabled(False)", torch.is_grad_enabled),
        ("torch.set_float32_matmul_precision('medium')", torch.get_float32_matmul_precision),
    ],
)
@pytest.mark.parametrize("end", ["", "raise ValueError"])
def test_what_importing_a_plugin_changes_in_the_process_is_restored(tmp_path, monkeypatch, statement, state, end):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "changing_plugin.py").write_text(f"import torch\n{statement}\n{end}")
    before = state()
    with suppress(AttnbenchError):
        load_plugin(tmp_path / "changing_plugin.py")
    assert state() == before
