"""The command line: `attnbench VERB`. One file per verb; a verb parses its options, calls the package and prints."""

import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Annotated

import typer

from attnbench import __version__
from attnbench.cli import (
    baseline,
    check,
    compare,
    expand,
    guard,
    init,
    report,
    run,
    runs,
    schema,
    show,
    sync,
    table,
    ui,
    verify,
)
from attnbench.cli import list as list_verb
from attnbench.cli.output import OutputError, echo, guarded, limit_terminal_size
from attnbench.cli.verbs import Verbs
from attnbench.errors import AttnbenchError, Exit, Problem

app = typer.Typer(
    cls=Verbs,
    help="Compare attention score functions: from a YAML grid to a comparison table and MLflow runs.",
    no_args_is_help=True,
    # `main` reports bugs itself.
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

# In the order in which --help shows them.
VERBS: dict[str, Callable[..., None]] = {
    "run": run.run,
    "expand": expand.expand,
    "table": table.table,
    "compare": compare.compare,
    "baseline": baseline.baseline,
    "check": check.check,
    "verify": verify.verify,
    "guard": guard.guard,
    "show": show.show,
    "report": report.report,
    "runs": runs.runs,
    "sync": sync.sync,
    "ui": ui.ui,
    "list": list_verb.list_,
    "init": init.init,
    "schema": schema.schema,
}
for verb, command in VERBS.items():
    # Each paragraph in one line: rich would keep the line breaks of the docstring.
    app.command(name=verb, help=re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.getdoc(command) or ""))(command)


def _version(requested: bool) -> None:
    if requested:
        echo(f"attnbench {__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """The options before the verb."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits with one of the statuses in `Exit`.

    An AttnbenchError is printed without a traceback, and so is an OutputError; any other exception is a bug and printed
    with its traceback.
    """
    limit_terminal_size()
    # No command opens a window. matplotlib cannot be imported if this names a backend that it does not have.
    os.environ["MPLBACKEND"] = "agg"
    try:
        with guarded():
            _run(arguments)
    except OutputError as error:
        if not error.closed_pipe:
            # stderr may be the same closed terminal
            with suppress(OSError):
                _print_problems(AttnbenchError(Problem(str(error), hint=error.hint)))
        sys.exit(Exit.OUTPUT)


def _run(arguments: Sequence[str] | None) -> None:
    try:
        app(args=arguments)
    except OutputError:
        raise
    except AttnbenchError as error:
        _print_problems(error)
        sys.exit(error.exit)
    except Exception:
        echo(traceback.format_exc(), end="", error=True)
        echo("This is a bug in attnbench. Please report it with the lines above.", error=True)
        sys.exit(Exit.CELLS_FAILED)


def _print_problems(error: AttnbenchError) -> None:
    """Prints each problem as in `Problem.__str__`; in colour on a terminal."""
    from rich.text import Text

    from attnbench.cli.console import Console

    # Not wrapped by rich, so that paths and commands can be copied in one piece.
    console = Console(stderr=True, soft_wrap=True)
    for problem in error.problems:
        text = Text(str(problem))
        text.stylize("bold red", 0, len(problem.where or problem.what))
        if problem.hint:
            text.stylize("green", len(text) - len(problem.hint) - 2)
        console.print(text)
