"""`attnbench sync`: brings to MLflow what a run has on disk."""

import typer

from attnbench.cli.options import RESULTS, Results, Run, Tracking


def sync(run: Run, tracking_uri: Tracking = None, results: Results = RESULTS) -> None:
    """Log to MLflow what a run has on disk and MLflow has not.

    For runs whose tracking server went away or whose database was locked, that ran with --no-mlflow, or that are to
    be on another server as well.
    """
    from attnbench.store.lock import held
    from attnbench.store.store import Store
    from attnbench.tracking.sync import catch_up

    store = Store.open(run, results)
    with held(store.folder):
        store.recover()
        logged, there = catch_up(store, tracking_uri)
    typer.echo(f"{store.name}: {logged} cells logged, {there} were there already")
