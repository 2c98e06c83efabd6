"""Whatever is called a grid file is accepted, or refused with a message: never a traceback, never a hang."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings

from attnbench.errors import AttnbenchError
from attnbench.grid.document import MAX_PROBLEMS
from attnbench.grid.load import load_grid
from attnbench.grid.parse import dump, parse, read
from grid.conftest import SMALL, Complaints, Plans
from grid.hostile import Case, cases
from grid.yard import call, complaint, judge, make_yard

derandomised = settings(
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example],
)


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the grid file goes, in a folder with files of all kinds."""
    return make_yard(tmp_path_factory.mktemp("yard"))


@settings(derandomised, max_examples=400)
@given(case=cases)
@example(case=Case(b'name: "\\U00110000"'))
@example(case=Case(b"%YAML 1." + b"9" * 5000 + b"\n---\nname: g"))
@example(case=Case(b'name: g\ngrid: {score: [dot], task: [copy]}\nmodel: {cell: "\\uD800"}'))
@example(case=Case(b'name: g\nplugins: ["\\0.py"]'))
@example(case=Case(b"name: g\nplugins: [loop.py, folder.py, pipe.py, binary.py]"))
@example(case=Case(b"name: g\nplugins: [%s.py]" % (b"x" * 300)))
@example(case=Case(b"name: g\ngrid: {score: [dot], task: [translate]}\ndata: {path: %s}" % (b"x" * 300)))
@example(case=Case(b"name: g\ngrid: {score: [dot], task: [translate]}\ndata: {path: endless}"))
@example(case=Case(b"name: g\ngrid: {score: [dot], task: [translate]}\ndata: {path: pipe}"))
@example(
    case=Case(b"name: g\ngrid: {score: [dot], task: [translate], data.path: [pairs.tsv]}", ("data.test_path=pipe",))
)
@example(case=Case(b"name: g\nseeds: 2\n", ("seeds.\x85=[999]",)))
@example(case=Case(b"name: g\ngrid: {task: [copy]}\ninclude: [{scope: none, task: copy}]"))
def test_every_grid_is_accepted_or_refused_with_a_message(grid: Path, case: Case) -> None:
    verdict = judge(case, grid)
    assert complaint(verdict) is None
    assert verdict.seconds < 5


