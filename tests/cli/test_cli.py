"""The command line as a whole: light to start, clear about mistakes, honest about bugs."""

import inspect
from types import SimpleNamespace

import pytest
from made_up_run import outcome, plan, write_run
from typer.testing import CliRunner
from weigh import weigh

import attnbench
from attnbench import cli
from attnbench.cli import complete
from attnbench.driver import Stopped
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


def test_a_paragraph_of_help_is_broken_by_the_terminal_alone(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "300")
    for verb, command in cli.VERBS.items():
        assert call(verb, "--help") == 0
        lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
        paragraphs = [" ".join(text.split()) for text in inspect.getdoc(command).split("\n\n")]
        assert [text for text in paragraphs if text not in lines] == [], verb


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


def test_a_grid_file_or_a_run_in_the_place_of_a_verb(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call("my grid.yaml") == Exit.USAGE
    assert capsys.readouterr().err == "my grid.yaml is a grid file, not a command\n  → attnbench run 'my grid.yaml'\n"
    (tmp_path / "results" / "quick").mkdir(parents=True)
    (tmp_path / "results" / "quick" / "plan.json").touch()
    assert call("quick") == Exit.USAGE
    assert "attnbench table quick" in capsys.readouterr().err
    assert call("tabel") == Exit.USAGE
    assert "Did you mean 'table'" in capsys.readouterr().err


COMPLETIONS = [
    ("attnbench ta", ["table"]),
    ("attnbench run --retry", ["--retry-failed"]),
    ("attnbench table qu", ["quick"]),
    ("attnbench show qu", ["quick"]),
    ("attnbench runs --delete qu", ["quick"]),
    ("attnbench table quick --metric exact_match@", ["exact_match@9", "exact_match@20"]),
    ("attnbench table quick --metric ae", ["aer"]),
    ("attnbench compare quick --metric parameters", ["parameters"]),
    ("attnbench list addit", ["additive"]),
    ("attnbench run g.yaml --engine s", ["serial"]),
    ("attnbench table none-such --metric exact_match@", []),
]


@pytest.mark.parametrize(("typed", "offered"), COMPLETIONS)
def test_the_shell_completes_verbs_options_runs_and_metrics(typed, offered, tmp_path, monkeypatch):
    monkeypatch.setenv("ATTNBENCH_RESULTS", str(tmp_path / "results"))
    grid = plan("quick")
    write_run(tmp_path, grid, [outcome(cell, exact_match=0.5) for cell in grid.cells]).write_table()
    words = {"_ATTNBENCH_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    found = CliRunner().invoke(cli.app, prog_name="attnbench", env=words)
    assert found.stdout.split() == offered


def test_a_completion_that_fails_offers_nothing(monkeypatch):
    monkeypatch.setattr(complete, "run_names", raising(OSError("the disk is gone")))
    assert complete.runs(SimpleNamespace(params={}), "") == []


def test_the_options_of_run_are_in_groups(capsys):
    assert call("run", "--help") == 0
    out = capsys.readouterr().out
    titles = [
        out.index(title) for title in ("─ The grid", "Which cells are trained", "How they are trained", "Results ")
    ]
    assert titles == sorted(titles)
    assert titles[0] < out.index("--set") < out.index("--as") < titles[1] < out.index("--no-reuse") < titles[2]
    # All but --help are in a group.
    options = out[out.index("─ Options ") : titles[0]].replace("│", "")
    assert [word for word in options.split() if word.startswith("--")] == ["--help"]


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


def test_a_run_that_ended_early_has_another_status_than_a_mistake(break_init, capsys):
    break_init(Stopped(Problem("no worker process can be started"), Problem("4 finished cells of this run are kept")))
    assert call("run", "grid.yaml") == Exit.CELLS_FAILED
    assert capsys.readouterr().err == "no worker process can be started\n4 finished cells of this run are kept\n"


def test_a_long_mistake_is_not_broken_into_lines(break_init, capsys):
    break_init(AttnbenchError(Problem("word " * 60, "somewhere")))
    call("init")
    assert capsys.readouterr().err.count("\n") == 1


def test_a_bug_is_reported_as_one_with_its_traceback(break_init, capsys):
    break_init(ValueError("forgotten\x1b[31m"))
    assert call("init") == 1
    told = capsys.readouterr().err
    assert "Traceback" in told
    assert "ValueError: forgotten\ufffd[31m" in told
    assert "bug in attnbench" in told
