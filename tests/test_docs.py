"""What README and the pages of docs/ tell people to type and to write works as it is printed there.

A page is followed from top to bottom in an empty folder: blocks without a language are commands; a yaml or python block
that begins with a comment such as `# mine.yaml` is a file; other python blocks are executed one after the other, and
other yaml blocks have to be YAML. Blocks marked sh or console need a GPU, a cluster, a server or a network: of those,
only the options are checked.
"""

import json
import re
import shlex
from pathlib import Path

import pytest
import torch
import yaml

import attnbench
from attnbench.cli import main

ROOT = Path(__file__).parents[1]
DOCS = sorted(file.relative_to(ROOT).as_posix() for file in ROOT.glob("docs/*.md"))
PAGES = ["README.md", *DOCS]
COMPLETE = {"README.md"}  # its runs use worker processes and log to MLflow, as a reader's do
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\S+\.(?:yaml|py))\n")
IMAGE = re.compile(r'<img src="([^"]+)"')
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
QUICK = {"steps": 4, "valid_every": 2}
SMALL = {"validation_examples": 20, "test_examples": 20}


def read(page):
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page, language):
    return [text for name, text in BLOCK.findall(read(page)) if name == language]


def commands(text):
    """The lines of a block that are commands, as words: without a prompt, and without the comment at the end."""
    lines = [line.removeprefix("$ ") for line in text.splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    # What a claim says of a whole training may be contradicted by one that was cut short.
    assert ended.value.code in (0, None, *([3] if arguments[0] == "verify" else [])), arguments


def quick(path, seeds=None):
    """Cuts the training and the test sets of a grid short; the rest stays as the page has it."""
    grid = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump(quicker(grid) | ({"seeds": seeds} if seeds else {}), sort_keys=False))


def quicker(grid):
    axes = grid.get("grid", {}) | grid.get("zip", {})
    train = {key: value for key, value in QUICK.items() if f"train.{key}" not in axes}
    return grid | {"train": grid.get("train", {}) | train, "data": grid.get("data", {}) | SMALL}


def quick_experiment(path):
    """A grid of experiments/ with its first task and one seed alone."""
    grid = quicker(yaml.safe_load((ROOT / path).read_text(encoding="utf-8")))
    task = grid["grid"]["task"][0]
    grid["grid"]["task"] = [task]
    grid["include"] = [combination for combination in grid.get("include", []) if combination["task"] == task]
    Path(path).parent.mkdir(exist_ok=True)
    Path(path).write_text(yaml.safe_dump(grid | {"seeds": 1}, sort_keys=False))


class Reader:
    """Follows a page in the current folder.

    Attributes:
        names: what the executed python blocks have defined.
        printed: what each command printed, by its words.
    """

    def __init__(self, page, capsys):
        self.page, self.capsys = page, capsys
        self.names = {"__name__": "__main__"}
        self.printed = {}
        self.cell = ""

    def follow(self):
        for language, text in BLOCK.findall(read(self.page)):
            file = FILE.match(text)
            if language in ("yaml", "python") and file:
                Path(file[1]).write_text(text, encoding="utf-8")
                if language == "yaml":
                    quick(Path(file[1]))
            elif language == "yaml":
                assert yaml.safe_load(text)
            elif language == "python":
                exec(compile(text, self.page, "exec"), self.names)
            elif language == "":
                for words in commands(text):
                    self.type(words)
            else:
                assert language in ("sh", "console"), f"{self.page} has a block marked {language}"

    def type(self, words):
        if words[0] == "make":
            return
        assert words[0] == "attnbench", f"{self.page}: {words}: mark what is not attnbench's as sh or console"
        arguments = [self.cell if word == "CELL" else word for word in words[1:]]
        for word in words:
            if word.startswith("experiments/") and not Path(word).exists():
                quick_experiment(word)
        if arguments[0] == "run" and self.page not in COMPLETE:
            arguments += ["--engine", "serial", "--no-mlflow", "--quiet"]
        grids = set(Path().glob("*.yaml"))
        run(*arguments)
        for grid in set(Path().glob("*.yaml")) - grids:
            if arguments[0] == "init":
                quick(grid)
        printed = self.capsys.readouterr().out
        self.printed[" ".join(words[1:])] = printed
        if arguments[0] == "expand" and arguments[-1] == "csv":
            self.cell = printed.splitlines()[1].partition(",")[0]


