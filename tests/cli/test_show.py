import shlex
from dataclasses import replace

import pytest
import typer
from made_up_run import diagonal, failed, outcome, plan, rewrite, scenes, write_run
from typer.testing import CliRunner

from attnbench import cli
from attnbench.cli.show import _found, show
from attnbench.errors import AttnbenchError
from attnbench.outcome import NO_LINKS


@pytest.fixture
def call(tmp_path):
    """Calls `attnbench show` on a run of a good cell, a failed one, one without gold, one not finished, and others.

    000000000004 has three heads, in reverse order in the second sentence; 000000000005 is done, and has no alignment.
    """
    grid = plan("quick", seed=range(6))
    good = replace(
        outcome(grid.cells[0], exact_match=0.98, exact_match_at_10=1.0, exact_match_at_20=0.25, loss=0.0625),
        alignments=replace(
            diagonal(["a", "b"]), source=[["a", "b", "</s>"], ["c"]], target=[["a", "b", "</s>"], ["d"]]
        ),
    )
    alignments = diagonal(["a"])
    without_gold = replace(outcome(grid.cells[2]), alignments=replace(alignments, links=alignments.links[:, :0, :0]))
    alignments = diagonal(["a", "b"], heads=3)
    alignments.heads[1] = alignments.heads[1, ::-1].copy()
    of_heads = replace(outcome(grid.cells[4]), alignments=alignments)
    without = outcome(grid.cells[5], exact_match=0.5, loss_at_20=0.75)
    written = [
        good,
        failed(grid.cells[1], "[red]NaN[/red] at step 7 \x1b]0;title\x07\x00"),
        without_gold,
        of_heads,
        without,
    ]
    write_run(tmp_path, grid, written)
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
    assert "steps=800" in out
    rows = [line.split() for line in out.splitlines()]
    assert ["score", "dot"] in rows
    assert ["normaliser", "softmax"] in rows
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
    assert "[red]NaN[/red] at step 7 �]0;title�\n" in out
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


def test_one_head_is_drawn_where_it_is_asked_for(call):
    """The mean has .9 on its diagonal, the first head .8 and .1 beside it, the last one all."""
    mean = call("quick", "000000000004")
    assert "Test sentence 0 (--example N: 0 to 1), the mean of the heads (--head H: 0 to 2): source above" in mean
    assert ["b", "·", "[9]", "·"] in [line.split() for line in mean.splitlines()]
    spread, sure = ["b", "1", "[8]", "1"], ["b", "[9]"]
    for example, head, row in (0, 0, spread), (0, 2, sure), (1, 0, sure), (1, 2, spread):
        out = call("quick", "000000000004", "--head", str(head), "--example", str(example))
        assert f"Test sentence {example} (--example N: 0 to 1), head {head} (--head H: 0 to 2): source above" in out
        assert [line.split() for line in out.splitlines()][-2] == row


def test_an_alignment_of_one_head_does_not_mention_heads(call):
    assert "Test sentence 0 (--example N: 0 to 1): source above, target at the left" in call("quick", "000000000000")


def test_a_missing_head_is_reported(call, tmp_path, capsys):
    with pytest.raises(AttnbenchError, match="no head 3") as error:
        call("quick", "000000000004", "--head", "3")
    assert "from 0 to 2" in str(error.value)
    with pytest.raises(SystemExit) as end:
        cli.main(["show", "quick", "000000000000", "--head", "0", "--results", str(tmp_path / "results")])
    told = capsys.readouterr()
    assert (end.value.code, told.out) == (2, "")
    assert "cell 000000000000" in told.err
    assert "no separate heads" in told.err
    assert "omit --head" in told.err


def test_a_done_cell_without_an_alignment_shows_the_rest(call):
    out = call("quick", "000000000005")
    assert "000000000005 done" in out
    assert ["exact_match", "0.500", "–"] in [line.split() for line in out.splitlines()]
    assert "Test sentence" not in out


def test_mistakes_are_reported(call):
    with pytest.raises(AttnbenchError, match="6 cells begin with '00'"):
        call("quick", "00")
    with pytest.raises(AttnbenchError, match="not finished"):
        call("quick", "000000000003")
    with pytest.raises(AttnbenchError, match="from 0 to 1"):
        call("quick", "000000000000", "--example", "2")


def test_several_cells_are_drawn_side_by_side(call):
    out = call("quick", "000000000000", "000000000005", "000000000001", COLUMNS="100")
    assert next(line.split() for line in out.splitlines() if line.startswith(" seed ")) == ["seed", "0", "5", "1"]
    assert "model.width" not in out, "what they share is not said"
    line = next(line for line in out.splitlines() if line.startswith(" exact_match "))
    assert line.split() == ["exact_match", "0.980", "0.500", "–"]
    assert "NaN" in out
    out = call("quick", "000000000000", "000000000004", COLUMNS="100")
    heads = [line for line in out.splitlines() if line.startswith("000000000000 ")]
    assert "000000000004" in heads[-1], "the drawings stand beside each other"


def test_drawings_that_do_not_fit_side_by_side_are_drawn_below(call):
    out = call("quick", "000000000000", "000000000004", COLUMNS="30")
    drawn = out[out.index("gold link") :]
    assert drawn.index("000000000000") < drawn.index("000000000004")
    assert not any("000000000000" in line and "000000000004" in line for line in drawn.splitlines())


def test_the_same_cell_twice_is_one(call):
    assert call("quick", "000000000000", "000000000000") == call("quick", "000000000000")