@settings(derandomised, max_examples=25)
@given(case=cases)
def test_the_command_line_ends_with_0_or_2_and_no_traceback(grid: Path, case: Case) -> None:
    verdict = judge(case, grid)
    told = call("expand", str(grid), *(f"--set={override}" for override in case.overrides))
    assert told.status == (2 if verdict.error else 0), told
    assert "Traceback" not in told.errors
    assert bool(told.output) != bool(told.errors)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("folder", "is a folder"),
        ("pipe", "not a regular file"),
        ("/dev/zero", "not a regular file"),
        ("/dev/null", "not a regular file"),
        ("loop", "cannot be read"),
        ("dangling", "there is no grid file"),
        ("endless", "larger than 1 MB"),
        ("x" * 300, "cannot be read"),
        ("a\0b", "is not a valid file name"),
        ("empty.tsv", "is empty"),
        ("binary.tsv", "not UTF-8"),
        ("latin.tsv", "not UTF-8"),
    ],
)
@pytest.mark.timeout(20)
def test_what_is_no_grid_file_is_refused_at_once(grid: Path, name: str, what: str) -> None:
    with pytest.raises(AttnbenchError, match=what):
        load_grid(grid.parent / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(SMALL)
    path.chmod(0)
    with pytest.raises(AttnbenchError, match="cannot be read: Permission denied"):
        read(path)


@pytest.mark.parametrize(
    "name",
    [
        "../x", "a/../../b", "/etc/passwd", ".", "..", "'~'", "~/x", "-x", "--help", "a?b", "a*b", "a\\\\b", "a:b",
        "a b", "'a '", ".hidden", "a/b", "é", '"a\\n"', "''", "x" * 101, "MLFLOW.DB", "mlflow.db-wal", "Mlartifacts",
        "con", "NUL.txt",
    ],
)  # fmt: skip
def test_a_name_stays_in_the_results_folder(complaints: Complaints, name: str) -> None:
    problem = complaints(SMALL.replace("name: g", f"name: {name}"))[0]
    assert problem.where.endswith("grid.yaml:1:7")
    assert "is not a valid folder name" in problem.what or "is reserved" in problem.what


@pytest.mark.parametrize("name", ["a.b", "A_1-x", "mlflow", "default", "console", "x" * 100])
def test_a_name_of_letters_digits_and_three_signs_is_right(plan: Plans, name: str) -> None:
    assert plan(SMALL.replace("name: g", f"name: {name}")).name == name


@pytest.mark.parametrize("escape", [r"\0", r"\e[2J", r"\uD800", r"\x9B", r"\L", r"\a"])
def test_escapes_that_a_terminal_would_obey_are_refused(complaints: Complaints, escape: str) -> None:
    for text in (f'train: {{clip: ["x{escape}"]}}', f'"x{escape}": 1'):
        problems = complaints(f"{SMALL}{text}\n")
        assert any("is not allowed in a grid file" in problem.what for problem in problems)
        assert str(problems[0]).isascii() or problems[0].hint


def test_too_many_problems_are_cut_short(complaints: Complaints) -> None:
    problems = complaints(SMALL + "".join(f"k{n}: 1\n" for n in range(MAX_PROBLEMS + 5)))
    assert len(problems) == MAX_PROBLEMS + 1
    assert "there may be more" in problems[-1].what
    assert len(complaints(SMALL + "".join(f"k{n}: 1\n" for n in range(MAX_PROBLEMS - 1)))) == MAX_PROBLEMS - 1


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("x: [" + "1," * 110_000 + "]", "it has more than 50,000 values"),
        ("".join(f"k{n}: 1\n" for n in range(60_000)), "more than 50,000 values"),
        ("a: 1\n" * 40_000, "duplicate key"),
        (SMALL + f"exclude: [{'{train.steps: 800},' * 9000}]\nzip: {{train.steps: [{'1,' * 9000}]}}", "excludes"),
        (SMALL.replace("}", f", data.vocabulary: {list(range(999_900, 1_000_000))}}}"), "99,994,950 symbols"),
        (SMALL.replace("seeds: 1", "seeds: 1000000000"), "1,000,000,000 cells"),
        (SMALL + "max_cells: 10000001", "at most 10000000"),
        (SMALL + "train: {steps: 1000000000000000000000000000000}", "31 digits is too large"),
    ],
    ids=["values", "keys", "twice", "excludes", "vocabularies", "seeds", "max_cells", "steps"],
)  # fmt: skip
def test_what_would_take_minutes_is_refused_in_seconds(complaints: Complaints, text: str, what: str) -> None:
    start = time.process_time()
    problems = complaints(text)
    assert any(what in problem.what for problem in problems)
    assert time.process_time() - start < 5


def test_a_long_file_is_split_into_lines_once(plan: Plans) -> None:
    steps = ", ".join(map(str, range(1, 2000)))
    text = (
        SMALL.replace("[dot]", "[dot, general]").replace("}", f", train.steps: [{steps}]}}")
        + "exclude: [{score: dot}]\n"
    )
    start = time.process_time()
    assert len(plan(text + "#\n" * 300_000).skipped) == 1999
    assert time.process_time() - start < 5


def test_many_includes_with_many_values_take_seconds(write: Callable[[str], Path]) -> None:
    values = ", ".join(map(str, range(1, 4000)))
    includes = "".join(
        f"- {{score: dot, task: copy, train.batch_size: 1, train.clip: {n}.0}}\n" for n in range(1, 2500)
    )
    path = write(SMALL.replace("}", f", train.steps: [{values}]}}") + f"include:\n{includes}")
    start = time.process_time()
    load_grid(path)
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    "text", ["08", "1e5", ".5", "0x1F", "0o17", "yes", "1:30", "2024-01-01", "", "~", "null", "=", "a: b"]
)
def test_text_that_looks_otherwise_is_kept_as_text(text: str) -> None:
    assert parse(dump({"key": text}), "kept").data == {"key": text}


MARK = "from pathlib import Path\nPath(__file__).with_suffix('.imported').touch()\n"


def test_nothing_is_imported_because_it_lies_in_a_folder(tmp_path: Path) -> None:
    names = [
        "my_score",
        "attnbench",
        "yaml",
        "numpy",
        "torch",
        "typer",
        "conftest",
        "sitecustomize",
        "usercustomize",
        "plugin",
    ]
    for name in names:
        (tmp_path / f"{name}.py").write_text(MARK)
    (tmp_path / "asked.py").write_text(MARK)
    (tmp_path / "grid.yaml").write_text(SMALL + "plugins: [asked.py]\n")
    program = Path(sys.executable).with_name("attnbench")
    told = subprocess.run([program, "expand", "grid.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert [path.stem for path in tmp_path.glob("*.imported")] == ["asked"]
