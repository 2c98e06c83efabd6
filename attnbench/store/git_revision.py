"""The Git revision of a folder. No program that its repository names is executed: it may be somebody else's."""

import os
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

ANSWERS_WITHIN = 10.0  # seconds
# Not the monitor of changed files, and no remote from which missing objects would be fetched. The lock would disturb
# the user's own git commands.
_OPTIONS = ("--no-optional-locks", "-c", "core.fsmonitor=false")
_NO_REMOTES = {"GIT_ALLOW_PROTOCOL": "none"}
_FILTERS = r"^filter\..*\.(clean|process|required)$"


def git_revision(folder: Path) -> str | None:
    """The revision of the Git repository that a folder is in, with "-dirty" where a tracked file was changed.

    None without git, outside of a repository, or where git takes too long. Filters are not applied, so that a file that
    was only touched may count as changed if it has one.
    """
    head = _git(folder, "rev-parse", "HEAD")
    if not head:
        return None
    # Not the changes inside submodules, which have settings of their own.
    status = ("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=dirty")
    return f"{head}-dirty" if _git(folder, *status, settings=_without_filters(folder)) else head


def _without_filters(folder: Path) -> dict[str, str]:
    """Settings by which git compares the files as they are, and not as a command of the repository changes them."""
    names = (_git(folder, "config", "--null", "--name-only", "--get-regexp", _FILTERS) or "").split("\0")
    return {name: "false" if name.endswith(".required") else "" for name in names if name}


def _git(folder: Path, *arguments: str, settings: Mapping[str, str] | None = None) -> str | None:
    """The output of a git command; None if it fails."""
    command = ["git", "-C", str(folder), *_OPTIONS, *arguments]
    environment = {**os.environ, **_NO_REMOTES, **_as_variables(settings or {})}
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            command, capture_output=True, timeout=ANSWERS_WITHIN, check=True, stdin=subprocess.DEVNULL, env=environment
        )
        return done.stdout.decode(errors="replace").strip()
    return None


def _as_variables(settings: Mapping[str, str]) -> dict[str, str]:
    """Settings of git as environment variables: unlike `-c`, they may have "=" in their names."""
    given = os.environ.get("GIT_CONFIG_COUNT", "")
    first = int(given) if given.isdecimal() else 0  # those of the user, such as safe.directory, are kept
    found = {"GIT_CONFIG_COUNT": str(first + len(settings))}
    for number, (name, value) in enumerate(settings.items(), first):
        found |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return found
