"""Shell completion of values that depend on files: the runs, the metrics of a run, and the names of parts.

A completion that fails gives nothing: a traceback at every press of the Tab key would be worse.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import typer

from attnbench.store.results_folder import results_folder, run_names


def runs(ctx: typer.Context, incomplete: str) -> list[str]:
    """The runs in the results folder."""
    return _beginning_with(incomplete, _runs(ctx))


def metrics(ctx: typer.Context, incomplete: str) -> list[str]:
    """The metrics, and those for one length that the run has."""
    return _beginning_with(incomplete, _metrics(ctx))


def parts(incomplete: str) -> list[str]:
    """The kinds of parts, and the names of the built-in ones."""
    return _beginning_with(incomplete, _parts())


def _beginning_with(incomplete: str, values: Iterator[str]) -> list[str]:
    with suppress(Exception):
        return [value for value in values if value.startswith(incomplete)]
    return []


# Generators, so that they run, and may fail, inside `_beginning_with`.
def _runs(ctx: typer.Context) -> Iterator[str]:
    yield from run_names(_results(ctx))


def _metrics(ctx: typer.Context) -> Iterator[str]:
    from attnbench.metrics import METRICS, is_metric

    yield from METRICS
    # The option that is being completed has no value yet, which leaves the arguments before it unparsed.
    run = ctx.params.get("run") or next(iter(ctx.args), "")
    table = _results(ctx) / run / "table.csv"
    if table.is_file():
        with table.open(encoding="utf-8") as file:
            columns = file.readline().rstrip("\n").split(",")
        yield from (column for column in columns if "@" in column and is_metric(column))


def _parts() -> Iterator[str]:
    from attnbench.registry import REGISTRIES

    for registry in REGISTRIES.values():
        yield f"{registry.kind}s"
        yield from registry.names()


def _results(ctx: typer.Context) -> Path:
    return results_folder(ctx.params.get("results"))
