"""`attnbench check`: compares a run with a baseline, as a gate for CI."""

import math
import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from attnbench.cli.options import RESULTS, Results, Run
from attnbench.cli.output import echo
from attnbench.cli.remarks import print_remarks
from attnbench.errors import AttnbenchError, Problem
from attnbench.files import write_output


class Effect(StrEnum):
    """What a kind of row does to the check."""

    FAIL = "fail"
    PASS = "pass"


class Format(StrEnum):
    """Output formats of the verdicts."""

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
        help="Tolerated worsening of the mean, for all metrics or for one, e.g. aer=0.05. Repeatable; "
        "default: 0.02 for accuracies and AER, 0.2 for steps_to_95 (a share of the baseline's mean, and only changed "
        "by name).",
    ),
]


def check(
    run: Run,
    baseline: Annotated[
        Path, typer.Option("--baseline", metavar="FILE.csv", help="The baseline to compare with.", show_default=False)
    ],
    tolerance: Tolerance = None,
    unclear: Annotated[
        Effect,
        typer.Option(
            help="fail: an unclear result fails if the mean fell by more than the floor (0.10 for accuracies and AER), "
            "also without the seeds that may have failed by chance; pass: an unclear result never fails."
        ),
    ] = Effect.FAIL,
    improvement: Annotated[
        Effect,
        typer.Option(
            help="fail: a result that is better by more than the tolerance and by more than chance explains fails too. "
            "A leak of the target or an error in a metric can look like this."
        ),
    ] = Effect.PASS,
    format: Annotated[
        Format,
        typer.Option(help="github: annotations at the lines of the baseline; csv and json: all rows, also unchanged."),
    ] = Format.RICH,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Also write a JUnit XML file.", show_default=False)
    ] = None,
    results: Results = RESULTS,
) -> None:
    """Compare a run with a baseline; the exit status is 3 if results got worse or are missing.

    A result got worse if its mean is worse by more than the tolerance and by more than chance (the seeds) explains.
    Where the seeds are too few to tell, the result is "unclear", and fails only beyond a floor.

    By default improvements are only reported; `attnbench baseline --update` adds them to the baseline.

    The exit status is 4 if nothing could be compared.
    """
    from attnbench.analysis.gate import formats
    from attnbench.analysis.gate.baseline import configurations
    from attnbench.analysis.gate.baseline_file import read
    from attnbench.analysis.gate.check import check as compare_with_baseline
    from attnbench.analysis.gate.junit import to_junit
    from attnbench.store.store import Store

    tolerances = _tolerances(tolerance or [])
    store = Store.open(run, results)
    found = compare_with_baseline(
        store.name,
        str(baseline),
        read(baseline),
        configurations(store),
        tolerances,
        unclear_fails=unclear is Effect.FAIL,
        improvement_fails=improvement is Effect.FAIL,
        update=_update(run, baseline, results),
    )
    print_remarks(store.doubts())
    # Before the exit status is raised, because CI needs the file most if the check fails.
    if junit is not None:
        write_output(junit, to_junit(found))
    if format is Format.RICH:
        from attnbench.cli.console import Console

        formats.print_check(found, Console())
    else:
        write = {
            Format.GITHUB: formats.to_github,
            Format.CSV: formats.to_csv,
            Format.JSON: formats.to_json,
            Format.MARKDOWN: formats.to_markdown,
        }[format]
        echo(write(found), end="")
    if found.exit:
        raise typer.Exit(found.exit)


def _update(run: str, baseline: Path, results: Path) -> str:
    """Returns the command that accepts the results of the run."""
    words = ["attnbench", "baseline", run, "-o", str(baseline), "--update"]
    return shlex.join([*words, *(["--results", str(results)] if results != RESULTS else [])])


def _tolerances(given: list[str]) -> dict[str, float]:
    """Reads --tolerance into a tolerance per metric; a value without a metric applies to all others."""
    from attnbench.analysis.gate.allowances import ALLOWANCES
    from attnbench.analysis.gate.baseline import unknown_metric

    everywhere: dict[str, float] = {}
    by_metric: dict[str, float] = {}
    problems = []
    for item in given:
        metric, equals, value = item.rpartition("=")
        number = _number(value)
        if number is None:
            hint = "give a number of at least 0, as in 0.03 or aer=0.05"
            problems.append(Problem(f"{item!r} is not a tolerance", "--tolerance", hint))
        elif not equals:
            # A number in the unit of accuracies means nothing for a share of the steps.
            everywhere = dict.fromkeys((name for name, one in ALLOWANCES.items() if not one.relative), number)
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
