"""Every mistake in a grid file is told at once, where it stands, with what to do."""

from collections.abc import Callable
from pathlib import Path

import pytest

from attnbench.errors import AttnbenchError
from attnbench.grid.expand import expand
from attnbench.grid.load import load_grid
from grid.conftest import SMALL, Complaints

CONTRACT = """\
# yaml-language-server: $schema=grid.schema.json
name: scores-by-task            # folder and MLflow experiment; letters, digits, . _ -
seeds: 3                        # a count, or a list
grid:                           # Cartesian product
  score: [cosine, additive, location, general, dot, scaled_dot]
  scope: [global, {name: local-p, window: 3}]
  task: [copy, reverse, sort, translate]
  model.width: [32, 64]         # any field below can be an axis, by dotted path
zip:                            # optional: axes that advance together
  data.max_length: [10, 20]
  train.steps: [500, 1000]
exclude: [{score: location, task: sort}]
include: [{score: additive, scope: none, task: copy}]
model: {kind: rnn, width: 64, embedding: 32, cell: gru, query: previous}
data:  {vocabulary: 20, min_length: 3, max_length: 10, test_lengths: [10, 20]}
train: {steps: 800, batch_size: 32, learning_rate: 0.003, clip: 1.0, valid_every: 100}
plugins: []
"""


def test_the_contracts_example_is_sound(write: Callable[[str], Path]) -> None:
    path = write(CONTRACT)
    grid = load_grid(path)
    assert (grid.name, grid.path, grid.seeds, grid.text) == ("scores-by-task", path, (0, 1, 2), CONTRACT)
    assert grid.axes == ("score", "scope", "task", "model.width", "data.max_length", "train.steps")


G = "grid: {score: [dot], task: [copy]}\n"


