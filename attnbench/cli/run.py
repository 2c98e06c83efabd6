"""`attnbench run`: trains all unfinished cells of a grid, then prints the comparison table."""

import shlex
import shutil
import sys
import textwrap
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attnbench.cli.interrupt import interrupted_by_signals
from attnbench.cli.options import (
    RESULTS,
    GridFile,
    plugin_option,
    results_argument,
    results_option,
    set_option,
    tracking_option,
)
from attnbench.cli.output import OutputError
from attnbench.errors import AttnbenchError, Exit

if TYPE_CHECKING:
    import pandas as pd

    from attnbench.cli.console import Console
    from attnbench.cli.live import View
    from attnbench.grid.plan import Plan
    from attnbench.store.store import Store


# The names are repeated here, because runner.ENGINES imports all engines, which would slow down `--help`.
class EngineName(StrEnum):
    """The engines."""

    PROCESSES = "processes"
    SERIAL = "serial"
    RAY = "ray"


class Device(StrEnum):
    """The devices to train on."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


# The groups of options in --help.
GRID, CELLS, TRAINING, OUTPUT = "The grid", "Which cells are trained", "How they are trained", "Results"

Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        metavar="N",
        help="Number of packs trained at a time; default: the number of cores.",
        rich_help_panel=TRAINING,
    ),
]
Engine = Annotated[
    EngineName,
    typer.Option(
        "--engine",
        help="processes: one process per worker; serial: in this process, for debugging; ray: on a Ray cluster.",
        rich_help_panel=TRAINING,
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="auto|ray://HOST:PORT",
        help="Ray cluster to connect to; default: start one on this machine.",
        rich_help_panel=TRAINING,
    ),
]
GpusPerPack = Annotated[
    float | None,
    typer.Option(
        "--gpus-per-pack",
        metavar="SHARE",
        help="Share of a GPU that Ray reserves per pack; default: 0.25.",
        rich_help_panel=TRAINING,
    ),
]
DeviceName = Annotated[Device, typer.Option("--device", help="auto: a GPU if there is one.", rich_help_panel=TRAINING)]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        min=1,
        metavar="N",
        help="Maximum number of cells to train now, in whole packs; at least one pack is trained.",
        rich_help_panel=CELLS,
    ),
]
FailFast = Annotated[bool, typer.Option("--fail-fast", help="Stop after the first failed cell.", rich_help_panel=CELLS)]
RetryFailed = Annotated[
    bool,
    typer.Option(
        "--retry-failed", help="Train failed cells again; by default they are skipped.", rich_help_panel=CELLS
    ),
]
KeepStale = Annotated[
    bool,
    typer.Option(
        "--keep-stale",
        help="Keep cells whose training code has changed; by default they are trained again.",
        rich_help_panel=CELLS,
    ),
]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Train all cells again, including finished ones.", rich_help_panel=CELLS)
]
NoReuse = Annotated[
    bool,
    typer.Option(
        "--no-reuse",
        help="Train cells that another run has trained already; by default they are copied.",
        rich_help_panel=CELLS,
    ),
]
Name = Annotated[
    str | None,
    typer.Option("--as", metavar="NAME", help="Name of the run; default: that of the grid.", rich_help_panel=GRID),
]
NoMlflow = Annotated[bool, typer.Option("--no-mlflow", help="Do not log to MLflow.", rich_help_panel=OUTPUT)]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print only errors.", rich_help_panel=OUTPUT)]


MOST_SETTINGS = 12  # of axes other than the compared one, with which the results are printed in words


def run(
    grid: GridFile,
    set_: Annotated[list[str] | None, set_option(GRID)] = None,
    plugin: Annotated[list[str] | None, plugin_option(GRID)] = None,
    as_: Name = None,
    limit: Limit = None,
    retry_failed: RetryFailed = False,
    keep_stale: KeepStale = False,
    no_reuse: NoReuse = False,
    fresh: Fresh = False,
    fail_fast: FailFast = False,
    workers: Workers = None,
    engine: Engine = EngineName.PROCESSES,
    device: DeviceName = Device.AUTO,
    address: Address = None,
    gpus_per_pack: GpusPerPack = None,
    results: Annotated[Path, results_option(OUTPUT)] = RESULTS,
    no_mlflow: NoMlflow = False,
    tracking_uri: Annotated[str | None, tracking_option(OUTPUT)] = None,
    quiet: Quiet = False,
) -> None:
    """Train all unfinished cells of a grid, then compare them.

    Cells are trained in packs: the seeds of one combination of the grid, up to 64, or fewer if there are more workers
    than combinations.

    Each pack is saved when it is finished: after an interruption, run the same command again to continue.
    """
    from attnbench import runner
    from attnbench.cli.console import Console
    from attnbench.cli.live import watch

    console = Console(stderr=True)
    view: View | None = None
    try:
        with interrupted_by_signals(), watch(console, quiet) as view:
            frame = runner.run(
                grid,
                name=as_,
                results=results,
                workers=workers,
                engine=engine,
                address=address,
                gpus_per_pack=gpus_per_pack,
                device=device,
                overrides=set_ or (),
                plugins=plugin or (),
                limit=limit,
                fail_fast=fail_fast,
                retry_failed=retry_failed,
                keep_stale=keep_stale,
                fresh=fresh,
                reuse=not no_reuse,
                mlflow=not no_mlflow,
                tracking_uri=tracking_uri,
                listener=view,
            )
    except KeyboardInterrupt:
        console.print(_interrupted(view))
        raise typer.Exit(Exit.INTERRUPTED) from None
    if not quiet:
        assert view is not None
        plan = view.status.planned.plan
        try:
            _print_results(frame, plan, console, None if no_mlflow else tracking_uri or "", results)
        except OutputError as error:
            again = f"{_command()} table {shlex.quote(plan.name)}{results_argument(results)}"
            error.hint = f"the results are saved in {results / plan.name}: print them by {again}"
            raise
        except AttnbenchError as error:  # not a reason to say that nothing was trained
            raise runner.Stopped(*error.problems) from error
    # After the tables: failed cells are no reason to hide the results of the others.
    if (frame["status"] == "failed").any():
        raise typer.Exit(Exit.CELLS_FAILED)


def _interrupted(view: "View | None") -> str:
    """Returns what is printed after an interruption; there is no status yet where the grid was still being read."""
    status = getattr(view, "status", None)
    finished = (
        f"{status.cells_ended} of {status.cells_total} cells are finished and" if status else "Finished cells are"
    )
    return f"Interrupted. {finished} saved: run the same command again to continue."


def _print_results(
    frame: "pd.DataFrame", plan: "Plan", console: "Console", tracking_uri: str | None, results: Path
) -> None:
    """Prints the tables on stdout, and on `console` (stderr) where to continue."""
    from attnbench.store.store import Store

    store = Store(results / plan.name)
    if plan.is_tuning and frame.empty:  # with --limit, or where tuning was stopped: there is no table yet
        console.print("\n".join(store.notes()), soft_wrap=True, markup=False)
    else:
        _print_tables(frame, plan, store)
    failed = int((frame["status"] == "failed").sum())
    console.print("\n".join(_pointers(store, frame, failed, tracking_uri, results)), soft_wrap=True, markup=False)


def _print_tables(frame: "pd.DataFrame", plan: "Plan", store: "Store") -> None:
    """Prints exact match on the trained lengths and, if longer sources were tested, on the longest; then in words."""
    from attnbench.analysis.notes import notes_of, seeds_are_fixed
    from attnbench.analysis.table.formats import comparison, print_table
    from attnbench.cli.console import Console

    console, tested = Console(), seeds_are_fixed(store)
    print_table(comparison(frame, name=store.name, notes=notes_of(store), tested=tested), console)
    lengths = {(length, cell.cell.data.max_length) for cell in plan.cells for length in cell.cell.data.test_lengths}
    longest = max((length for length, trained in lengths if length > trained), default=None)
    if longest is not None:
        metric, note = f"exact_match@{longest}", f"Sources of {longest} words, longer than all training sources"
        console.print()
        if (frame[metric].fillna(0) > 0).any():
            print_table(comparison(frame, metric=metric, name=store.name, notes=[f"{note}."], tested=tested), console)
        else:  # a table of zeros says no more than this line
            console.print(f"{note}: exact match is 0 for every cell.", highlight=False)
    if tested and (axis := _compared_axis(frame[frame["status"] == "done"])):
        _print_words(frame, axis, console)


def _print_words(frame: "pd.DataFrame", axis: str, console: "Console") -> None:
    """Prints in words what the first table shows, unless there are too many settings to be read."""
    from attnbench.analysis.in_words import in_words, lines

    words = in_words(frame, axis)
    if not 0 < len(words) <= MOST_SETTINGS:
        return
    console.print()
    for line in lines(words, "exact_match"):
        # Broken on a terminal alone, with the rest of a line below its beginning.
        width = console.width if console.is_terminal else len(line) + 1
        for part in textwrap.wrap(line, width, subsequent_indent="    ", drop_whitespace=True):
            console.print(part, highlight=False, markup=False, soft_wrap=True)


def _pointers(store: "Store", frame: "pd.DataFrame", failed: int, tracking_uri: str | None, results: Path) -> list[str]:
    """Returns where the results are; `tracking_uri` is None without MLflow, "" for the default."""
    from attnbench.analysis.claims.results import has_claims

    where, name = results_argument(results), shlex.quote(store.name)
    lines = [f"Results: {store.folder}"]
    done = frame[frame["status"] == "done"]
    if axis := _compared_axis(done):
        option = "" if axis == "score" else f" --axis {axis}"
        lines.append(f"Compare: {_command()} compare {name}{option}{where}")
    if len(done):
        lines.append(f"Report:  {_command()} report {name}{where}")
    if has_claims(store):
        lines.append(f"Claims:  {_command()} verify {name}{where}")
    if tracking_uri is not None:
        options = f" --tracking-uri {shlex.quote(tracking_uri)}" if tracking_uri else where
        lines.append(f"MLflow:  {_command()} ui{options}")
    if failed:
        lines.append(f"Failed:  {failed} of the cells above; use --retry-failed to train them again")
    return lines


def _compared_axis(done: "pd.DataFrame") -> str | None:
    """Returns the first axis with values that `compare` can compare; None without one."""
    from attnbench.analysis.compare.pairing import pairable
    from attnbench.analysis.labels import KIND, label_columns, values_of

    axes = dict.fromkeys(["score", "model", "scope", *label_columns(done)])
    several = (a for a in axes if a not in ("seed", "task", KIND) and len(set(values_of(done, a))) > 1)
    return next((a for a in several if pairable(done, a, "exact_match")), None)


def _command() -> str:
    """Returns how to call attnbench in a shell: by name if it is on the PATH, else by path."""
    found = shutil.which("attnbench") or Path(sys.argv[0]).name != "attnbench"
    return "attnbench" if found else shlex.quote(sys.argv[0])
