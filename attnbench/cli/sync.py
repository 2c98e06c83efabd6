"""`attnbench sync`: logs results on disk that are missing in MLflow."""

import typer

from attnbench.cli.options import RESULTS, Results, Run, Tracking
from attnbench.cli.remarks import print_remarks


def sync(run: Run, tracking_uri: Tracking = None, results: Results = RESULTS) -> None:
    """Log the results of a run that are missing in MLflow.

    Use it after a run with --no-mlflow, after the tracking server failed, or to log to another server as well.
    """
    from attnbench.store.lock import held
    from attnbench.store.store import Store
    from attnbench.tracking.sync import catch_up

    store = Store.open(run, results)
    with held(store.folder):
        store.recover()  # a killed run may have left a pack half written
        logged, there = catch_up(store, tracking_uri)
        print_remarks(str(problem) for pack in store.unplaced for problem in pack.problems())
        print_remarks(store.doubts())
    typer.echo(f"{store.name}: {logged} cells logged, {there} were already in MLflow")
