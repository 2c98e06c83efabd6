"""Imports the user's modules from their source, never from a .pyc file.

Python takes a .pyc file for current if the source has the same size and was edited in the same second, which `cp -p`,
`rsync -t` and quick edits produce. The fingerprint is computed from the source, so the source must also be what runs.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from attnbench.plugin_folder import PREFIX
from attnbench.user_code import PACKAGE, is_library


class SourceLoader(SourceFileLoader):
    """Compiles the source on every import."""

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002
        """See InspectLoader."""
        return self.source_to_code(self.get_data(self.path), self.path)


class _Finder(MetaPathFinder):
    """Finds the modules of the user, and leaves all others, also those of plugin folders, to the next finder."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See MetaPathFinder."""
        if fullname.partition(".")[0] == PACKAGE or fullname.startswith(PREFIX):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or not isinstance(spec.loader, SourceFileLoader) or is_library(Path(spec.loader.path).parent):
            return None
        spec.loader = SourceLoader(fullname, spec.loader.path)
        return spec


def import_from_source() -> None:
    """Makes all later imports of the user's modules in this process compile their source."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
