"""The folder that holds all runs: where it is, and which runs are in it."""

import os
import shlex
from pathlib import Path

from attnbench.errors import AttnbenchError, did_you_mean, fail
from attnbench.files import similar_grid_file

RESULTS = "results"  # unless another folder is given
VARIABLE = "ATTNBENCH_RESULTS"  # the environment variable that names another one
MOST_NAMES = 10  # of runs, in a message


def results_folder(given: str | Path | None = None) -> Path:
    """The folder that holds all runs: as given, else as the environment names it, else `results`."""
    return Path(given if given is not None else os.environ.get(VARIABLE) or RESULTS)


def run_names(results: Path) -> list[str]:
    """The names of the runs in a folder; none if there is no such folder."""
    try:
        names = os.listdir(results)
    except OSError:  # also a file, a link to itself, or a name that is too long
        return []
    return sorted(name for name in names if os.path.isfile(results / name / "plan.json"))


def no_such_run(run: str, results: Path) -> AttnbenchError:
    """The error for a run that is not there: it names the folder that was searched, and the runs in it."""
    names, where = run_names(results), str(results.absolute())
    if run.endswith((".yaml", ".yml")) and (similar := similar_grid_file(Path(run))):
        return fail(f"there is no run {run!r}", where, f"did you mean {similar}?")
    if not names:
        why = "nor any other" if os.path.isdir(results) else "since there is no such folder"
        hint = "train one first: attnbench run GRID.yaml; or name another folder: --results DIR"
        return fail(f"there is no run {run!r}, {why}", where, hint)
    near = did_you_mean(run, names)
    hint = f"{near} " if near.startswith("did") else ""  # else it lists the names, as the next line does
    more = f" and {len(names) - MOST_NAMES} more (attnbench runs)" if len(names) > MOST_NAMES else ""
    return fail(f"there is no run {run!r}", where, f"{hint}its runs: {', '.join(names[:MOST_NAMES])}{more}")


def run_of_grid(file: Path, results: Path) -> Path:
    """The folder of the run that a grid file names.

    Raises:
        AttnbenchError: if the file cannot be read, has no name, or has not been run.
    """
    from attnbench.grid.parse import read

    data = read(file).data
    name = data.get("name") if isinstance(data, dict) else None
    if not isinstance(name, str):
        raise fail("the grid has no name: it is not known which run is meant", str(file), "add name: my-grid")
    folder = results / name
    if not os.path.isfile(folder / "plan.json"):
        what = f"the grid {file} has not been run: there is no run {name!r}"
        raise fail(what, str(results.absolute()), f"attnbench run {shlex.quote(str(file))}")
    return folder
