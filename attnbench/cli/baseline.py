"""`attnbench baseline`: the accuracy table that CI will hold against."""

from pathlib import Path
from typing import Annotated

import typer

from attnbench.cli.options import RESULTS, Results, Run
from attnbench.errors import fail

Metrics = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        metavar="METRIC",
        help="What is held against, e.g. bleu, or exact_match@20 for one test length. Repeatable; exact_match, and aer "
        "where there is gold, unless given; with --update those of the file.",
    ),
]


def baseline(
    run: Run,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE.csv", help="The file to write.", show_default=False)
    ],
    metric: Metrics = None,
    update: Annotated[
        bool,
        typer.Option(
            "--update", help="Take the run into the file that is there: rows of configurations it has not are kept."
        ),
    ] = False,
    results: Results = RESULTS,
) -> None:
    """Write the accuracy table that `attnbench check` holds other runs against.

    All cells of the run have to be done. A file that is there is not touched without --update.
    """
    from attnbench.analysis.gate.baseline import rows_of
    from attnbench.analysis.gate.baseline import update as updated
    from attnbench.analysis.gate.baseline_file import read, write
    from attnbench.store.store import Store

    if output.exists() and not update:
        raise fail("the file is there already, and stays as it is", str(output), "--update takes this run into it")
    old = read(output) if update else []
    metrics = metric or list(dict.fromkeys(row.metric for row in old))
    new = rows_of(Store.open(run, results), metrics)
    rows = updated(old, new)
    write(rows, output)
    before = {(row.configuration, row.metric): row.values for row in old}
    after = {(row.configuration, row.metric): row.values for row in rows}
    written = sum(before.get(key) != values for key, values in after.items())
    kept = len(after.keys() - {(row.configuration, row.metric) for row in new})
    gone = len(before.keys() - after.keys())
    parts = [f"{len(rows)} rows, {written} of them new or changed"]
    parts += [f"{gone} gone"] * bool(gone) + [f"{kept} kept that this run has not"] * bool(kept)
    typer.echo(f"{output}: {', '.join(parts)}", err=True)
