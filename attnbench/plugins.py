"""Loads a user's scores, scopes, tasks and models from a file, a module, or an installed entry point.

The code of each component is remembered as it was when it was loaded: a file that is edited later must not change what
the results of this process are said to come from.
"""

import importlib
import os
import sys
import traceback
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path

from attnbench import plugin_folder
from attnbench.contained import contained
from attnbench.errors import AttnbenchError, fail
from attnbench.messages import message_of
from attnbench.registered.entry import Entry
from attnbench.registry import REGISTRIES
from attnbench.syntax import digest_of_source
from attnbench.uncached_imports import import_from_source
from attnbench.user_code import Root, UserCode, root_of_file, root_of_module, user_code, version_of

ENTRY_POINTS = "attnbench.plugins"
SCRIPTS = ("__main__", "__mp_main__")  # the second is the name of the main module in spawned workers
_HIDDEN = (__file__, plugin_folder.__file__)  # not part of a traceback that a user reads

_loaded: dict[str, UserCode] = {}  # by path or module name
_code: dict[tuple[str, str], tuple[Entry, list[UserCode]]] = {}  # by kind and name of a component


def load_plugin(plugin: str | Path, keep: bool = False) -> None:
    """Imports a plugin, whose decorators register its classes; it is loaded again only if its code has changed.

    A file can import the files and packages beside it.

    Args:
        plugin: the path of a .py file, or the dotted name of an importable module.
        keep: whether to keep a version that is loaded already, also if its files were edited since.

    Raises:
        AttnbenchError: if there is no such file or module, or importing it raises.
    """
    is_file = str(plugin).endswith(".py")
    name = os.path.realpath(plugin) if is_file else str(plugin)
    if is_file and not os.path.isfile(name) and not (keep and name in _loaded):  # Path.is_file raises for a long name
        raise fail(
            f"there is no plugin file {name}",
            hint="plugins: is relative to the grid file's folder, --plugin to the working folder",
        )
    module = plugin_folder.module_name(Path(name)) if is_file else name
    known = _loaded.get(name) if module in sys.modules else None
    if known is not None and (keep or not _edited(known)):
        return
    plugin_folder.forget()
    if name in _loaded:
        _unload(_loaded.pop(name))
    before = set(sys.modules)
    import_from_source()
    try:
        with contained():
            importlib.import_module(module)
        _remember(name, module)
    except BaseException as error:
        for new in set(sys.modules) - before:
            if new.startswith(plugin_folder.PREFIX):
                _forget_module(new)  # a neighbour that was imported may be edited before the next attempt
        if isinstance(error, AttnbenchError | KeyboardInterrupt):
            raise
        raise _cannot_import(plugin, error) from error


def load_entry_points() -> None:
    """Imports every installed package with an entry point in the group `attnbench.plugins`."""
    for entry_point in entry_points(group=ENTRY_POINTS):
        load_plugin(entry_point.module)


def code_of(components: Mapping[str, str]) -> dict[str, str]:
    """Returns the digest of each of the user's own files that these components consist of, as they were loaded.

    Args:
        components: names by kind; built-in and unknown ones are skipped.

    Returns:
        Digests of the syntax by name: "plugin:my_score.py", or the name of a module. Two files with one name, which
        plugins in two folders may have, share an entry.

    Raises:
        AttnbenchError: if a file cannot be read.
    """
    files: dict[Path, tuple[str, str]] = {}
    for kind, name in components.items():
        for code in _codes(kind, name):
            files |= {file: (name, _digest(file, code)) for file, name in code.names.items()}
    digests: dict[str, list[str]] = {}
    for name, digest in files.values():
        digests.setdefault(name, []).append(digest)
    return {name: "+".join(sorted(several)) for name, several in sorted(digests.items())}


def imports_of_package(components: Mapping[str, str]) -> frozenset[tuple[str, ...]]:
    """Returns the modules of attnbench that the files of `code_of` import, as parts of their names."""
    return frozenset(
        parts for kind, name in components.items() for code in _codes(kind, name) for parts in code.of_package
    )


def _codes(kind: str, name: str) -> list[UserCode]:
    """Returns the code that defines a component, and the code that registers it, if that is another file."""
    registry = REGISTRIES[kind]
    if registry.is_builtin(name) or name not in registry:
        return []
    entry = registry.entry(name)
    known = _code.get((kind, name))
    if known is None or known[0] is not entry:  # an entry is replaced when its plugin is loaded again
        try:
            _code[kind, name] = known = (entry, [user_code(root, _read) for root in _roots(entry)])
        except OSError as error:
            raise fail(f"cannot be read: {error.strerror}", str(error.filename)) from None
    return known[1]


def _roots(entry: Entry) -> list[Root]:
    sources = entry.sources or ((entry.file, ""),)
    return [_root(file, module) for file, module in dict.fromkeys(sources)]


def _root(file: Path, module: str) -> Root:
    folder = plugin_folder.folder_of(module)
    if folder is not None:
        return Root(file, folder, folder)
    return root_of_file(file) if module in (*SCRIPTS, "") else root_of_module(file, module)


def _remember(name: str, module: str) -> None:
    """Stores the code of a plugin that was just imported, and of the components that it registered."""
    place = getattr(sys.modules[module], "__file__", None)
    _loaded[name] = user_code(_root(Path(place), module), _read) if place else UserCode()
    for kind, registry in REGISTRIES.items():
        for component in registry.names():
            if not registry.is_builtin(component) and registry.entry(component).file in _loaded[name].names:
                _codes(kind, component)


def _edited(code: UserCode) -> bool:
    return any(version_of(file) != version for file, version in code.versions.items())


def _unload(code: UserCode) -> None:
    """Removes the modules of these files, so that they are imported again."""
    for name, module in list(sys.modules.items()):
        place = getattr(module, "__file__", None)
        if place and Path(place) in code.names and name not in SCRIPTS:
            _forget_module(name)
    for file in code.names:
        plugin_folder.compiled.pop(file, None)


def _forget_module(name: str) -> None:
    module = sys.modules.pop(name)
    package, _, leaf = name.rpartition(".")
    # `from . import helper` takes the attribute of the package, if there is one, and not what is in sys.modules.
    if vars(sys.modules.get(package, module)).get(leaf) is module:
        delattr(sys.modules[package], leaf)


def _read(file: Path) -> bytes:
    """Returns the source that was compiled, or else the file as it is."""
    source = plugin_folder.compiled.get(file)
    return file.read_bytes() if source is None else source


def _digest(file: Path, code: UserCode) -> str:
    # A neighbour imported inside a function may have been edited between loading the plugin and calling the function.
    source = plugin_folder.compiled.get(file)
    return code.digests[file] if source is None else _cached_digest(source)


@lru_cache(maxsize=1024)
def _cached_digest(source: bytes) -> str:
    return digest_of_source(source)


def _cannot_import(plugin: str | Path, error: BaseException) -> AttnbenchError:
    every = traceback.extract_tb(error.__traceback__)
    frames = [f for f in every if "importlib" not in f.filename and f.filename not in _HIDDEN]
    place = f", line {frames[-1].lineno} of {Path(frames[-1].filename).name}" if frames else ""
    return fail(
        f"the plugin {plugin} cannot be imported: {type(error).__name__}: {message_of(error)}{place}",
        hint="fix the plugin, or remove it from plugins: and --plugin",
    )