@pytest.mark.parametrize(
    ("text", "where", "what", "hint"),
    [
        ("grid: {score: [dot, addtive], task: [copy]}", "2:21", "unknown score 'addtive'", "'additive'"),
        ("grid: {score: [{name: dto}], task: [copy]}", "2:23", "unknown score 'dto'", "'dot'"),
        ("grid: {score: [dot], scope: [globl], task: [copy]}", "2:30", "unknown scope 'globl'", "'global'"),
        ("grid: {score: [dot], task: [cpoy]}", "2:29", "unknown task 'cpoy'", "'copy'"),
        ("grid: {score: [3], task: [copy]}", "2:16", "a score should be a name", ""),
        ("grid: {score: [[dot]], task: [copy]}", "2:16", "a score should be a name", ""),
        ("grid: {score: [{strength: 3}], task: [copy]}", "2:16", "needs a name", "name: "),
        ("grid: {score: dot, task: [copy]}", "2:15", "should be a list, found 'dot'", "[dot]"),
        ("grid: {score: [], task: [copy]}", "2:15", "axis score has no values", ""),
        ("grid: {score: [dot], task: [copy], scope: [{name: local-p, window: 0}]}", "2:68", "above 0", ""),
        ("grid: {score: [dot], task: [copy], scope: [{name: local-p, windo: 3}]}", "2:60", "no option", "'window'"),
        ("grid: {score: [dot], task: [copy], scope.windw: [3]}", "2:36", "unknown axis 'scope.windw'", ""),
        ("grid: {score: [dot], task: [copy], model.widht: [3]}", "2:36", "unknown axis", "'model.width'"),
        ("grid: {score: [dot], task: [copy], model.width: [8, -2]}", "2:53", "above 0", ""),
        ("grid: {score: [dot], task: [copy], model.width: [7]}", "2:50", "multiple of 2", ""),
        ("grid: {score: [dot], task: [copy], model: [rnn]}", "2:36", "unknown axis 'model'", "model.kind"),
        ("grid: {score: [dot], task: [copy], model.kind: [rrn]}", "2:49", "unknown model 'rrn'", "'rnn'"),
        ("grid: {score: [dot], task: [copy], seeds: [3]}", "2:36", "unknown axis 'seeds'", "top of the file"),
        ("grid: {score: [dot], task: [copy], data.test_lengths: [3]}", "2:56", "should be a list, found 3", ""),
        ("grid: {score: [dot], task: [copy], train.stop_at.exact_match: [2]}", "2:64", "at most 1", ""),
        ("grid: {score: [dot], task: [copy], train.stop_at: [~], train.stop_at.exact_match: [1]}", "2:56", "part", ""),
        ("grid: {score: [dot]}", "2:1", "the grid has no task", "add task"),
        ("grid: {task: [copy]}", "2:1", "the grid has no score", "add score"),
        ("grid: {}", "2:1", "the grid is empty", ""),
        ("grid: 3", "2:7", "should be a mapping, found 3", ""),
        ("grid:", "2:6", "should be a mapping, found nothing", ""),
        ("gird: {}\ngrid: {score: [dot], task: [copy]}", "2:1", "unknown key 'gird'", "'grid'"),
        (G + "zip: {score: [dot]}", "3:7", "is in both grid and zip", "remove one"),
        (G + "zip: {train.steps: [1, 2], model.width: [8]}", "3:1", "the same number of values", ""),
        (G + "exclude: [{score: additive}]", "3:19", "has no score 'additive'", "dot"),
        (G + "exclude: [{score: dto}]", "3:19", "unknown score 'dto'", "'dot'"),
        (G + "exclude: [{scor: dot}]", "3:12", "unknown axis 'scor'", "'score'"),
        (G + "exclude: [{}]", "3:11", "has no axis", ""),
        (G + "exclude: {score: dot}", "3:10", "should be a list", ""),
        ("grid: {score: [dot, general], task: [copy]}\ninclude: [{task: copy}]", "3:11", "needs a score", "score:"),
        (G + "include: [{model.wdith: 8}]", "3:12", "unknown axis", "'model.width'"),
        (G + "include: [{model.width: 7}]", "3:25", "multiple of 2", ""),
        (G + "model: {widht: 3}", "3:9", "no option 'widht'", "'width'"),
        (G + "model: {width: -2}", "3:16", "above 0", ""),
        (G + "model: {kind: rrn, foo: 3}", "3:15", "unknown model 'rrn'", "'rnn'"),
        (G + "model: {input_feeding: yes}", "3:24", "found 'yes'", ""),
        (G + "data: {max_lenght: 3}", "3:8", "unknown key 'max_lenght'", "'max_length'"),
        (G + "data: {vocabulary: 0}", "3:20", "should be above 0, found 0", ""),
        (G + "data: {test_lengths: [5, x]}", "3:26", "a whole number, found 'x'", ""),
        (G + "data: {test_lengths: 5}", "3:22", "should be a list, found 5", ""),
        (G + "data: {min_length: 9, max_length: 4}", "3:20", "min_length 9 is above", ""),
        (G + "data: {min_length: 11}", "3:20", "min_length 11 is above max_length 10", ""),
        (G + "train: {steps: 1.5}", "3:16", "a whole number, found 1.5", ""),
        (G + "train: {clip: .nan}", "3:15", "not a finite number", ""),
        (G + "train: {stop_at: {exact_mach: 1}}", "3:19", "unknown key", "'exact_match'"),
        (G + "seeds: 0", "3:8", "at least 1, or a list of seeds, found 0", ""),
        (G + "seeds: true", "3:8", "found true", ""),
        (G + "seeds: []", "3:8", "found []", ""),
        (G + "seeds: [1, -1]", "3:8", "found -1", ""),
        (G + "seeds: [1, 2, 1]", "3:8", "seed 1 is listed 2 times", ""),
        (G + "max_cells: 0", "3:12", "above 0", ""),
        (G + "plugins: [nix.py]", "3:11", "no plugin file", "the grid file's folder"),
        (G + "plugins: x.py", "3:10", "should be a list", ""),
        (G + "grid: {}", "3:1", "duplicate key 'grid'", "line 2"),
    ],
)  # fmt: skip
def test_one_mistake_is_one_problem_in_its_place(
    complaints: Complaints, tmp_path: Path, text: str, where: str, what: str, hint: str
) -> None:
    found = complaints(f"name: g\n{text}\n")
    first = found[0]
    assert first.where == f"{tmp_path / 'grid.yaml'}:{where}"
    assert what in first.what
    assert hint in first.hint
    line = int(where.split(":")[0])
    assert first.source.split("\n")[0] == f"name: g\n{text}".split("\n")[line - 1]


