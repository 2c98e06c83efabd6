"""The user's own files that a component consists of: the file that defines it, and what that imports.

Files of the standard library and of installed packages do not count: they are identified by their versions. Imports are
read from the syntax, also those inside functions; `importlib.import_module` is not seen.
"""

import ast
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from attnbench.plugin_folder import NEVER_LOCAL, installed, is_local
from attnbench.syntax import Import, digest_of_source, imports_of

PACKAGE = "attnbench"
FILE = "plugin:"  # begins the name of a file in a plugin's folder; other files are named as modules
_INSTALLED = {"site-packages", "dist-packages"}
_LIBRARIES = [
    Path(folder) for name in ("stdlib", "platstdlib", "purelib", "platlib") if (folder := sysconfig.get_path(name))
]

Version = tuple[int, ...]


@dataclass(frozen=True)
class Root:
    """A file to start from.

    Attributes:
        file: the file.
        base: the folder that its module name is relative to.
        folder: the plugin's folder, whose files it may import; None for an ordinary module.
    """

    file: Path
    base: Path
    folder: Path | None


@dataclass
class UserCode:
    """The user's own files of a component, as they were when it was loaded.

    Attributes:
        names: by file: "plugin:helper.py" relative to the plugin's folder, or the name of a module. They do not contain
            the place of the project.
        digests: of the syntax of each file, without comments and docstrings.
        versions: what changes when a file is edited.
        of_package: the modules of attnbench that the files import.
    """

    names: dict[Path, str] = field(default_factory=dict)
    digests: dict[Path, str] = field(default_factory=dict)
    versions: dict[Path, Version] = field(default_factory=dict)
    of_package: set[tuple[str, ...]] = field(default_factory=set)


def root_of_file(file: Path) -> Root:
    """The root of a plugin file or a script."""
    return Root(file, file.parent, file.parent)


def root_of_module(file: Path, module: str) -> Root:
    """The root of a module that is imported by name."""
    parts = module.split(".")
    depth = len(parts) if file.name == "__init__.py" else len(parts) - 1
    base = file.parents[min(depth, len(file.parents) - 1)]
    return Root(file, base, None)


def user_code(root: Root, read: Callable[[Path], bytes] = Path.read_bytes) -> UserCode:
    """Returns the code that begins with this file.

    Args:
        root: the file.
        read: gives the content of a file.

    Raises:
        OSError: if a file cannot be read.
    """
    found = UserCode()
    top = root.file.relative_to(root.base).parts[0].removesuffix(".py")
    waiting = [root]
    # Importing a.b.c also runs the __init__.py of a and of a.b.
    if root.folder is None:
        waiting += [Root(file, root.base, None) for file in _files(root.base, _module(root.file, root.base))]
    while waiting:
        one = waiting.pop()
        if one.file in found.names:
            continue
        found.versions[one.file] = version_of(one.file)
        content = read(one.file)
        found.names[one.file] = _name(one)
        found.digests[one.file] = digest_of_source(content)
        imports = _imports(content)
        found.of_package |= {item.parts for item in imports if not item.level and item.parts[0] == PACKAGE}
        waiting += [other for item in imports for other in _imported(one, item, top)]
    return found


def _imports(content: bytes) -> list[Import]:
    try:
        return imports_of(ast.parse(content))
    except (SyntaxError, ValueError):  # a file that is imported in a function that is not called
        return []


def version_of(file: Path) -> Version:
    """Returns what changes when a file is edited or replaced, without reading it; () if it does not exist."""
    try:
        state = file.stat()
    except OSError:
        return ()
    return state.st_mtime_ns, state.st_ctime_ns, state.st_size, state.st_ino


def _name(one: Root) -> str:
    if one.folder is not None and one.file.is_relative_to(one.folder):
        return FILE + one.file.relative_to(one.folder).as_posix()
    return ".".join(_module(one.file, one.base))


def _module(file: Path, base: Path) -> tuple[str, ...]:
    """Returns the parts of a file's module name."""
    parts = file.relative_to(base).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts


def _imported(importer: Root, item: Import, top: str) -> Iterator[Root]:
    """Returns the user's own files that an import runs; `top` is the top-level name that always counts."""
    if item.level:
        if item.level <= len(importer.file.parents):
            folder = importer.file.parents[item.level - 1]
            if folder.is_relative_to(importer.base):
                yield from (Root(file, importer.base, importer.folder) for file in _files(folder, item.parts))
        return
    name = item.parts[0]
    if name in NEVER_LOCAL:  # includes PACKAGE
        return
    if importer.folder is not None and is_local(importer.folder, name):
        folder = importer.folder
        yield from (Root(file, folder, folder) for file in _files(folder, item.parts))
        return
    for base in _bases(name):
        if name == top or not is_library(base):
            yield from (Root(file, base, None) for file in _files(base, item.parts))


def _bases(name: str) -> list[Path]:
    """Returns the folders that contain a top-level module or package."""
    spec = installed(name)
    if spec is None:
        return []
    if spec.submodule_search_locations is not None:
        return [Path(place).parent.resolve() for place in spec.submodule_search_locations]
    return [Path(spec.origin).parent.resolve()] if spec.origin and spec.origin.endswith(".py") else []


def is_library(folder: Path) -> bool:
    """Whether a folder has installed packages or the standard library."""
    return not _INSTALLED.isdisjoint(folder.parts) or any(folder.is_relative_to(library) for library in _LIBRARIES)


def _files(folder: Path, parts: tuple[str, ...]) -> Iterator[Path]:
    """Returns the files that importing a module runs: its own, and the __init__.py of each package around it."""
    for end in range(1, len(parts) + 1):
        place = folder.joinpath(*parts[:end])
        if (package := place / "__init__.py").is_file():
            yield package
        elif (module := place.with_name(f"{place.name}.py")).is_file():
            yield module
