"""Imports point downward only, and torch, mlflow and pandas are loaded by those alone who work with them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "attnbench"

# Each room imports from itself and from the layers below it; rooms of one layer do not import each other.
LAYERS = [
    {"__main__"},
    {"cli"},
    {"runner", "results"},
    {"driver"},
    {"tracking"},
    {"analysis"},
    {"estimate", "store", "engines"},
    {"fingerprint", "grid"},
    {"training"},
    {"models"},
    {"attention", "tasks"},
    {"scores", "scopes"},
    {"plugins", "outcome", "cell"},
    {"user_code"},
    {"plugin_folder"},
    {"registry", "products", "syntax"},
    {"errors", "messages", "metrics"},
]
# The package itself holds the public names; they are imported when they are asked for.
PUBLIC = "attnbench"
HEAVY = {
    "torch": {"products", "scores", "scopes", "attention", "models", "training"},
    "mlflow": set(),
    "pandas": set(),
    "matplotlib": set(),
    "ray": {"engines"},
}
# Engines may ask torch for a GPU, in the worker. These may not even inside a function.
TORCH_FREE = {"cli", "runner", "driver", "tracking", "estimate", "store", "fingerprint", "grid", "tasks"}

FILES = sorted(ROOT.rglob("*.py"))


def room(file: Path) -> str:
    """The room of a file: its folder in the package, or the file itself."""
    first = file.relative_to(ROOT).parts[0]
    return PUBLIC if first == "__init__.py" else first.removesuffix(".py")


def imports(tree: ast.AST, everywhere: bool) -> Iterator[str]:
    """The modules imported: at the top of the file, or also inside functions; not those for type checking alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module == "attnbench":
                yield from (f"attnbench.{alias.name}" for alias in node.names)
        elif _for_type_checking(node):
            continue
        elif everywhere or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from imports(node, everywhere)


def _for_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def rooms(file: Path, everywhere: bool = True) -> set[str]:
    found = imports(ast.parse(file.read_text()), everywhere)
    parts = (name.split(".") for name in found if name.startswith("attnbench."))
    return {part[1] for part in parts if (ROOT / part[1]).is_dir() or (ROOT / f"{part[1]}.py").is_file()}


def layer(name: str) -> int:
    return next(i for i, rooms_of_layer in enumerate(LAYERS) if name in rooms_of_layer)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_point_downward(file):
    here = room(file)
    if here == PUBLIC:
        assert rooms(file, everywhere=False) <= {"errors", "registry"}
        return
    upward = {other for other in rooms(file) - {here} if layer(other) <= layer(here)}
    assert not upward, f"{here} imports {upward}, which is in a layer above or in the same one"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_heavy_packages_are_imported_where_they_are_used(file):
    top = {name.split(".")[0] for name in imports(ast.parse(file.read_text()), everywhere=False)}
    for package, allowed in HEAVY.items():
        assert package not in top or room(file) in allowed, f"{package} at the top of {file.name}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_torch_stays_out_of_what_only_plans_and_reads(file):
    anywhere = {name.split(".")[0] for name in imports(ast.parse(file.read_text()), everywhere=True)}
    assert "torch" not in anywhere or room(file) not in TORCH_FREE


def test_mlflow_is_known_to_tracking_alone():
    users = {
        room(file)
        for file in FILES
        if "mlflow" in {name.split(".")[0] for name in imports(ast.parse(file.read_text()), everywhere=True)}
    }
    assert users <= {"tracking"}


def test_every_room_has_its_layer():
    assert {room(file) for file in FILES} - {PUBLIC} <= set().union(*LAYERS)