def test_a_cell_is_found_by_its_labels(call):
    assert call("quick", "--where", "seed=0") == call("quick", "000000000000")
    assert call("quick", "--where", "score=dot, seed=0") == call("quick", "000000000000")
    both = call("quick", "--where", "seed=0,seed=4", COLUMNS="100")
    assert both == call("quick", "000000000000", "000000000004", COLUMNS="100")


def test_the_suggested_condition_finds_a_cell_of_the_run(tmp_path):
    """It named the score dot, also where the run has none."""
    grid = plan("own", score=["mine rank=4"], task=["copy"], seed=[7])
    store = write_run(tmp_path, grid, [outcome(grid.cells[0], exact_match=0.5)])
    with pytest.raises(AttnbenchError) as error:
        _found(store, [], [])
    command = shlex.split(error.value.problems[0].hint.removeprefix("e.g. ").partition(";")[0])
    assert command[:4] == ["attnbench", "show", "own", "--where"]
    assert _found(store, [], command[4:]) == [grid.cells[0].id]


def test_a_label_with_a_comma_is_one_condition(tmp_path):
    grid = plan("lists", data__test_lengths=["[8, 12]", "[9]"])
    store = write_run(tmp_path, grid, [outcome(cell, exact_match=0.5) for cell in grid.cells])
    assert _found(store, [], ["data.test_lengths=[8, 12],seed=0"]) == [grid.cells[0].id]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--where score=dot,task=copy,seed=0"),
        (("000000000000", "--where", "seed=0"), "not by both"),
        (("--where", "seed=9"), "no finished cell has seed=9"),
        (("--where", "seed=3"), "no finished cell has seed=3"),
        (("--where", "sed=0"), "did you mean 'seed'"),
    ],
)
def test_conditions_that_find_no_cell(call, arguments, message):
    with pytest.raises(AttnbenchError, match=message):
        call("quick", *arguments)


def test_too_many_cells_are_refused_with_what_they_differ_in(tmp_path):
    grid = plan("many", score=["dot", "general"], seed=range(5))
    store = write_run(tmp_path, grid, [outcome(cell, exact_match=0.5) for cell in grid.cells])
    with pytest.raises(AttnbenchError, match="10 cells fulfil task=copy; at most 8") as caught:
        _found(store, [], ["task=copy"])
    assert caught.value.problems[0].hint == "add a condition: they differ in score, seed"


def test_a_copied_cell_names_the_run_it_is_from(call, tmp_path):
    cell = tmp_path / "results" / "quick" / "cells" / "000000000000.json"
    rewrite(cell, lambda record: record.update(reused_from={"run": "first", "digest": "0"}))
    assert "copied from the run first" in call("quick", "000000000000")


@pytest.fixture
def call_on_images(tmp_path):
    """Calls `attnbench show` on a run of cells whose sources are images, with two heads.

    000000000002 has sure links alone, 000000000003 no links.
    """
    grid = plan("eyes", task=["caption"], seed=range(4))
    made = [scenes(heads=2) for _ in grid.cells]
    made[2] = replace(made[2], possible=NO_LINKS, forming_possible=NO_LINKS)
    made[3] = replace(made[3], links=NO_LINKS, possible=NO_LINKS, forming_links=NO_LINKS, forming_possible=NO_LINKS)
    written = [
        replace(outcome(cell, exact_match=0.5), alignments=own) for cell, own in zip(grid.cells, made, strict=True)
    ]
    write_run(tmp_path, grid, written)
    app = typer.Typer()
    app.command()(show)

    def run(*arguments):
        result = CliRunner().invoke(app, ["eyes", *arguments, "--results", str(tmp_path / "results")])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.stdout

    return run


def test_an_image_has_a_panel_per_word_and_a_legend_of_possible_links(call_on_images):
    out = call_on_images("000000000000")
    assert "[ ] gold link\nonly possible links ( )\n" in out
    title, drawn = out.partition("Test image 0 (--example N: 0 to 1), the mean of the heads")[1:]
    assert title
    assert drawn.count("[8](2)") == 2
    assert "█" in drawn


def test_another_image_and_a_head_of_it_are_drawn(call_on_images):
    drawn = call_on_images("000000000000", "--example", "1", "--head", "1").rpartition("per word")[2]
    assert drawn.count("[9]( )") == 1
    assert " 2 " not in drawn
    assert f"│{' ' * 11}██{' ' * 11}│" in drawn, "the bright pixels of this image"


def test_cells_of_images_are_shown_side_by_side(call_on_images):
    out = call_on_images("000000000000", "000000000001")
    assert out.count("[8](2)") == 4


@pytest.mark.parametrize(
    ("cells", "gold", "possible"),
    [(["2"], True, False), (["3"], False, False), (["3", "2"], True, False), (["3", "0"], True, True)],
)
def test_the_legend_of_images_explains_the_links_that_there_are(call_on_images, cells, gold, possible):
    out = call_on_images(*(f"00000000000{cell}" for cell in cells))
    assert "weight: blank 0" in out
    assert ("gold link" in out) is gold
    assert ("only possible" in out) is possible


def test_the_legend_of_sentences_without_gold_links_names_none(call):
    out = call("quick", "000000000002")
    assert "weight: blank 0" in out
    assert "gold" not in out


def test_an_image_that_is_not_there_is_called_an_image(call_on_images):
    with pytest.raises(AttnbenchError, match="there is no test image 9"):
        call_on_images("000000000000", "--example", "9")


def test_a_sentence_has_no_legend_of_possible_links(call):
    assert "possible" not in call("quick", "000000000000")
