"""`attnbench sync`: logs results on disk that are missing in MLflow."""

import typer

from attnbench.cli.options import RESULTS, Results, Run, Tracking
from attnbench.cli.output import echo
from attnbench.cli.remarks import print_remarks
from attnbench.errors import Exit
from attnbench.messages import count


def sync(run: Run, tracking_uri: Tracking = None, results: Results = RESULTS) -> None:
    """Log the results of a run that are missing in MLflow.

    Use it after a run with --no-mlflow, after the tracking server failed, or to log to another server as well.

    A cell that MLflow does not take is left out and listed; the exit status is then 1.
    """
    from attnbench.store.lock import held
    from attnbench.store.store import Store
    from attnbench.tracking.sync import catch_up

    store = Store.open(run, results)
    with held(store.folder):
        store.recover()  # a killed run may have left a pack half written
        logged, there, not_logged = catch_up(store, tracking_uri)
        print_remarks(str(problem) for pack in store.unplaced for problem in pack.problems())
        print_remarks(store.doubts())
    echo(f"{store.name}: {count(logged, 'cell')} logged, {there} {'was' if there == 1 else 'were'} already in MLflow")
    print_remarks(not_logged.lines())
    if not_logged.has_cells:
        raise typer.Exit(Exit.CELLS_FAILED)
