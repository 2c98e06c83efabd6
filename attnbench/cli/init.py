"""`attnbench init`: writes a commented starter grid."""

from pathlib import Path
from typing import Annotated

import typer

from attnbench.errors import fail


def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Grid file to write; -: print it instead.")] = Path(
        "grid.yaml"
    ),
) -> None:
    """Write a commented starter grid.

    An existing file is never overwritten.
    """
    text = Path(__file__).with_name("starter.yaml").read_text(encoding="utf-8")
    if str(file) == "-":
        typer.echo(text, nl=False)
        return
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise fail("the file already exists", str(file), "give another name: attnbench init FILE") from None
    except OSError as error:
        raise fail(f"cannot be written: {error.strerror}", str(file), "does its folder exist?") from error
    typer.echo(f"Wrote {file}. Next: attnbench run {file}", err=True)
