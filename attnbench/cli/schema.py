"""`attnbench schema`: prints the JSON Schema of the grid file."""

from pathlib import Path
from typing import Annotated

import typer

from attnbench.cli.output import echo
from attnbench.files import STDOUT, is_stdout, write_output


def schema(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="File to write; -: stdout, as by default.")
    ] = STDOUT,
) -> None:
    """Print the JSON Schema of the grid file, for editors.

    With -o grid.schema.json, an editor uses it for grids with this line at the top:

    # yaml-language-server: $schema=grid.schema.json
    """
    import json

    from attnbench.grid.schema import json_schema

    text = json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
    write_output(output, text)
    if not is_stdout(output):
        echo(f"Wrote {output}", error=True)
