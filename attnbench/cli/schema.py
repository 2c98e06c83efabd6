"""`attnbench schema`: the JSON Schema of the grid file."""

from pathlib import Path
from typing import Annotated

import typer


def schema(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it here instead of to stdout.")
    ] = None,
) -> None:
    """Print the JSON Schema of the grid file, for editors.

    Name it in the first line of a grid: # yaml-language-server: $schema=grid.schema.json
    """
    import json

    from attnbench.grid.schema import json_schema
    from attnbench.store.atomic import write_atomically

    text = json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_atomically(output, text)
