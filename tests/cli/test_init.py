import ast
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from attnbench.analysis.compare.enough_seeds import too_few_seeds
from attnbench.cli.init import MODULES, init
from attnbench.errors import AttnbenchError
from attnbench.grid.expand import expand
from attnbench.grid.load import load_grid
from attnbench.grid.schema import GridFile
from attnbench.registry import REGISTRIES


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
    assert len(plan.cells) == 48
    assert too_few_seeds([cell.labels for cell in plan.cells]) == ""
    assert {cell.labels["task"] for cell in plan.cells} == {"copy", "reverse"}
    assert not plan.skipped


def test_the_starter_teaches_every_key_of_the_format(tmp_path):
    text = call("-").stdout
    taught = {line.lstrip("# ").partition(":")[0] for line in text.splitlines() if ":" in line}
    assert set(GridFile.model_fields) <= taught
    file = tmp_path / "all.yaml"
    file.write_text(_with_comments_in_force(text))
    plan = expand(load_grid(file))
    # zip doubles the 48 cells; exclude takes additive × reverse (8 seeds × 2); include adds a cell without a score.
    assert {c.labels["scope"] for c in plan.cells} == {"global", "none"}
    assert len([c for c in plan.cells if c.labels["scope"] == "global"]) == 80


def test_the_sections_that_answer_are_valid_when_they_are_switched_on(tmp_path):
    """tune, decide with its range of seeds, and claims."""
    text = call("-").stdout.replace("seeds: 8 ", "seeds: {at_least: 8, at_most: 30} ")
    lines, on = [], False
    for line in text.splitlines():
        on = line.startswith(("# tune:", "# decide:", "# claims:")) or (on and line.startswith("#   "))
        lines.append(line[2:] if on else line)
    file = tmp_path / "all.yaml"
    file.write_text("\n".join(lines))
    grid = load_grid(file)
    assert grid.tune.candidates == 3
    assert grid.decide.axis == "score"
    assert [claim.says for claim in grid.claims] == ["additive is better than general on reverse"]
    assert len(expand(grid).waiting) == 3 * 2 * 30


def _with_comments_in_force(text):
    """The starter with its commented sections switched on."""
    switched = []
    for line in text.splitlines():
        on = line.startswith(("# zip:", "#   data.", "#   train.", "# exclude:", "# include:"))
        switched.append(line[2:] if on else line)
    return "\n".join(switched)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("grid.yaml", "starter"),
        ("other.yaml", "other"),
        ("my grid.yaml", "my-grid"),
        ("2024.yaml", "2024"),
        ("null.yaml", "null"),
        ("1e3.yml", "1e3"),
        ("$(x).yaml", "x"),
        ("con.yaml", "starter"),  # a name that no run can have
        ("é.yaml", "starter"),
    ],
)
def test_the_starter_has_the_name_of_its_file(file, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call(file)
    assert load_grid(Path(file)).name == name
    commands = [shlex.split(line[1:]) for line in Path(file).read_text().splitlines() if line.startswith("#   attn")]
    if name != "starter":
        assert commands[0][:3] == ["attnbench", "expand", file]
        assert commands[2][:3] == ["attnbench", "table", name]


def test_the_starter_is_printed_for_a_dash(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert yaml.safe_load(call("-").stdout)["name"] == "starter"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_stays(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("mine")
    with pytest.raises(AttnbenchError, match="already exists and was not changed"):
        call(str(file))
    assert file.read_text() == "mine"


def test_a_missing_folder_is_reported(tmp_path):
    with pytest.raises(AttnbenchError, match="cannot be written"):
        call(str(tmp_path / "nowhere" / "grid.yaml"))


def test_the_next_command_is_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    *_, run = call().stderr.splitlines()
    assert run == "  attnbench run grid.yaml      # train them"
    told = call("--scope", "mine").stderr
    assert all(f"attnbench {verb} mine" in told for verb in ("expand", "run", "compare"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["grid.yaml", "mine.py", "mine.yaml"]


@pytest.mark.parametrize("existing", [["mine.py"], ["mine.yaml"], ["mine.py", "mine.yaml"]])
def test_a_part_overwrites_nothing_and_writes_no_other_file(existing, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in existing:
        (tmp_path / name).write_text("mine")
    with pytest.raises(AttnbenchError, match="already exists and was not changed") as raised:
        call("--task", "mine")
    assert [problem.where for problem in raised.value.problems] == existing
    assert raised.value.exit == 2
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(existing, "mine")


@pytest.mark.parametrize("kind", REGISTRIES)
def test_a_built_ins_name_is_refused(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in REGISTRIES[kind].names():
        with pytest.raises(AttnbenchError, match=f"is a built-in {kind}"):
            call(f"--{kind}", name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("my-score", "did you mean 'my_score'?"),
        ("my score.py", "did you mean 'my_score'?"),
        ("../mine", "did you mean 'mine'?"),
        ("2nd", "did you mean 'my_2nd'?"),
        ("dot.py", "did you mean 'my_dot'?"),
        ("torch.py", "did you mean 'my_torch'?"),
        ("dot", "did you mean 'my_dot'?"),
        ("a-" * 60, "not beginning with a digit"),
        ("", "letters, digits and _"),
        ("é", "letters, digits and _"),
        ("a" * 81, "up to 80"),
        ("lambda", "did you mean 'my_lambda'?"),
        ("Null", "did you mean 'my_null'?"),
        ("torch", "would take the place of the module torch"),
        ("random", "would take the place of the module random"),
        ("mlartifacts", "the results folder cannot have a run mlartifacts"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused_with_a_better_one(name, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AttnbenchError) as raised:
        call("--score", name)
    assert told in str(raised.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a", "_", "__x__", "X1", "none_", "camelCase", "a" * 80])
def test_any_other_name_gives_a_grid_that_expands(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call("--task", name)
    assert expand(load_grid(tmp_path / f"{name}.yaml")).cells


@pytest.mark.parametrize("arguments", [("--score", "a", "--task", "b"), ("grid.yaml", "--model", "a")])
def test_one_thing_at_a_time(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AttnbenchError, match="one thing at a time"):
        call(*arguments)
    assert not list(tmp_path.iterdir())


def test_the_help_names_every_option_and_the_next_command():
    text = " ".join(call("--help").stdout.split())
    assert all(f"--{kind}" in text for kind in REGISTRIES)
    assert "attnbench run" in text


def test_every_dependency_is_a_reserved_name():
    """The packages that attnbench imports, and those that pyproject.toml requires, under the names of their modules."""
    root = Path(__file__).parents[2]
    nodes = [node for file in (root / "attnbench").rglob("*.py") for node in ast.walk(ast.parse(file.read_text()))]
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    required = [*project["dependencies"], *project["optional-dependencies"]["ray"]]
    modules = {
        re.match(r"[\w-]+", requirement)[0].replace("pyyaml", "yaml").replace("scikit-learn", "sklearn")
        for requirement in required
    }
    assert {name.partition(".")[0] for name in imported} | modules <= MODULES