@pytest.mark.parametrize("name", ["mlflow.db", "mlartifacts", "Default"])
def test_a_name_that_the_results_folder_needs_is_refused(complaints: Complaints, name: str) -> None:
    (problem,) = complaints(SMALL.replace("name: g", f"name: {name}"))
    assert f"the name {name} is reserved" in problem.what


@pytest.mark.parametrize("name", ["a/b", "../x", ".hidden", "-rf", "a b", "ä", "''", "x" * 101, '"a\\n"', "..", "."])
def test_a_name_is_a_folders(complaints: Complaints, name: str) -> None:
    (problem,) = complaints(SMALL.replace("name: g", f"name: {name}"))
    assert "is not a valid folder name" in problem.what


@pytest.mark.parametrize("name", ["a", "scores-by-task", "v1.2_x", "_x", "9"])
def test_names_that_are_fine(write: Callable[[str], Path], name: str) -> None:
    assert load_grid(write(SMALL.replace("name: g", f"name: '{name}'"))).name == name


def test_all_mistakes_are_reported_at_once_in_the_order_of_the_file(complaints: Complaints) -> None:
    text = """\
name: a/b
seeds: 0
grid:
  score: [dot, addtive]
  scope: [{name: local-p, window: 0}]
  task: [copy]
  model.width: [-2]
data: {min_length: 9, max_length: 4,
       vocabluary: 4}
train: {steps: x}
exlude: []
plugins: [nix.py]
plugins: []
"""
    lines = [int(problem.where.split(":")[1]) for problem in complaints(text)]
    assert lines == [1, 2, 4, 5, 7, 8, 9, 10, 11, 12, 13]


def test_a_problem_prints_the_line_and_the_suggestion(complaints: Complaints, tmp_path: Path) -> None:
    (problem,) = complaints("name: g\ngrid:\n  score: [addtive]\n  task: [copy]\n")
    assert str(problem) == (
        f"{tmp_path}/grid.yaml:3:11: unknown score 'addtive'\n"
        "      score: [addtive]\n"
        "              ^\n"
        "  → did you mean 'additive'?"
    )


@pytest.mark.parametrize(
    ("text", "what"), [("", "empty"), ("# nothing\n", "empty"), ("- a\n", "a mapping"), ("x", "a map")]
)
def test_a_file_without_a_grid(complaints: Complaints, text: str, what: str) -> None:
    (problem,) = complaints(text)
    assert what in problem.what


def test_a_missing_name(complaints: Complaints) -> None:
    (problem,) = complaints("grid: {score: [dot], task: [copy]}")
    assert "needs a name" in problem.what


def test_whole_numbers_stand_for_real_ones(write: Callable[[str], Path]) -> None:
    grid = load_grid(write(SMALL + "train: {learning_rate: 1, clip: 1e-1}\n"))
    (cell,) = expand(grid).cells
    assert (cell.cell.train.learning_rate, cell.cell.train.clip) == (1.0, 0.1)


def test_seeds_can_be_listed(write: Callable[[str], Path]) -> None:
    assert load_grid(write(SMALL.replace("seeds: 1", "seeds: [7, 0]"))).seeds == (7, 0)


def test_a_grid_past_max_cells_is_counted_and_not_built(complaints: Complaints) -> None:
    many = list(range(1, 1001))
    axes = "".join(
        f"  {axis}: {many}\n" for axis in ("train.steps", "train.batch_size", "data.max_length", "model.embedding")
    )
    (problem,) = complaints(f"name: g\nseeds: 7\ngrid:\n  score: [dot]\n  task: [copy]\n{axes}")
    assert "7,000,000,000,000 cells" in problem.what
    assert "100,000" in problem.hint


def test_max_cells_counts_seeds_zip_and_include(complaints: Complaints, write: Callable[[str], Path]) -> None:
    text = SMALL + "zip: {train.steps: [3, 4]}\ninclude: [{train.steps: 5}]\nmax_cells: "
    assert load_grid(write(text + "3"))
    (problem,) = complaints(text + "2")
    assert "3 cells" in problem.what
    (problem,) = complaints(SMALL.replace("seeds: 1", "seeds: 1000000000000"))
    assert "1,000,000,000,000 cells" in problem.what


PLUGIN = """
from attnbench.registry import score
@score("{name}")
class Mine:
    "Mine."
    def __init__(self, temperature: float = 1.0): pass
    def __call__(self, *given): ...
"""


