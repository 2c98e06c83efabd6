"""Loads a user's scores, scopes, tasks and models from a file, a module, or an installed entry point."""

import hashlib
import importlib
import importlib.util
import os
import sys
import traceback
from importlib.metadata import entry_points
from pathlib import Path

from attnbench.errors import AttnbenchError, fail

ENTRY_POINTS = "attnbench.plugins"
_loaded: dict[str, tuple[int, int]] = {}  # modification time and size of each file when it was loaded


def load_plugin(plugin: str | Path) -> None:
    """Imports a plugin, whose decorators register its classes; an unchanged file is loaded only once.

    Args:
        plugin: the path of a .py file, or the dotted name of an importable module.

    Raises:
        AttnbenchError: if there is no such file or module, or importing it raises.
    """
    try:
        if str(plugin).endswith(".py"):
            _import_file(Path(os.path.realpath(plugin)))
        else:
            importlib.import_module(str(plugin))
    except AttnbenchError:
        raise
    except (Exception, SystemExit) as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "importlib" not in f.filename]
        place = f", line {frames[-1].lineno} of {Path(frames[-1].filename).name}" if len(frames) > 1 else ""
        raise fail(
            f"the plugin {plugin} cannot be imported: {type(error).__name__}: {error}{place}",
            hint="fix the plugin, or remove it from plugins: and --plugin",
        ) from error


def load_entry_points() -> None:
    """Imports every installed package with an entry point in the group `attnbench.plugins`."""
    for entry_point in entry_points(group=ENTRY_POINTS):
        load_plugin(entry_point.module)


def _import_file(path: Path) -> None:
    if not os.path.isfile(path):  # Path.is_file raises for a name that is too long
        raise fail(
            f"there is no plugin file {path}",
            hint="plugins: is relative to the grid file's folder, --plugin to the working folder",
        )
    # By the path, so that files of the same name in different folders can be loaded together.
    name = f"attnbench_plugin_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    state = path.stat()
    version = (state.st_mtime_ns, state.st_size)
    if name in sys.modules and _loaded.get(name) == version:
        return
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise fail(f"{path} is not a Python file")
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    _loaded[name] = version
