import json

import pytest
import typer
from typer.testing import CliRunner

from attnbench.cli.schema import schema
from attnbench.errors import AttnbenchError
from attnbench.grid.schema import GridFile


def call(*arguments):
    app = typer.Typer()
    app.command()(schema)
    result = CliRunner().invoke(app, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


def test_the_schema_has_every_key_of_a_grid():
    assert set(GridFile.model_fields) <= json.loads(call())["properties"].keys()


def test_the_schema_is_written_to_a_file(tmp_path, capsys):
    file = tmp_path / "grid.schema.json"
    schema(file)
    assert capsys.readouterr() == ("", f"Wrote {file}\n")
    assert call("-o", str(file)) == ""  # stdout
    assert file.read_text() == call()


def test_a_file_that_cannot_be_written_is_reported(tmp_path):
    with pytest.raises(AttnbenchError, match="cannot be written"):
        call("-o", str(tmp_path / "nowhere" / "x.json"))
