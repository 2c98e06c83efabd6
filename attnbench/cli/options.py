"""Arguments and options that several verbs share, so that they are the same everywhere."""

import shlex
from pathlib import Path
from typing import Annotated

import typer
from typer.models import OptionInfo

from attnbench.cli import complete
from attnbench.store.results_folder import RESULTS as DEFAULT
from attnbench.store.results_folder import VARIABLE, results_folder

RESULTS = Path(DEFAULT)


# Functions, because the help of `run` shows these options in groups (`panel`), and that of other verbs does not.
def set_option(panel: str | None = None) -> OptionInfo:
    """--set."""
    help_ = "Override a field of the grid, e.g. train.steps=200. Repeatable."
    option: OptionInfo = typer.Option("--set", metavar="PATH=VALUE", help=help_, rich_help_panel=panel)
    return option


def plugin_option(panel: str | None = None) -> OptionInfo:
    """--plugin."""
    help_ = "File or module with custom scores, scopes, tasks or models. Repeatable."
    option: OptionInfo = typer.Option("--plugin", metavar="FILE", help=help_, rich_help_panel=panel)
    return option


def results_option(panel: str | None = None) -> OptionInfo:
    """--results."""
    help_ = "Folder that holds all runs."
    option: OptionInfo = typer.Option("--results", metavar="DIR", envvar=VARIABLE, help=help_, rich_help_panel=panel)
    return option


def tracking_option(panel: str | None = None) -> OptionInfo:
    """--tracking-uri."""
    help_ = "MLflow server or database; default: MLFLOW_TRACKING_URI, else mlflow.db in the results folder."
    option: OptionInfo = typer.Option("--tracking-uri", metavar="URI", help=help_, rich_help_panel=panel)
    return option


GridFile = Annotated[Path, typer.Argument(metavar="GRID.yaml", help="The grid file.", show_default=False)]
Run = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="Name of a run, its folder, or its grid file.",
        show_default=False,
        autocompletion=complete.runs,
    ),
]
Cells = Annotated[
    list[str] | None,
    typer.Argument(metavar="[CELL …]", help="Id of a cell, or the first characters of it.", show_default=False),
]
Set = Annotated[list[str] | None, set_option()]
Plugin = Annotated[list[str] | None, plugin_option()]
Results = Annotated[Path, results_option()]
Tracking = Annotated[str | None, tracking_option()]


def results_argument(results: Path) -> str:
    """The option that a printed command needs to find the results folder; empty for the default one."""
    return "" if results == RESULTS == results_folder() else f" --results {shlex.quote(str(results))}"
