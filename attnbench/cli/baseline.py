"""`attnbench baseline`: writes the accuracy table that `attnbench check` compares runs with."""

import os
from pathlib import Path
from typing import Annotated

import typer

from attnbench.cli import complete
from attnbench.cli.options import RESULTS, Results, Run
from attnbench.cli.output import echo
from attnbench.cli.remarks import print_remarks
from attnbench.errors import fail
from attnbench.files import is_stream

Metrics = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        metavar="METRIC",
        autocompletion=complete.metrics,
        help="Metric to compare, e.g. bleu, or exact_match@20 for one test length. Repeatable; default: exact_match, "
        "aer if there are gold alignments, and steps_to_95 where a seed got there; with --update: those of the file.",
    ),
]


def baseline(
    run: Run,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE.csv", help="File to write; -: stdout.", show_default=False)
    ],
    metric: Metrics = None,
    update: Annotated[
        bool,
        typer.Option("--update", help="Update an existing file; rows of configurations not in this run are kept."),
    ] = False,
    results: Results = RESULTS,
) -> None:
    """Write the accuracy table that `attnbench check` compares runs with.

    All cells of the run must be done. An existing file is changed only with --update. The last lines say how much worse
    a result must get for a check to fail, which depends on the seeds: use 5 or more.
    """
    from attnbench.analysis.gate.baseline import rows_of
    from attnbench.analysis.gate.baseline import update as updated
    from attnbench.analysis.gate.baseline_file import read, write
    from attnbench.analysis.gate.judge import ENOUGH
    from attnbench.analysis.gate.power import what_is_seen
    from attnbench.store.store import Store

    if update and is_stream(output):
        raise fail("it is not a regular file, so it has no baseline to update", str(output), "omit --update")
    if os.path.exists(output) and not is_stream(output) and not update:
        raise fail("the file already exists", str(output), "use --update to add this run to it")
    old = read(output) if update else []
    metrics = metric or list(dict.fromkeys(row.metric for row in old))
    store = Store.open(run, results)
    try:
        new = rows_of(store, metrics)
    finally:  # they may be why the run has no baseline
        print_remarks(store.doubts())
    rows = updated(old, new)
    write(rows, output)
    # A row is new or changed by its values; notes such as versions do not count.
    before = {(row.configuration, row.metric): row.values for row in old}
    after = {(row.configuration, row.metric): row.values for row in rows}
    written = sum(before.get(key) != values for key, values in after.items())
    kept = len(after.keys() - {(row.configuration, row.metric) for row in new})
    removed = len(before.keys() - after.keys())
    parts = [f"{len(rows)} rows, {written} of them new or changed"]
    parts += [f"{removed} removed"] * bool(removed) + [f"{kept} kept that are not in this run"] * bool(kept)
    echo(f"{output}: {', '.join(parts)}", error=True)
    seen, blind = what_is_seen(rows)
    echo(f"a check fails where a result gets worse by about: {seen}", error=True)
    if blind:
        echo(
            f"warning: no possible value of {' or '.join(blind)} fails a check with these seeds: they vary too much; "
            "use more seeds, or leave it out (--metric)",
            error=True,
        )
    if (seeds := min(len(row.values) for row in rows)) < ENOUGH:
        few = f"{seeds} seeds per configuration hide" if seeds > 1 else "1 seed per configuration hides"
        echo(f"warning: {few} all but large changes; use {ENOUGH} or more", error=True)
