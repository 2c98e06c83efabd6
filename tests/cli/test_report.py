import made_up_run
import pytest
import typer
from html_page import parse
from typer.testing import CliRunner

from attnbench.cli import VERBS
from attnbench.cli.report import report
from attnbench.errors import AttnbenchError


@pytest.fixture
def call(tmp_path):
    """A function that runs `attnbench report` in a results folder with one run, quick, of two cells."""
    grid = made_up_run.plan("quick", score=["dot", "general"])
    made_up_run.write_run(tmp_path, grid, [made_up_run.outcome(planned, exact_match=0.5) for planned in grid.cells])
    app = typer.Typer()
    app.command()(report)

    def run(*arguments):
        result = CliRunner().invoke(app, [*arguments, "--results", str(tmp_path / "results")])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def test_the_page_is_written_to_the_folder_of_the_run(call, tmp_path):
    file = tmp_path / "results" / "quick" / "report.html"
    assert call("quick").stdout.split() == [str(file)]
    assert parse(file.read_text(encoding="utf-8")).one("h1").text == "quick"


def test_the_page_is_written_to_the_given_file(call, tmp_path):
    file = tmp_path / "page.html"
    call("quick", "-o", str(file))
    assert "general" in file.read_text(encoding="utf-8")
    assert not (tmp_path / "results" / "quick" / "report.html").exists()


def test_a_run_may_be_given_by_its_folder(call, tmp_path):
    call(str(tmp_path / "results" / "quick"))
    assert (tmp_path / "results" / "quick" / "report.html").exists()


def test_mistakes_are_reported(call, tmp_path):
    with pytest.raises(AttnbenchError, match="did you mean 'quick'"):
        call("quik")
    with pytest.raises(AttnbenchError, match="cannot be written"):
        call("quick", "-o", str(tmp_path / "nowhere" / "page.html"))
    with pytest.raises(AttnbenchError, match="it is a folder"):
        call("quick", "-o", str(tmp_path))
    with pytest.raises(AttnbenchError, match="it is a folder"):
        call("quick", "-o", ".")


def test_nothing_is_written_for_a_run_without_finished_cells(call, tmp_path):
    made_up_run.write_run(tmp_path, made_up_run.plan("empty"), [])
    with pytest.raises(AttnbenchError, match="no cell is finished yet"):
        call("empty")
    assert not (tmp_path / "results" / "empty" / "report.html").exists()


def test_report_is_a_command():
    assert VERBS["report"] is report
