"""`attnbench run`: trains what is not done, and ends with the comparison table."""

import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attnbench.cli.options import RESULTS, GridFile, Plugin, Results, Set, Tracking
from attnbench.errors import Exit

if TYPE_CHECKING:
    import pandas as pd

    from attnbench.grid.expand import Plan
    from attnbench.store.store import Store


class EngineName(StrEnum):
    """What trains the cells."""

    PROCESSES = "processes"
    SERIAL = "serial"
    RAY = "ray"


class Device(StrEnum):
    """Where they are trained."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, metavar="N", help="Packs trained at a time; as many as cores unless given."),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="auto|ray://HOST:PORT",
        help="The Ray cluster to join; --engine ray starts one on this machine unless given.",
    ),
]
GpusPerPack = Annotated[
    float | None,
    typer.Option("--gpus-per-pack", metavar="SHARE", help="The share of a GPU that Ray gives to a pack: 0.25."),
]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        min=1,
        metavar="N",
        help="Train at most N cells now, in whole packs (a combination with all its seeds), and at least one pack.",
    ),
]


def run(
    grid: GridFile,
    workers: Workers = None,
    engine: Annotated[
        EngineName,
        typer.Option(help="One process per worker; this process alone, for a debugger; or a Ray cluster."),
    ] = EngineName.PROCESSES,
    address: Address = None,
    gpus_per_pack: GpusPerPack = None,
    device: Annotated[Device, typer.Option(help="auto is a GPU where there is one.")] = Device.AUTO,
    set_: Set = None,
    plugin: Plugin = None,
    limit: Limit = None,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at the first cell that fails.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Train failed cells again; they are left as they are otherwise.")
    ] = False,
    keep_stale: Annotated[
        bool, typer.Option("--keep-stale", help="Leave cells as they are whose training code has changed since.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Train all cells anew, also those that are done.")] = False,
    no_mlflow: Annotated[bool, typer.Option("--no-mlflow", help="Log nothing to MLflow.")] = False,
    tracking_uri: Tracking = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
    results: Results = RESULTS,
) -> None:
    """Train every cell of a grid that is not done, then compare them.

    Each cell is kept as soon as it is finished: interrupted, the same command carries on from there.
    """
    from rich.console import Console

    from attnbench import runner
    from attnbench.cli.live import watch
    from attnbench.store.store import Store

    console = Console(stderr=True, highlight=False)
    try:
        with _told_to_end(), watch(console, quiet) as view:
            frame = runner.run(
                grid,
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
                mlflow=not no_mlflow,
                tracking_uri=tracking_uri,
                listener=view,
            )
    except KeyboardInterrupt:
        console.print("Interrupted. What was finished is kept: the same command carries on from there.")
        raise typer.Exit(Exit.INTERRUPTED) from None
    failed = int((frame["status"] == "failed").sum())
    if not quiet:
        plan = view.standing.planned.plan
        store = Store(results / plan.name)
        _print_tables(frame, plan, store)
        console.print(
            "\n".join(_pointers(store, failed, None if no_mlflow else tracking_uri or "", results)),
            soft_wrap=True,
            markup=False,
        )
    if failed:
        raise typer.Exit(Exit.CELLS_FAILED)


@contextmanager
def _told_to_end() -> Iterator[None]:
    """A closed terminal or a `kill` is heard as Ctrl-C is: what was finished is kept, and the workers are stopped."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    present = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    # What is ignored stays so: nohup means that the end of the terminal is not the end of the run.
    names = [name for name in present if signal.getsignal(getattr(signal, name)) is not signal.SIG_IGN]
    before = {name: signal.signal(getattr(signal, name), interrupt) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


def _print_tables(frame: "pd.DataFrame", plan: "Plan", store: "Store") -> None:
    """The exact match on the trained lengths and, where longer sources were tested, on the longest of them."""
    from rich.console import Console

    from attnbench.analysis.table.formats import comparison, print_table

    console = Console()
    print_table(comparison(frame, name=store.name, notes=store.notes()), console)
    tested = {(length, cell.cell.data.max_length) for cell in plan.cells for length in cell.cell.data.test_lengths}
    longest = max((length for length, trained in tested if length > trained), default=None)
    if longest is not None:
        note = f"Sources of {longest} words, longer than any trained on."
        console.print()
        print_table(comparison(frame, metric=f"exact_match@{longest}", name=store.name, notes=[note]), console)


def _pointers(store: "Store", failed: int, tracking_uri: str | None, results: Path) -> list[str]:
    """Where to go on from here; `tracking_uri` is None without MLflow, "" for its place in the results folder."""
    lines = [f"Results: {store.folder}"]
    if tracking_uri is not None:
        options = f" --tracking-uri {tracking_uri}" if tracking_uri else f" --results {results}" * (results != RESULTS)
        lines.append(f"MLflow:  {_command()} ui{options}")
    if failed:
        lines.append(f"Failed:  {failed} of the cells above; --retry-failed trains them again")
    return lines


def _command() -> str:
    """How this command is called here: by its name where the shell finds it, else by its path."""
    return "attnbench" if shutil.which("attnbench") or Path(sys.argv[0]).name != "attnbench" else sys.argv[0]