def done(run):
    """The rows of a run's table that are done."""
    return [row for row in Path(f"results/{run}/table.csv").read_text().splitlines() if ",done," in row]


def after_readme(reader):
    assert [words.split()[0] for words in reader.printed] == [
        "init", "expand", "run", "compare", "report", "init", "run", "baseline", "check", "guard",
    ]  # fmt: skip
    assert done("starter")
    assert Path("results/starter/report.html").exists()
    run("run", "own-score.yaml", "--no-mlflow", "--engine", "serial", "--quiet")
    run("table", "own-score")
    assert "euclidean temperature=0.5" in reader.capsys.readouterr().out
    score = next(block for block in blocks("README.md", "python") if "@attnbench.score" in block)
    assert len(score.split("class ")[1].splitlines()) <= 10, "the README promises few lines"


def after_commands(reader):
    assert {words.split()[0] for words in reader.printed} == {
        "init", "expand", "run", "table", "compare", "report", "show", "baseline", "check", "list", "schema", "sync",
        "runs", "guard",
    }  # fmt: skip


def after_grid(_):
    for name in ("train", "dev", "test"):
        lines = (f"{name} {a} {b}\t{b} {a}\n" for a in "abcd" for b in "efgh")
        Path(f"{name}.tsv").write_text("".join(lines))
    run("run", "pairs.yaml", "--no-mlflow", "--engine", "serial", "--quiet")
    assert len(done("my-pairs")) == 9


def after_claims(reader):
    verdicts = json.loads(reader.printed["verify wide --format json"])
    assert [len(claim["parts"]) for claim in verdicts] == [2, 1]
    page = read("docs/claims.md")
    assert all(f"`{key}`" in page for key in (*verdicts[0], *verdicts[0]["parts"][0]))
    fresh, committed = (
        reader.printed["verify wide --save-cells cells"],
        reader.printed["verify wide.yaml --cells cells"],
    )
    assert fresh == committed


def after_guard(reader):
    assert len(reader.printed) == 4
    for words, printed in reader.printed.items():
        assert "padding" in printed, words
        assert "failed" not in printed.splitlines()[-1], words
    reader.names = {}
    exec(compile(Path("test_my_attention.py").read_text(), "test_my_attention.py", "exec"), reader.names)
    reader.names["test_my_attention"]()


def after_own_parts(_):
    """Only that they train; tests/models/test_every_model.py holds the model to what every model promises."""
    assert len(done("mine")) == 3 * 2 * 8
    assert len(done("rotate")) == 2 * 2 * 2 * 8
    assert len(done("look-back")) == 3 * 2 * 8
    assert len([row for row in done("own-model") if ",wordwise," in row]) == 2 * 2 * 8


def after_python(reader):
    names = reader.names
    assert names["logits"].shape == (2, 3, 7)
    assert names["out"].context.shape == (2, 3, 64)
    assert names["out"].weights.shape == (2, 3, 7)
    assert torch.equal(names["out"].weights[1, :, 4:], torch.zeros(3, 3))
    assert list(names["frame"]["score"]) == ["additive"] * 5 + ["dot"] * 5
    assert names["run"].frame.equals(names["frame"])
    assert names["alignments"].weights.shape == names["alignments"].links.shape
    assert "<html" in Path("from-python.html").read_text(encoding="utf-8")
    assert "additive" in names["run"]._repr_html_()
    assert set(attnbench.__all__) >= {"Attention", "build_score", "load", "run", "score"}


AFTER = {
    "docs/claims.md": after_claims,
    "README.md": after_readme,
    "docs/commands.md": after_commands,
    "docs/grid.md": after_grid,
    "docs/guard.md": after_guard,
    "docs/own-parts.md": after_own_parts,
    "docs/python.md": after_python,
}