def test_plugins_are_found_next_to_the_grid_and_loaded_before_names_are_read(
    write: Callable[[str], Path], tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN.format(name="of_the_grid"))
    text = "name: g\ngrid: {score: [{name: of_the_grid, temperature: 2}], task: [copy]}\nplugins: [mine.py]\n"
    assert load_grid(write(text)).plugins == (str(tmp_path / "mine.py"),)


def test_plugins_of_the_command_line_are_relative_to_the_working_folder(
    write: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "mine.py").write_text(PLUGIN.format(name="of_the_command"))
    monkeypatch.chdir(tmp_path / "here")
    path = write("name: g\ngrid: {score: [of_the_command], task: [copy]}\n")
    assert load_grid(path, plugins=["mine.py"]).plugins == (str(tmp_path / "here" / "mine.py"),)
    with pytest.raises(AttnbenchError, match=r"--plugin nix.py: there is no plugin file"):
        load_grid(path, plugins=["nix.py"])


def test_installed_plugins_are_loaded_before_a_name_is_called_unknown(
    write: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from attnbench.plugins import load_plugin

    (tmp_path / "mine.py").write_text(PLUGIN.format(name="installed"))
    monkeypatch.setattr("attnbench.grid.resolve.load_entry_points", lambda: load_plugin(tmp_path / "mine.py"))
    assert load_grid(write("name: g\ngrid: {score: [installed], task: [copy]}\n"))


def test_a_plugin_that_raises_is_reported_with_the_other_problems(complaints: Complaints, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("x = 1\n1 / 0\n")
    found = complaints("name: g\nseeds: 0\ngrid: {score: [dot], task: [copy]}\nplugins: [bad.py]\n")
    assert [int(problem.where.split(":")[1]) for problem in found] == [2, 4]
    assert "ZeroDivisionError: division by zero, line 2 of bad.py" in found[1].what


def test_an_option_that_is_an_axis_is_not_set_twice(complaints: Complaints) -> None:
    text = "name: g\ngrid: {score: [dot], task: [copy], scope: [{name: local-p, window: 3}], scope.window: [2]}\n"
    (problem,) = complaints(text)
    assert "scope.window is an axis, and local-p sets it too" in problem.what


PAIRS = "a b\tx\na b c\tx y\n" * 50 + "".join(f"w{n} v\tz\n" for n in range(60))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (G + "data: {path: p.tsv}", "only read by the tasks caption, g2p and translate, which"),
        (
            "grid: {score: [dot], task: [translate]}\ndata: {path: p.tsv, max_length: 9}",
            "data.max_length cannot be set",
        ),
        (
            "grid: {score: [dot], task: [translate], data.min_length: [2]}\ndata: {path: p.tsv}",
            "data.min_length cannot",
        ),
        ("grid: {score: [dot], task: [translate]}\ndata: {test_path: p.tsv}", "needs data.path"),
        ("grid: {score: [dot], task: [translate]}\ndata: {path: nix.tsv}", "there is no file"),
        ("grid: {score: [dot], task: [translate], data.path: [nix.tsv]}", "there is no file"),
        ("grid: {score: [dot], task: [translate]}\ndata: {path: 3}", "should be text, found 3"),
    ],
)
def test_the_fields_for_sentence_pairs(complaints: Complaints, tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "p.tsv").write_text(PAIRS)
    (problem,) = complaints(f"name: g\n{text}\n")
    assert what in problem.what
    assert "grid.yaml:" in problem.where


def test_a_pairs_file_with_a_missing_column_is_reported_with_its_line(complaints: Complaints, tmp_path: Path) -> None:
    (tmp_path / "p.tsv").write_text("a b\tx\na c y\n")
    (problem,) = complaints("name: g\ngrid: {score: [dot], task: [translate]}\ndata: {path: p.tsv}\n")
    assert problem.where == f"{tmp_path}/p.tsv:2"
    assert "2 columns" in problem.what


def test_a_score_is_needed_where_only_the_includes_do_without(complaints: Complaints) -> None:
    (problem,) = complaints("name: g\ngrid: {task: [copy]}\ninclude: [{scope: none, task: copy}]\n")
    assert problem.what == "the grid has no score"
