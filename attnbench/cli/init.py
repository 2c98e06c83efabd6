"""`attnbench init`: a commented grid to start from."""

from pathlib import Path
from typing import Annotated

import typer

from attnbench.errors import fail


def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The grid file to write; - prints it instead.")] = Path(
        "grid.yaml"
    ),
) -> None:
    """Write a commented starter grid. A file that is there is never overwritten."""
    text = Path(__file__).with_name("starter.yaml").read_text(encoding="utf-8")
    if str(file) == "-":
        typer.echo(text, nl=False)
        return
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise fail(
            "the file is there already, and stays as it is", str(file), "give another name: attnbench init FILE"
        ) from None
    except OSError as error:
        raise fail(f"cannot be written: {error.strerror}", str(file), "is its folder there?") from error
    typer.echo(f"{file} is written. Next: attnbench run {file}", err=True)
