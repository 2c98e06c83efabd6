"""`attnbench verify`: decides the claims of a grid file by the results of its run."""

import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attnbench.cli import complete
from attnbench.cli.options import RESULTS, Results
from attnbench.cli.output import echo
from attnbench.cli.remarks import print_remarks
from attnbench.errors import AttnbenchError, Problem, fail
from attnbench.files import write_output

if TYPE_CHECKING:
    from attnbench.analysis.claims.results import Results as ClaimResults
    from attnbench.store.store import Store


class Format(StrEnum):
    """Output formats of the verdicts."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


Runs = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN …",
        help="Names of runs, their folders, or their grid files; with --cells, grid files.",
        show_default=False,
        autocompletion=complete.runs,
    ),
]
Cells = Annotated[
    Path | None,
    typer.Option(
        "--cells",
        metavar="FILE.csv|FOLDER",
        help="Verify with cells that --save-cells has written, in place of a run; a folder has one file per grid.",
        show_default=False,
    ),
]
SaveCells = Annotated[
    Path | None,
    typer.Option(
        "--save-cells",
        metavar="FILE.csv|FOLDER",
        help="Also write the cells with the metrics of the claims to a small CSV file, or to FOLDER/<name>.csv.",
        show_default=False,
    ),
]


def verify(
    runs: Runs,
    format: Annotated[Format, typer.Option(help="json: all numbers, unrounded.")] = Format.TEXT,
    strict: Annotated[bool, typer.Option("--strict", help="The exit status is 4 if a claim is undecided.")] = False,
    cells: Cells = None,
    save_cells: SaveCells = None,
    results: Results = RESULTS,
) -> None:
    """Verify the claims of a grid file: supported, contradicted or undecided, with the numbers of each part.

    A claim is a sentence with a rule, under claims: in the grid file. It is supported if all its parts hold, and
    contradicted if one is shown to be wrong. Its seeds are compared in pairs, and the error is held at 5 % for all
    parts of a grid file.

    The exit status is 3 if a claim is contradicted.
    """
    from attnbench.analysis.claims import formats
    from attnbench.analysis.claims.verification import exit_status
    from attnbench.analysis.claims.verification import verify as decide

    found = _results(list(dict.fromkeys(runs)), cells, save_cells, results)
    verifications = [decide(one) for one in found]
    if save_cells is not None:
        _save(found, save_cells)
    if format is Format.TEXT:
        from attnbench.cli.console import Console

        formats.print_verifications(verifications, Console())
    else:
        if format is Format.JSON:  # which has no place for them
            print_remarks(f"{one.name}: {note}" for one in verifications for note in one.notes)
        write = {Format.JSON: formats.to_json, Format.MARKDOWN: formats.to_markdown}[format]
        echo(write(verifications), end="")
    if status := exit_status(verifications, strict):
        raise typer.Exit(status)


def _results(runs: list[str], cells: Path | None, save_cells: Path | None, results: Path) -> "list[ClaimResults]":
    """Returns the claims and cells of every run, or the problems of all of them."""
    from attnbench.analysis.claims.results import results_of_run
    from attnbench.analysis.claims.saved import SUFFIX, results_of_file
    from attnbench.store.store import Store

    for option, path in (("--cells", cells), ("--save-cells", save_cells)):
        if path is not None and path.suffix == SUFFIX and not path.is_dir() and len(runs) > 1:
            raise fail(f"{path} is one file, and there are {len(runs)} runs", option, "give a folder, or one run")
    if cells is not None and save_cells is not None:
        raise fail("cannot be used with --cells, whose cells are saved already", "--save-cells", "omit one of them")
    found, problems = [], []
    for run in runs:
        try:
            if cells is None:
                store = Store.open(run, results)
                print_remarks(_other_claims(run, store))
                found.append(results_of_run(store))
            elif not run.endswith((".yaml", ".yml")):
                raise fail(f"{run!r} is not a grid file", "--cells", f"give the grid file, e.g. {run}.yaml")
            else:
                found.append(results_of_file(Path(run), cells))
        except AttnbenchError as error:
            problems += [problem for problem in error.problems if problem not in problems]
    if problems:
        raise AttnbenchError(*problems)
    return found


def _other_claims(run: str, store: "Store") -> list[str]:
    """A remark where the argument is a grid file whose claims were changed after its run."""
    from attnbench.analysis.claims.results import claims_differ

    if run == store.name or not Path(run).is_file() or not claims_differ(store, Path(run)):
        return []
    verified = f"{run} has other claims than its last run, which are verified ({store.folder / 'grid.yaml'})"
    return [f"{verified}: attnbench run {shlex.quote(run)} takes them over"]


def _save(found: "list[ClaimResults]", path: Path) -> None:
    """Writes the cells of every run."""
    from attnbench.analysis.claims.saved import saved_file, saved_text

    for one in found:
        file = saved_file(path, one.name)
        if file.parent == path:
            try:
                path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                problem = Problem(f"this folder cannot be made: {error.strerror}", f"--save-cells {path}")
                raise AttnbenchError(problem) from None
        write_output(file, saved_text(one))
        echo(f"Wrote {file}", error=True)
