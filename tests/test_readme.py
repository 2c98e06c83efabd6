"""What the README tells people to type and to write works as it stands there."""

import re
from pathlib import Path

import pytest
import torch
import yaml

import attnbench
from attnbench.cli import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
QUICK = "train: {steps: 4, valid_every: 2}"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands():
    lines = [line.partition("#")[0].split() for block in blocks("") for line in block.splitlines()]
    return [line for line in lines if line and line[0] in ("attnbench", "make")]


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code in (0, None), arguments


def quick(path):
    """Cuts the training of a grid short; what it trains and how it is told stay."""
    grid = yaml.safe_load(path.read_text())
    grid["train"] = yaml.safe_load(QUICK)["train"]
    path.write_text(yaml.safe_dump(grid, sort_keys=False))


def test_the_commands_run_one_after_the_other(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    typed = [line[1:] for line in commands() if line[0] == "attnbench" and line[1] != "ui"]
    assert [line[0] for line in typed] == [
        "init", "expand", "run", "table", "table", "compare", "report", "expand", "show", "list", "schema", "sync",
        "baseline", "check",
    ]  # fmt: skip
    cell = None
    for arguments in typed:
        run(*(cell if word == "CELL" else word for word in arguments))
        out = capsys.readouterr().out
        if arguments[0] == "init":
            quick(tmp_path / "grid.yaml")
        elif arguments[-1] == "csv":
            cell = out.splitlines()[1].partition(",")[0]
    assert (tmp_path / "results/starter/table.csv").exists()


def test_the_lines_for_ci_fail_when_an_accuracy_fell(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    jobs = yaml.safe_load(next(block for block in blocks("yaml") if "jobs:" in block))["jobs"]
    typed = [
        re.split(r" \|\| | # ", step["run"])[0].split()[1:]
        for step in jobs["accuracy"]["steps"]
        if step.get("run", "").startswith("attn")
    ]
    assert [line[0] for line in typed] == ["run", "check"]
    Path("ci.yaml").write_text(f"name: ci\nseeds: 5\ngrid: {{score: [dot], task: [copy]}}\n{QUICK}\n")
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
    targets = [line[1] for line in commands() if line[0] == "make"]
    assert targets == ["demo"]
    makefile = (ROOT / "Makefile").read_text()
    for target in (*targets, "test"):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    assert "experiments/quickstart.yaml" in makefile


def test_the_score_of_your_own_trains_beside_the_others(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    score = next(block for block in blocks("python") if "@attnbench.score" in block)
    grid = next(block for block in blocks("yaml") if "my_score.py" in block)
    assert len(score.split("class ")[1].splitlines()) <= 14, "the README promises few lines"
    Path("my_score.py").write_text(score)
    Path("grid.yaml").write_text(grid)
    quick(tmp_path / "grid.yaml")
    run("run", "grid.yaml", "--no-mlflow", "--engine", "serial", "--quiet")
    run("table", "mine")
    assert "distance temperature=0.5" in capsys.readouterr().out


def test_the_model_of_your_own_trains(tmp_path, monkeypatch, capsys):
    """That it is a sound model, tests/models/test_every_model.py shows."""
    monkeypatch.chdir(tmp_path)
    Path("my_model.py").write_text(next(block for block in blocks("python") if "@attnbench.model" in block))
    Path("grid.yaml").write_text(next(block for block in blocks("yaml") if "my_model.py" in block))
    quick(tmp_path / "grid.yaml")
    run("run", "grid.yaml", "--no-mlflow", "--engine", "serial", "--quiet")
    run("table", "own-model", "--format", "csv")
    assert len(capsys.readouterr().out.splitlines()) == 1 + 2 * 2
    assert Path("results/own-model/table.csv").read_text().count("done,wordwise") == 12


def test_the_python_does_what_its_comments_say(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quick.yaml").write_text(f"name: quick\nseeds: 1\ngrid: {{score: [dot], task: [copy]}}\n{QUICK}\n")
    code = next(block for block in blocks("python") if "attnbench.Attention" in block)
    assert (ROOT / "experiments/quickstart.yaml").exists()
    names = {"__name__": "__main__"}
    exec(code.replace('run("experiments/quickstart.yaml")', 'run("quick.yaml", engine="serial", mlflow=False)'), names)
    assert names["out"].context.shape == (2, 3, 64)
    assert names["out"].weights.shape == (2, 3, 7)
    assert torch.equal(names["out"].weights[1, :, 4:], torch.zeros(3, 3))
    assert list(names["frame"]["task"]) == ["copy"]
    assert set(attnbench.__all__) >= {"Attention", "run", "score"}


def test_the_pairs_of_your_own_train(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    grid = next(block for block in blocks("yaml") if "train.tsv" in block)
    Path("grid.yaml").write_text(grid)
    quick(tmp_path / "grid.yaml")
    for name in ("train", "dev", "test"):
        lines = (f"{name} {a} {b}\t{b} {a}\n" for a in "abcd" for b in "efgh")
        Path(f"{name}.tsv").write_text("".join(lines))
    run("run", "grid.yaml", "--no-mlflow", "--engine", "serial", "--quiet")
    assert Path("results/my-pairs/table.csv").read_text().count(",done,") == 9


def test_the_pictures_are_there():
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", README)
    assert len(pictures) >= 2
    for picture in pictures:
        assert (ROOT / picture).is_file(), picture
