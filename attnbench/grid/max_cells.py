"""Refuses a grid that is too large, before its combinations are built."""

from attnbench.grid.document import Document
from attnbench.grid.schema import GridFile
from attnbench.grid.values import Axes

MAX_TESTS = 10**7  # tests of a combination against an exclude, which take some seconds


def check_max_cells(file: GridFile, axes: Axes, document: Document) -> None:
    """Counts the cells of a grid from the lengths of its axes, without building combinations.

    Raises:
        AttnbenchError: with all problems so far, if the grid is too large to be checked further.
    """
    combinations = 1 if axes.groups else 0
    for group in axes.groups:
        combinations *= len(group)
    combinations += len(axes.includes)
    seeds, tuning = file.seed_count, 0
    if file.tune is not None:
        tuning = file.tune.candidates * file.tune.seeds
    if combinations * (seeds + tuning) > file.max_cells:
        each = f"{seeds:,} seeds" if not tuning else f"({seeds:,} seeds + {tuning:,} cells of tuning)"
        what = f"this grid has {combinations * (seeds + tuning):,} cells ({combinations:,} combinations × {each})"
        hint = f"max_cells is {file.max_cells:,}: remove values from the axes, or increase max_cells"
        document.problems.add(document.place(("grid",), key=True), what, hint)
        document.problems.raise_all()
    if combinations * len(file.exclude) > MAX_TESTS:
        what = f"testing {combinations:,} combinations against {len(file.exclude):,} excludes would take minutes"
        document.problems.add(document.place(("exclude",), key=True), what, "use fewer excludes")
        document.problems.raise_all()
