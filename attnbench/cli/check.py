"""`attnbench check`: the gate."""

import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from attnbench.cli.options import RESULTS, Results, Run
from attnbench.errors import AttnbenchError, Problem, fail


class Format(StrEnum):
    """How the findings are written."""

    RICH = "rich"
    GITHUB = "github"
    CSV = "csv"
    JSON = "json"
    MARKDOWN = "markdown"


Tolerance = Annotated[
    list[str] | None,
    typer.Option(
        "--tolerance",
        metavar="[METRIC=]VALUE",
        help="A worsening of the mean that is let pass, of all metrics or of one, e.g. aer=0.05. Repeatable; 0.02 for "
        "accuracies and AER, unless given.",
    ),
]


def check(
    run: Run,
    baseline: Annotated[
        Path, typer.Option("--baseline", metavar="FILE.csv", help="What to hold it against.", show_default=False)
    ],
    tolerance: Tolerance = None,
    format: Annotated[
        Format,
        typer.Option(help="github annotates the baseline's lines; csv and json have the unchanged rows as well."),
    ] = Format.RICH,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit's XML as well.", show_default=False)
    ] = None,
    results: Results = RESULTS,
) -> None:
    """Hold a run against a baseline: the exit status is 3 if something got worse, or is missing.

    Worse means: the mean is worse by more than the tolerance, and by more than the seeds' chance. Improvements are
    reported, and taken in by attnbench baseline --update alone. Where nothing could be compared, the status is 4.
    """
    from attnbench.analysis.gate import formats
    from attnbench.analysis.gate.baseline import configurations
    from attnbench.analysis.gate.baseline_file import read
    from attnbench.analysis.gate.check import check as hold
    from attnbench.store.store import Store

    tolerances = _tolerances(tolerance or [])
    store = Store.open(run, results)
    found = hold(store.name, str(baseline), read(baseline), configurations(store), tolerances)
    if junit is not None:
        _write(junit, formats.to_junit(found))
    if format is Format.RICH:
        from rich.console import Console

        formats.print_check(found, Console(highlight=False))
    else:
        write = {
            Format.GITHUB: formats.to_github,
            Format.CSV: formats.to_csv,
            Format.JSON: formats.to_json,
            Format.MARKDOWN: formats.to_markdown,
        }[format]
        typer.echo(write(found), nl=False)
    if found.exit:
        raise typer.Exit(found.exit)


def _tolerances(given: list[str]) -> dict[str, float]:
    """By metric; a value without one is that of all the others."""
    from attnbench.analysis.gate.baseline import unknown_metric
    from attnbench.analysis.gate.judge import ALLOWANCES

    everywhere: dict[str, float] = {}
    by_metric: dict[str, float] = {}
    problems = []
    for item in given:
        metric, equals, value = item.rpartition("=")
        number = _number(value)
        if number is None:
            hint = "write a number from 0 on, as in 0.03 or aer=0.05"
            problems.append(Problem(f"{item!r} is not a tolerance", "--tolerance", hint))
        elif not equals:
            everywhere = dict.fromkeys(ALLOWANCES, number)
        elif problem := unknown_metric(metric):
            problems.append(Problem(problem.what, "--tolerance", problem.hint))
        else:
            by_metric[metric] = number
    if problems:
        raise AttnbenchError(*problems)
    return everywhere | by_metric


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _write(file: Path, content: str) -> None:
    try:
        file.write_text(content, encoding="utf-8")
    except OSError as error:
        raise fail(f"cannot be written: {error.strerror}", str(file), "is its folder there?") from error
