"""Arguments and options that several verbs share, so that they are the same everywhere."""

from pathlib import Path
from typing import Annotated

import typer

GridFile = Annotated[Path, typer.Argument(metavar="GRID.yaml", help="The grid file.", show_default=False)]
Run = Annotated[str, typer.Argument(metavar="RUN", help="Name of a run, or its folder.", show_default=False)]
Cells = Annotated[
    list[str], typer.Argument(metavar="CELL …", help="Id of a cell, or the first characters of it.", show_default=False)
]
Results = Annotated[Path, typer.Option("--results", metavar="DIR", help="Folder that holds all runs.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Override a field of the grid, e.g. train.steps=200. Repeatable."),
]
Plugin = Annotated[
    list[str] | None,
    typer.Option(
        "--plugin", metavar="FILE", help="File or module with custom scores, scopes, tasks or models. Repeatable."
    ),
]
Tracking = Annotated[
    str | None,
    typer.Option(
        "--tracking-uri",
        metavar="URI",
        help="MLflow server or database; default: MLFLOW_TRACKING_URI, else mlflow.db in the results folder.",
    ),
]

RESULTS = Path("results")
