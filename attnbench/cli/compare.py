"""`attnbench compare`: compares the values of an axis, or two runs, by paired statistics."""

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from attnbench.cli import complete
from attnbench.cli.options import RESULTS, Results, Run
from attnbench.cli.output import echo
from attnbench.cli.remarks import print_remarks
from attnbench.cli.table import Where
from attnbench.errors import fail

if TYPE_CHECKING:
    import pandas as pd

    from attnbench.store.store import Store


class Format(StrEnum):
    """Output formats of the comparison."""

    RICH = "rich"
    MARKDOWN = "markdown"
    CSV = "csv"
    JSON = "json"
    LATEX = "latex"


Other = Annotated[
    str | None, typer.Argument(metavar="OTHER_RUN", help="Second run, to compare with the first.", show_default=False)
]
Axis = Annotated[
    str | None,
    typer.Option(
        "--axis",
        metavar="COLUMN",
        help="Column of table.csv whose values are compared; default: score.",
        show_default=False,
    ),
]
Against = Annotated[
    str | None,
    typer.Option(
        "--against",
        metavar="VALUE",
        help="Value that the others are compared with; default: the best.",
        show_default=False,
    ),
]
Metric = Annotated[
    str,
    typer.Option(
        "--metric",
        metavar="METRIC",
        help="Metric to compare, e.g. aer or exact_match@20.",
        autocompletion=complete.metrics,
    ),
]

Margin = Annotated[
    float | None,
    typer.Option(
        metavar="NUMBER",
        min=0.0,
        help="Values are equivalent if their difference is shown to be smaller than this; default: .02 for accuracies "
        'and loss, 2 for bleu. A difference that is also shown to exist is "better" or "worse, within the margin".',
        show_default=False,
    ),
]


def compare(
    run: Run,
    other: Other = None,
    axis: Axis = None,
    against: Against = None,
    metric: Metric = "exact_match",
    margin: Margin = None,
    where: Where = None,
    format: Annotated[Format, typer.Option(help="csv and json: all numbers, unrounded.")] = Format.RICH,
    results: Results = RESULTS,
) -> None:
    """Compare the values of an axis, or two runs: which is better, and how certain that is.

    Differences are paired over the seeds that both sides have.
    """
    from attnbench.analysis.compare import formats
    from attnbench.analysis.compare.contrast import contrast
    from attnbench.analysis.labels import filtered
    from attnbench.analysis.notes import NOT_FIXED, notes_of, seeds_are_fixed
    from attnbench.store.store import Store

    stores = [Store.open(name, results) for name in (run, *([other] if other is not None else []))]
    settings: list[str] = []
    names: list[str] = []
    if other is None:
        frame, name, axis = stores[0].frame(), stores[0].name, axis or "score"
    else:
        _check_two_runs(stores, axis, against)
        frame, names = _side_by_side(stores, (run, other))
        name, axis, against = " and ".join(names), "run", names[0]
    if where:
        frame = filtered(frame, where, name)
    if other is not None:
        first, second = (set(frame.loc[frame["run"] == one, "cell"]) for one in names)
        settings = _differences(stores, names, (first, second))
    prefixes = [f"{one}: " for one in names] or [""]
    notes = [f"{prefix}{note}" for store, prefix in zip(stores, prefixes, strict=True) for note in notes_of(store)]
    notes += [NOT_FIXED] * (not all(map(seeds_are_fixed, stores)))
    if format in (Format.CSV, Format.JSON):  # which have no place for them
        named = zip(stores, prefixes, strict=True)
        print_remarks(f"{prefix}{doubt}" for store, prefix in named for doubt in store.doubts())
    found = contrast(frame, axis, against, metric, name, notes, margin)
    if settings:
        found = replace(found, settings=tuple(settings))
    if format is Format.RICH:
        from attnbench.cli.console import Console

        formats.print_contrast(found, Console())
    else:
        write = {
            Format.MARKDOWN: formats.to_markdown,
            Format.CSV: formats.to_csv,
            Format.JSON: formats.to_json,
            Format.LATEX: formats.to_latex,
        }[format]
        echo(write(found), end="")


def _side_by_side(stores: "list[Store]", given: tuple[str, str]) -> "tuple[pd.DataFrame, list[str]]":
    """Returns the rows of two runs with a column `run`, and the names of the runs in it."""
    from attnbench.analysis.compare.pairing import side_by_side

    # Two results folders may each hold a run of the same name, e.g. before and after a change.
    names = [store.name for store in stores] if stores[0].name != stores[1].name else list(given)
    return side_by_side([(name, store.frame()) for name, store in zip(names, stores, strict=True)]), names


def _differences(stores: "list[Store]", names: list[str], cells: tuple[set[str], set[str]]) -> list[str]:
    """Returns a sentence each on how the settings and the code of the compared cells differ."""
    from attnbench.analysis.compare.two_runs import different_code, different_settings

    settings = different_settings(stores[0], stores[1], names, cells)
    code = different_code(stores[0], stores[1], names, cells)
    return [f"Different settings: {'; '.join(settings)}."] * bool(settings) + [f"Different code: {code}."] * bool(code)


def _check_two_runs(stores: "list[Store]", axis: str | None, against: str | None) -> None:
    """Checks that the runs differ, and that no axis is given: two runs are compared cell by cell."""
    if stores[0].folder.resolve() == stores[1].folder.resolve():
        raise fail("both arguments are the same run", str(stores[0].folder), "give one run, or two different ones")
    for option, value in (("--axis", axis), ("--against", against)):
        if value is not None:
            hint = f"omit {option}, or give one run; use --where to select cells of both runs"
            raise fail(f"{value!r} cannot be used when two runs are compared", option, hint)