@pytest.fixture
def _quick_run(monkeypatch):
    """attnbench.run as python blocks call it: short, and in this process."""
    original = attnbench.run

    def short(grid, **options):
        return original(quicker(grid), **options, engine="serial", mlflow=False)

    monkeypatch.setattr(attnbench, "run", short)


@pytest.mark.usefixtures("_quick_run")
@pytest.mark.parametrize("page", PAGES)
def test_the_page_works_from_top_to_bottom(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    reader = Reader(page, capsys)
    reader.follow()
    if page in AFTER:
        AFTER[page](reader)


@pytest.mark.parametrize("page", PAGES)
def test_commands_that_are_not_run_have_options_that_exist(page, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    for text in (*blocks(page, "sh"), *blocks(page, "console")):
        for words in (words for words in commands(text) if words[0] == "attnbench"):
            run(words[1], "--help")
            known = capsys.readouterr().out
            assert all(word in known for word in words if word.startswith("--")), words


def test_few_commands_are_not_run():
    marked = [text for page in PAGES for mark in ("sh", "console") for text in blocks(page, mark)]
    assert sum(words[0] == "attnbench" for text in marked for words in commands(text)) <= 8


def test_the_lines_for_ci_fail_when_an_accuracy_fell(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    jobs = yaml.safe_load(next(block for block in blocks("docs/ci.md", "yaml") if "jobs:" in block))["jobs"]
    typed = [
        re.split(r" \|\| | # ", step["run"])[0].split()[1:]
        for step in jobs["accuracy"]["steps"]
        if step.get("run", "").startswith("attn")
    ]
    assert [line[0] for line in typed] == ["run", "check"]
    Path("ci.yaml").write_text(f"name: ci\nseeds: 5\ngrid: {{score: [dot], task: [copy]}}\ntrain: {QUICK}\n")
    run(*typed[0], "--engine", "serial", "--quiet")
    run("baseline", "ci", "-o", "baseline.csv", "--metric", "loss")
    run(*typed[1])
    fallen = re.sub(r"(?<=,0 1 2 3 4,)[^,]*", "0.1 0.1 0.1 0.1 0.1", Path("baseline.csv").read_text())
    Path("baseline.csv").write_text(fallen)
    with pytest.raises(SystemExit) as ended:
        main(typed[1])
    assert ended.value.code == 3
    assert "::error file=baseline.csv" in capsys.readouterr().out
    assert 'failures="1"' in Path("accuracy.xml").read_text()


def test_make_has_the_targets():
    targets = [words[1] for block in blocks("README.md", "") for words in commands(block) if words[0] == "make"]
    assert targets == ["demo"]
    makefile = (ROOT / "Makefile").read_text()
    for target in (*targets, "test", "bench"):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    assert "experiments/quickstart.yaml" in makefile


@pytest.mark.parametrize("page", PAGES)
def test_links_and_pictures_are_there(page):
    links = [link for link in (*LINK.findall(read(page)), *IMAGE.findall(read(page))) if "://" not in link]
    assert links
    missing = [link for link in links if not (ROOT / page).parent.joinpath(link).exists()]
    assert not missing


def test_readme_shows_pictures_and_is_short():
    pictures = [*IMAGE.findall(read("README.md")), *re.findall(r"!\[[^]]+\]\(([^)]+)\)", read("README.md"))]
    assert len(pictures) >= 2
    # Without the table of claims, which benchmarks/claims_page.py writes.
    written = re.sub(r"<!-- claims -->.*<!-- end of claims -->\n", "", read("README.md"), flags=re.DOTALL)
    assert len(written.splitlines()) <= 130


def test_every_page_is_in_the_index():
    linked = LINK.findall(read("docs/index.md"))
    assert {f"docs/{link}" for link in linked} >= {*DOCS} - {"docs/index.md"}


def test_the_experiments_are_all_listed():
    assert {f"../experiments/{file.name}" for file in ROOT.glob("experiments/*.yaml")} <= {
        *LINK.findall(read("docs/experiments.md"))
    }
