"""Where and with what a run was trained, one entry per time that `attnbench run` trained cells.

The entries are a file of their own, so that the files of the cells are the same wherever they were trained.
"""

import os
import platform
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from attnbench.store.atomic import UNREADABLE, read_sealed, sealed, write_json
from attnbench.store.git_revision import git_revision

PROVENANCE = "provenance.json"
LARGEST = 10_000_000  # bytes; an entry has about 300


class Provenance(BaseModel):
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

    model_config = ConfigDict(frozen=True, strict=True)

    # The report quotes version and revision in commands that a reader may copy.
    date: str
    attnbench: Annotated[str, Field(pattern=r"^[0-9A-Za-z.+!-]{1,100}$")]
    git: Annotated[str | None, Field(pattern=r"^[0-9a-f]{4,64}(-dirty)?$")]
    python: str
    system: str
    cpu: str
    cores: int
    engine: str
    cells: int


class ProvenanceFile(BaseModel):
    """The content of the file, the oldest entry first."""

    trained: list[Provenance]


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
    content = ProvenanceFile(trained=[*read(run), entry])
    write_json(run / PROVENANCE, sealed(content.model_dump(mode="json")))


def read(run: Path) -> list[Provenance]:
    """The entries of a run, the oldest first; none for a run of an earlier version, and for a damaged or edited file.

    No result depends on the file, so a damaged one is no reason to refuse the others.
    """
    try:
        content = read_sealed(run / PROVENANCE, ProvenanceFile, LARGEST, later=("trained",))
    except UNREADABLE:
        return []
    return ProvenanceFile.model_validate(content).trained


def _cpu() -> str:
    """The name of the processor. On Linux, Python's `platform` has only its architecture."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("model name", "Model", "cpu model") and value.strip():
                return value.strip()
    return platform.processor() or platform.machine() or os.name
