"""Messages stay short, whatever a plugin or a file puts into them."""

import pickle

import pytest

from attnbench.errors import AttnbenchError, Problem, fail
from attnbench.messages import LONGEST, message_of, shortened


@pytest.mark.parametrize("length", [LONGEST + 1, LONGEST + 2, 50_000_000])
def test_a_long_text_is_cut_in_the_middle_where_its_length_is_written(length):
    text = "begin" + "x" * (length - 8) + "end"
    cut = shortened(text)
    assert len(cut) == LONGEST
    assert cut.startswith("beginxxx")
    assert cut.endswith("xxxend")
    assert f"x … [{length:,} characters] … x" in cut
    assert shortened(cut) == cut


def test_a_short_text_is_kept():
    assert shortened("x" * LONGEST) == "x" * LONGEST


@pytest.mark.parametrize("part", ["what", "where", "hint", "source"])
def test_every_part_of_a_problem_is_short(part):
    problem = Problem(**{"what": "", part: "x" * 900_000})
    assert len(getattr(problem, part)) == LONGEST
    assert len(str(AttnbenchError(problem))) < LONGEST + 100


def test_a_plugin_may_raise_the_error_with_a_text():
    error = AttnbenchError("no such table")
    assert error.problems == (Problem("no such table"),)
    assert str(pickle.loads(pickle.dumps(error))) == "no such table"
    assert str(fail("no such table")) == "no such table"


class Odd(BaseException):
    """Its message raises what it is given."""

    def __str__(self) -> str:
        raise self.args[0]


@pytest.mark.parametrize("raised", [ValueError(), SystemExit(3), GeneratorExit(), RecursionError()])
def test_a_message_that_raises_is_described(raised):
    found = message_of(Odd(raised))
    assert found == f"its message cannot be shown, because its __str__ raised {type(raised).__name__}"


def test_ctrl_c_in_a_message_stays_ctrl_c():
    with pytest.raises(KeyboardInterrupt):
        message_of(Odd(KeyboardInterrupt()))
