import pytest
import typer
import yaml
from typer.testing import CliRunner

from attnbench.cli.init import init
from attnbench.errors import AttnbenchError
from attnbench.grid.expand import expand
from attnbench.grid.load import load_grid
from attnbench.grid.schema import GridFile


def call(*arguments):
    app = typer.Typer()
    app.command()(init)
    result = CliRunner().invoke(app, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_the_starter_is_a_valid_small_grid(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call()
    plan = expand(load_grid(tmp_path / "grid.yaml"))
    assert len(plan.cells) == 12
    assert {cell.labels["task"] for cell in plan.cells} == {"copy", "reverse"}
    assert not plan.skipped


def test_the_starter_teaches_every_key_of_the_format(tmp_path):
    text = call("-").stdout
    taught = {line.lstrip("# ").partition(":")[0] for line in text.splitlines() if ":" in line}
    assert set(GridFile.model_fields) <= taught
    file = tmp_path / "all.yaml"
    file.write_text(_with_comments_in_force(text))
    plan = expand(load_grid(file))
    # zip doubles the 12 cells; exclude takes additive × reverse (2 seeds × 2); include adds a cell without a score.
    assert {c.labels["scope"] for c in plan.cells} == {"global", "none"}
    assert len([c for c in plan.cells if c.labels["scope"] == "global"]) == 20


def _with_comments_in_force(text):
    """The starter with its commented sections switched on."""
    switched = []
    for line in text.splitlines():
        on = line.startswith(("# zip:", "#   data.", "#   train.", "# exclude:", "# include:"))
        switched.append(line[2:] if on else line)
    return "\n".join(switched)


def test_the_starter_is_printed_for_a_dash(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert yaml.safe_load(call("-").stdout)["name"] == "starter"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_stays(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("mine")
    with pytest.raises(AttnbenchError, match="already exists"):
        call(str(file))
    assert file.read_text() == "mine"


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(AttnbenchError, match="cannot be written"):
        call(str(tmp_path / "nowhere" / "grid.yaml"))
