"""Where and with what a run was trained, one entry per time that `attnbench run` trained cells.

The entries are a file of their own, so that the files of the cells are the same wherever they were trained.
"""

import json
import os
import platform
import subprocess
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attnbench.store.atomic import UNREADABLE, check_seal, sealed, write_json

PROVENANCE = "provenance.json"
LARGEST = 10_000_000  # bytes; an entry has about 300
GIT_ANSWERS_WITHIN = 10.0  # seconds


@dataclass(frozen=True)
class Provenance:
    """One time that cells were trained.

    Attributes:
        date: of the start, in UTC, as in 2026-01-31T12:00:00Z.
        attnbench: its version.
        git: the revision of the repository that the grid file is in, followed by "-dirty" where a file of it was
            changed; None outside of a repository.
        python: its version.
        system: operating system and architecture.
        cpu: the name of the processor of the machine that drives the run.
        cores: how many of them the run could use.
        engine: processes, serial or ray.
        cells: how many were to be trained.
    """

    date: str
    attnbench: str
    git: str | None
    python: str
    system: str
    cpu: str
    cores: int
    engine: str
    cells: int


_KINDS = {"cores": int, "cells": int}  # the other fields are text


def current(grid_folder: Path, attnbench: str, engine: str, cores: int, cells: int) -> Provenance:
    """The provenance of what is trained now."""
    return Provenance(
        date=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        attnbench=attnbench,
        git=git_revision(grid_folder),
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        cpu=_cpu(),
        cores=cores,
        engine=engine,
        cells=cells,
    )


def note(run: Path, entry: Provenance) -> None:
    """Adds an entry to the provenance of a run. The caller must hold the lock.

    Raises:
        AttnbenchError: if the file cannot be written.
    """
    write_json(run / PROVENANCE, sealed({"trained": [asdict(one) for one in (*read(run), entry)]}))


def read(run: Path) -> list[Provenance]:
    """The entries of a run, the oldest first; none for a run of an earlier version, and for a damaged or edited file.

    No result depends on the file, so a damaged one is no reason to refuse the others.
    """
    file = run / PROVENANCE
    try:
        if not file.is_file() or file.stat().st_size > LARGEST:
            return []
        content = json.loads(file.read_text(encoding="utf-8"))
        check_seal(content)
        return [_entry(entry) for entry in content["trained"]]
    except (*UNREADABLE, LookupError, TypeError, AttributeError):
        return []


def git_revision(folder: Path) -> str | None:
    """The revision of the Git repository that a folder is in, with "-dirty" where a tracked file was changed."""
    head = _git(folder, "rev-parse", "HEAD")
    if not head:
        return None
    return f"{head}-dirty" if _git(folder, "status", "--porcelain", "--untracked-files=no") else head


def _git(folder: Path, *arguments: str) -> str | None:
    """The output of a git command; None without git, outside of a repository, or where it takes too long."""
    # The monitor is a program that the repository names; the lock would disturb the user's own git commands.
    options = ["--no-optional-locks", "-c", "core.fsmonitor=false"]
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            ["git", "-C", str(folder), *options, *arguments],
            capture_output=True,
            timeout=GIT_ANSWERS_WITHIN,
            check=True,
            stdin=subprocess.DEVNULL,
        )
        return done.stdout.decode(errors="replace").strip()
    return None


def _cpu() -> str:
    """The name of the processor. On Linux, Python's `platform` has only its architecture."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("model name", "Model", "cpu model") and value.strip():
                return value.strip()
    return platform.processor() or platform.machine() or os.name


def _entry(content: Any) -> Provenance:
    """An entry as it was written.

    Raises:
        LookupError, TypeError: if it is not one.
    """
    values = {field.name: content[field.name] for field in fields(Provenance)}
    for name, value in values.items():
        if not (isinstance(value, _KINDS.get(name, str)) or (name == "git" and value is None)):
            raise TypeError(f"{name} is {value!r}")
    return Provenance(**values)
