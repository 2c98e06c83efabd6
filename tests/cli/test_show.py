from dataclasses import replace

import pytest
import typer
from made_up_run import diagonal, failed, outcome, plan, write_run
from typer.testing import CliRunner

from attnbench.cli.show import show
from attnbench.errors import AttnbenchError


@pytest.fixture
def call(tmp_path):
    """Calls `attnbench show` on a run of one good cell, a failed one, one without gold, and one not finished."""
    grid = plan("quick", seed=range(4))
    good = replace(
        outcome(grid.cells[0], exact_match=0.98, exact_match_at_10=1.0, exact_match_at_20=0.25, loss=0.0625),
        alignments=replace(
            diagonal(["a", "b"]), source=[["a", "b", "</s>"], ["c"]], target=[["a", "b", "</s>"], ["d"]]
        ),
    )
    alignments = diagonal(["a"])
    without_gold = replace(outcome(grid.cells[2]), alignments=replace(alignments, links=alignments.links[:, :0, :0]))
    write_run(tmp_path, grid, [good, failed(grid.cells[1], "[red]NaN[/red] at step 7"), without_gold])
    app = typer.Typer()
    app.command()(show)

    def run(*arguments, **environment):
        result = CliRunner().invoke(app, [*arguments, "--results", str(tmp_path / "results")], env=environment)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.stdout

    return run


def test_a_cell_shows_what_it_is_its_metrics_and_where_it_looked(call):
    out = call("quick", "000000000000")
    assert out.startswith("quick 000000000000 done\n")
    assert "score  dot" in out
    assert "steps=800" in out
    rows = [line.split() for line in out.splitlines()]
    assert ["exact_match", "0.980", "1.000", "0.250"] in rows
    assert ["loss", "0.062", "–", "–"] in rows
    assert ["a", "[9]", "·", "·"] in rows
    assert not any(row[:1] == ["bleu"] for row in rows)


def test_another_sentence_is_drawn_as_long_as_it_is(call):
    lines = call("quick", "000000000000", "--example", "1").splitlines()
    assert lines[-2:] == ["   c ", "d [9]"]


def test_a_failed_cell_shows_its_error(call):
    out = call("quick", "000000000001")
    assert "000000000001 failed" in out
    assert "[red]NaN[/red] at step 7" in out
    assert "Test sentence" not in out


def test_without_gold_nothing_is_marked(call):
    drawing = call("quick", "000000000002").rpartition("gold link")[2]
    assert "9" in drawing
    assert "[" not in drawing


def test_a_colour_terminal_gets_shades(call):
    out = call("quick", "000000000000", FORCE_COLOR="1", COLORTERM="truecolor", TERM="xterm")
    assert "48;2;230;230;230" in out
    assert "◆" in out
    assert "[9]" in call("quick", "000000000000", NO_COLOR="1", FORCE_COLOR="1", COLORTERM="truecolor", TERM="xterm")


def test_mistakes_are_said(call):
    with pytest.raises(AttnbenchError, match="4 cells begin with '00'"):
        call("quick", "00")
    with pytest.raises(AttnbenchError, match="not finished"):
        call("quick", "000000000003")
    with pytest.raises(AttnbenchError, match="from 0 to 1"):
        call("quick", "000000000000", "--example", "2")
