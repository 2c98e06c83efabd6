"""Imports point downward only, there are no cycles, and few modules import torch, mlflow and pandas."""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "attnbench"

# Each room imports from itself and from the layers below it; rooms of one layer do not import each other.
LAYERS = [
    {"__main__"},
    {"cli"},
    {"runner", "results", "guarding"},
    {"session"},
    {"driver", "run_messages"},
    {"tracking"},
    {"stages"},
    {"analysis"},
    {"estimate", "store", "engines"},
    {"fingerprint", "grid"},
    {"training"},
    {"models"},
    {"attention", "tasks"},
    {"scores", "scopes", "parts"},
    {"normalisers"},
    {"plugins", "outcome", "cell"},
    {"uncached_imports"},
    {"user_code"},
    {"plugin_folder"},
    {"registry"},
    {"registered", "products", "noise", "masking", "attention_types", "syntax"},
    {"files", "option_types"},
    {"errors"},
    {"messages", "metrics", "safe_path", "contained"},
    {"escapes", "environment"},
]
# The same inside a folder, by file.
INNER_LAYERS = {
    "store": [
        {"reuse"},
        {"status", "runs"},
        {"store"},
        {"table", "plan", "checkpoints"},
        {"index"},
        {"record", "commit", "lock", "provenance"},
        {"alignments", "atomic", "schema", "results_folder", "git_revision"},
    ],
    "tracking": [
        {"worker", "sync"},
        {"client"},
        {"runs"},
        {"content", "not_logged", "server"},
        {"pictures"},
    ],
}
# The package itself holds the public names; they are imported on first use.
PUBLIC = "attnbench"
HEAVY = {
    "torch": {
        *{"masking", "noise", "products", "scores", "scopes", "normalisers", "parts", "attention_types", "attention"},
        *{"models", "training", "guarding"},
    },
    "mlflow": set(),
    "pandas": set(),
    "matplotlib": set(),
    "ray": {"engines"},
}
# Engines may ask torch for a GPU, in the worker. These may not even inside a function.
TORCH_FREE = {"cli", "runner", "results", "driver", "tracking", "estimate", "store", "fingerprint", "grid", "tasks"}

FILES = sorted(ROOT.rglob("*.py"))
MODULES = {
    ".".join(file.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): file for file in FILES
}


def room(file: Path) -> str:
    """The room of a file: its folder in the package, or the file itself."""
    first = file.relative_to(ROOT).parts[0]
    return PUBLIC if first == "__init__.py" else first.removesuffix(".py")


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def imports(tree: ast.AST, everywhere: bool) -> Iterator[str]:
    """The modules imported: at the top of the file, or also inside functions; not those for type checking alone.

    `from attnbench.cli import table` gives the module attnbench.cli.table, and `import app` the package attnbench.cli.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in MODULES else node.module for name in names)
        elif _for_type_checking(node):
            continue
        elif everywhere or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from imports(node, everywhere)


def _for_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def rooms(file: Path, everywhere: bool = True) -> set[str]:
    found = imports(parsed(file), everywhere)
    parts = (name.split(".") for name in found if name.startswith("attnbench."))
    return {part[1] for part in parts if (ROOT / part[1]).is_dir() or (ROOT / f"{part[1]}.py").is_file()}


def layer(name: str, layers: list[set[str]] = LAYERS) -> int:
    return next(i for i, of_layer in enumerate(layers) if name in of_layer)


def modules_imported_by(file: Path) -> set[str]:
    """The modules of the package that a file imports, also inside functions."""
    return set(imports(parsed(file), everywhere=True)) & MODULES.keys()


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_point_downward(file):
    here = room(file)
    if here == PUBLIC:
        assert rooms(file, everywhere=False) <= {"errors", "registry"}
        return
    upward = {other for other in rooms(file) - {here} if layer(other) <= layer(here)}
    assert not upward, f"{here} imports {upward}, which is in a layer above or in the same one"


def test_no_modules_import_each_other():
    """Not even inside functions, where Python would allow it."""
    graph = {name: modules_imported_by(file) for name, file in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"each of these imports the one before it: {' → '.join(error.args[1])}")


@pytest.mark.parametrize("folder", INNER_LAYERS)
def test_imports_inside_a_folder_point_downward(folder):
    layers = INNER_LAYERS[folder]
    files = [file for file in FILES if file.parent == ROOT / folder and file.stem != "__init__"]
    assert {file.stem for file in files} == set().union(*layers), "every file has its layer"
    prefix = f"attnbench.{folder}."
    for file in files:
        inside = {name.removeprefix(prefix) for name in modules_imported_by(file) if name.startswith(prefix)}
        upward = {other for other in inside if layer(other, layers) <= layer(file.stem, layers)}
        assert not upward, f"{folder}/{file.name} imports {upward}, which is in a layer above or in the same one"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_heavy_packages_are_imported_where_they_are_used(file):
    top = {name.split(".")[0] for name in imports(parsed(file), everywhere=False)}
    for package, allowed in HEAVY.items():
        assert package not in top or room(file) in allowed, f"{package} at the top of {file.name}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_planning_and_reading_never_import_torch(file):
    anywhere = {name.split(".")[0] for name in imports(parsed(file), everywhere=True)}
    assert "torch" not in anywhere or room(file) not in TORCH_FREE


def test_only_tracking_imports_mlflow():
    users = {
        room(file)
        for file in FILES
        if "mlflow" in {name.split(".")[0] for name in imports(parsed(file), everywhere=True)}
    }
    assert users <= {"tracking"}


def test_every_room_has_a_layer():
    assert {room(file) for file in FILES} - {PUBLIC} <= set().union(*LAYERS)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_text_files_are_opened_with_their_encoding(file):
    """Else Python takes that of the locale, which need not be UTF-8."""
    for call in (node for node in ast.walk(parsed(file)) if isinstance(node, ast.Call)):
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        # Path.open has its mode as the first argument, open as the second.
        binary = any(isinstance(arg, ast.Constant) and "b" in str(arg.value) for arg in call.args[:2])
        # `Store.open` opens no file, `os.open` and an archive no text file; an opener of URLs gives bytes.
        called = ast.unparse(call.func)
        file_object = called not in ("Store.open", "os.open", "archive.open") and "build_opener" not in ast.unparse(
            call
        )
        if name in ("read_text", "write_text", "open", "TemporaryFile") and file_object:
            assert binary or "encoding" in {keyword.arg for keyword in call.keywords}, f"{file}:{call.lineno}"
