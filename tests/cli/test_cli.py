"""The command line as a whole: light to start, clear about mistakes, honest about bugs."""

import pytest
from weigh import weigh

import attnbench
from attnbench import cli
from attnbench.errors import AttnbenchError, Exit, Problem


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    return int(end.value.code or 0)


def test_help_is_light_and_names_every_verb():
    weight = weigh("--help")
    assert "typer" in weight.packages
    assert not weight.packages & {"torch", "mlflow", "pandas", "matplotlib", "scipy", "ray", "numpy"}
    assert weight.seconds < 1
    verbs = ("run", "expand", "table", "show", "ui", "list", "init", "schema")
    assert [verb for verb in verbs if f"│ {verb} " not in weight.output] == []


def test_version(capsys):
    assert call("--version") == 0
    assert capsys.readouterr().out == f"attnbench {attnbench.__version__}\n"


@pytest.mark.parametrize(
    "arguments", [["frob"], ["run"], ["run", "g.yaml", "--workers", "0"], ["run", "g.yaml", "--frob"]]
)
def test_wrong_usage_is_exit_2_without_traceback(arguments, capsys):
    assert call(*arguments) == Exit.USAGE
    told = capsys.readouterr()
    assert told.out == ""
    assert "Traceback" not in told.err


def raising(error: BaseException):
    def verb(*_, **__):
        raise error

    return verb


@pytest.fixture
def break_init(monkeypatch):
    """Makes `attnbench init` raise."""

    def break_it(error: BaseException) -> None:
        monkeypatch.setattr(cli, "app", raising(error))

    return break_it


def test_a_mistake_is_reported_in_full_and_without_traceback(break_init, capsys):
    error = AttnbenchError(Problem("unknown score 'dott'", "g.yaml:3:4", "did you mean 'dot'?"), Problem("[bold]x"))
    break_init(error)
    assert call("init") == Exit.USAGE
    told = capsys.readouterr()
    assert told.err == "g.yaml:3:4: unknown score 'dott'\n  → did you mean 'dot'?\n[bold]x\n"
    assert told.out == ""


def test_a_long_mistake_is_not_broken_into_lines(break_init, capsys):
    break_init(AttnbenchError(Problem("word " * 60, "somewhere")))
    call("init")
    assert capsys.readouterr().err.count("\n") == 1


def test_a_bug_is_reported_as_one_with_its_traceback(break_init, capsys):
    break_init(KeyError("forgotten"))
    assert call("init") == 1
    told = capsys.readouterr().err
    assert "Traceback" in told
    assert "KeyError: 'forgotten'" in told
    assert "bug in attnbench" in told
