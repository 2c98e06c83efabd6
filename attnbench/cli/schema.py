"""`attnbench schema`: prints the JSON Schema of the grid file."""

from pathlib import Path
from typing import Annotated

import typer

from attnbench.cli.output import echo


def schema(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="File to write; default: stdout.")
    ] = None,
) -> None:
    """Print the JSON Schema of the grid file, for editors.

    With -o grid.schema.json, an editor uses it for grids with this line at the top:

    # yaml-language-server: $schema=grid.schema.json
    """
    import json

    from attnbench.grid.schema import json_schema
    from attnbench.store.atomic import write_atomically

    text = json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
    if output is None:
        echo(text, end="")
    else:
        write_atomically(output, text)
