"""Makes the folder of a plugin file importable for the plugin, and for nothing else.

Each folder is a package with a private name, and its files are modules of it: `import helper` in a plugin imports
`attnbench_plugin_<hash>.helper`. So the helper.py of another plugin is another module, a utils.py beside the plugin
does not replace the `utils` of an installed package, and relative imports work too. Adding the folder to sys.path would
do the opposite, for the whole process.
"""

import builtins
import hashlib
import importlib
import sys
from collections.abc import Sequence
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import find_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

PREFIX = "attnbench_plugin_"
# These are never taken from the plugin's folder: a file torch.py in it would break every plugin.
NEVER_LOCAL = sys.stdlib_module_names | {"attnbench", "torch", "numpy"}

compiled: dict[Path, bytes] = {}  # the source of each loaded file, as it was when it was loaded
_folders: dict[str, Path] = {}  # by private package
_files: dict[str, Path] = {}  # plugin files by module, because their names need not be identifiers


def module_name(file: Path) -> str:
    """Returns the private module name of a plugin file, and makes it importable."""
    package = f"{PREFIX}{_hash(file.parent)}"
    module = f"{package}.{file.stem if file.stem.isidentifier() else f'file_{_hash(file)}'}"
    _folders[package], _files[module] = file.parent, file
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    return module


def folder_of(module: str) -> Path | None:
    """Returns the plugin folder that a module belongs to; None for an ordinary module."""
    return _folders.get(module.partition(".")[0])


@cache
def is_local(folder: Path, name: str) -> bool:
    """Whether a plugin in this folder means a file or package in it by `import name`. Call `forget` after changes."""
    if name in NEVER_LOCAL:
        return False
    if (folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file():
        return True
    # A folder without __init__.py is a package only where no other is found, as in Python itself.
    return any((folder / name).glob("*.py")) and installed(name) is None


def forget() -> None:
    """Forgets which files exist, before a plugin is loaded."""
    importlib.invalidate_caches()
    is_local.cache_clear()
    _is_importable.cache_clear()


def installed(name: str) -> ModuleSpec | None:
    """Returns the spec of a top-level module that any program could import; None if there is none."""
    try:
        return find_spec(name)
    except (ImportError, ValueError, AttributeError):  # a broken package, or a module without a spec
        return None


def _hash(path: Path) -> str:
    return hashlib.sha256(str(path).encode()).hexdigest()[:12]


@cache
def _is_importable(folder: Path, name: str) -> bool:
    """Whether an ordinary import finds this very file: then its module is not loaded twice under two names."""
    spec = installed(name)
    origin = spec.origin if spec else None
    return origin is not None and Path(origin).resolve() in (folder / f"{name}.py", folder / name / "__init__.py")


class _Finder(MetaPathFinder):
    """Finds the private packages and their modules."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See MetaPathFinder."""
        if not fullname.startswith(PREFIX):
            return None
        if fullname in _folders:
            package = ModuleSpec(fullname, None, is_package=True)
            package.submodule_search_locations = [str(_folders[fullname])]
            return package
        if fullname in _files:
            file = str(_files[fullname])
            return spec_from_file_location(fullname, file, loader=_Loader(fullname, file))
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(fullname, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    """Compiles the source, keeps it, and lets the module import its neighbours."""

    def exec_module(self, module: ModuleType) -> None:
        """See Loader."""
        # Not from a .pyc file: an edit within the same second that keeps the size would not be noticed.
        source = self.get_data(self.path)
        code = self.source_to_code(source, self.path)
        compiled[Path(self.path)] = source
        package = module.__name__.partition(".")[0]
        # An import statement looks up __import__ in the module's own builtins, also later and inside functions.
        vars(module)["__builtins__"] = vars(builtins) | {"__import__": _importer(package, _folders[package])}
        exec(code, vars(module))


def _importer(package: str, folder: Path) -> Any:
    """Returns the __import__ of the modules in a plugin's folder."""

    def import_(
        name: str, globals: Any = None, locals: Any = None, fromlist: Sequence[str] = (), level: int = 0
    ) -> ModuleType:
        top = name.partition(".")[0]
        if level or not is_local(folder, top) or _is_importable(folder, top):
            return builtins.__import__(name, globals, locals, fromlist, level)
        leaf = builtins.__import__(f"{package}.{name}", globals, locals, fromlist or ("__name__",), 0)
        # `import a.b` binds a, `from a.b import c` reads c from a.b.
        return leaf if fromlist else sys.modules[f"{package}.{top}"]

    return import_
